//! What a pool says of itself: the sums must be those of what was really done.

use std::time::Duration;

use procession_pool::{Cause, Pool, TaskError};
use procession_process::Exit;
use rustix::process::Signal;

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::scribbler::Sabotage;
use super::trap::{How, assert_sound};

fn nap(millis: u64) -> Vec<u8> {
    std::thread::sleep(Duration::from_millis(millis));
    vec![1; 1000]
}

#[test]
fn tasks_bytes_and_times_add_up() {
    guarded(|| {
        let builder = Pool::builder()
            .workers(2)
            .initializer(|| std::thread::sleep(Duration::from_millis(20)))
            .exit_hook(|| std::thread::sleep(Duration::from_millis(20)));
        let pool = builder.build().unwrap();
        assert_eq!(pool.insights().total.tasks, 0);
        pool.map(nap, vec![2; 100]).unwrap();
        let live = pool.insights();
        assert_eq!(live.total.tasks, 100);
        assert_eq!((live.workers.len(), live.total.starts), (2, 2));
        assert!(live.total.bytes_out >= 100 * 1000 && live.total.bytes_in >= 100, "{live:?}");
        assert!(
            live.total.working >= Duration::from_millis(200),
            "each of 100 items takes 2 ms: {live}"
        );
        assert!(live.total.initializing > Duration::ZERO, "{live}");
        assert!(live.total.starting > Duration::ZERO && live.total.working_ratio() > 0.0, "{live}");
        assert_eq!(live.workers.iter().map(|share| share.tasks).sum::<u64>(), 100);
        assert!(live.workers.iter().all(|share| share.pid.is_some()), "{live}");
        std::thread::sleep(Duration::from_millis(30));
        let waited = pool.insights().total.waiting.saturating_sub(live.total.waiting);
        assert!(waited >= Duration::from_millis(60), "two workers had nothing to do: {waited:?}");
        assert!(live.workers.iter().all(|share| share.peak_memory_bytes > 100 << 10), "{live}");
        pool.join();
        let ended = pool.insights();
        assert_eq!((ended.total.tasks, ended.total.starts), (100, 2));
        assert!(ended.deaths.is_empty() && ended.workers.iter().all(|share| share.pid.is_none()));
        assert!(ended.total.exiting >= Duration::from_millis(40), "{ended}");
        assert!(ended.total.peak_memory_bytes > 100 << 10, "{ended}");
        assert!(ended.total.user_cpu + ended.total.system_cpu > Duration::ZERO, "{ended}");
    });
}

/// Of workers that live, too.
#[test]
fn processor_time_is_told_while_workers_work() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let endless = pool.submit(|()| while std::hint::black_box(true) {}, ()).unwrap();
        eventually("it uses its processor", || {
            pool.insights().total.user_cpu >= Duration::from_millis(50)
        });
        endless.cancel();
        assert_sound(&pool);
        assert!(pool.insights().total.user_cpu >= Duration::from_millis(50));
    });
}

#[test]
fn the_slowest_items_are_named() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let items: Vec<u64> = (0..20).map(|n| if n % 5 == 3 { 400 + n } else { 0 }).collect();
        let job = pool.job().chunk(1).describe(|millis: &u64| format!("{millis} ms"));
        job.map(nap, items).unwrap();
        let insights = pool.insights();
        let slowest = &insights.slowest;
        assert!(slowest.is_sorted_by_key(|slow| std::cmp::Reverse(slow.duration)));
        assert_eq!(slowest.len(), 5);
        let mut items: Vec<usize> = slowest[..4].iter().map(|slow| slow.item).collect();
        items.sort_unstable();
        assert_eq!(items, [3, 8, 13, 18], "{insights}");
        for slow in &slowest[..4] {
            assert!(slow.duration >= Duration::from_millis(400) && slow.of == 1, "{slow:?}");
            assert_eq!(slow.argument, Some(format!("{} ms", 400 + slow.item)));
            assert_eq!((slow.bytes, slow.function), (8, "fn(u64) -> alloc::vec::Vec<u8>"));
        }
        assert!(
            insights.to_string().contains("fn(u64) -> alloc::vec::Vec<u8> of 403 ms took"),
            "{insights}"
        );
    });
}

/// The last of a call is told of before its result, not after.
#[test]
fn a_task_that_is_alone_and_slow_is_named() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let fail = |millis: u64| -> Vec<u8> {
            std::thread::sleep(Duration::from_millis(millis));
            panic!("on purpose")
        };
        pool.apply(nap, 30).unwrap();
        pool.apply(fail, 20).unwrap_err();
        let durations: Vec<_> = pool.insights().slowest.iter().map(|slow| slow.duration).collect();
        assert!(durations.iter().filter(|it| **it >= Duration::from_millis(20)).count() == 2);
        // Another type than that of the argument, and one that panics: there is no text, and no harm.
        let job = pool.job().describe(|_: &String| "wrong".to_owned());
        job.apply(nap, 40).unwrap();
        pool.job().describe(|_: &u64| panic!("no text")).apply(nap, 50).unwrap();
        assert!(pool.insights().slowest.iter().all(|slow| slow.argument.is_none()));
    });
}

/// A worker that lies about its time cannot have taken longer than it has been there, and tells once.
#[test]
fn what_a_worker_says_of_its_time_is_not_believed_blindly() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        pool.apply(Sabotage::commit, Sabotage::EndlessTime).unwrap();
        let slow = pool.insights().slowest[0].clone();
        assert!(slow.duration < Duration::from_secs(3600));
        kill(slow.pid, Signal::KILL);
        eventually("it is gone", || !pool.worker_pids().contains(&slow.pid));
        assert_sound(&pool);
        let error = pool.apply(Sabotage::commit, Sabotage::TimeTwice).unwrap_err();
        assert!(matches!(error, TaskError::Corrupt { .. }), "{error:?}");
        assert_sound(&pool);
    });
}

/// However often an item is tried, and however it ends: it is one.
#[test]
fn an_item_is_one_task_however_often_it_is_tried() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let fail = |how: How| how.happen().unwrap();
        for how in [How::Panic, How::Kill] {
            let error = pool.job().retries(3).apply(fail, how).unwrap_err();
            assert_eq!(error.attempts().len(), 3);
        }
        pool.job().timeout(Duration::from_millis(20)).apply(nap, 3_600_000).unwrap_err();
        pool.map(nap, [0, 0, 0]).unwrap();
        let insights = pool.insights();
        assert_eq!(insights.total.tasks, 6, "{insights}");
    });
}

#[test]
fn deaths_are_counted_by_cause() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let end = |how: How| how.happen().unwrap();
        for how in [How::Kill, How::Kill, How::Exit(3), How::Abort] {
            pool.apply(end, how).unwrap_err();
        }
        pool.job().timeout(Duration::from_millis(20)).apply(nap, 3_600_000).unwrap_err();
        let cancelled = pool.submit(nap, 3_600_000).unwrap();
        eventually("it runs", || cancelled.is_running());
        cancelled.cancel();
        cancelled.get().unwrap_err();
        let expected = [
            (Cause::Exit(Exit::Signal(9)), 2),
            (Cause::Exit(Exit::Code(3)), 1),
            (Cause::Exit(Exit::Signal(6)), 1),
            (Cause::TimedOut, 1),
            (Cause::Cancelled, 1),
        ];
        let insights = pool.insights();
        for death in expected {
            assert!(insights.deaths.contains(&death), "{death:?} in {:?}", insights.deaths);
        }
        assert_eq!(insights.deaths.len(), expected.len());
        let text = insights.to_string();
        assert!(text.contains("total") && text.contains("2 died: SIGKILL (killed)"), "{text}");
        eventually("the places are filled", || pool.insights().total.starts == 8);
    });
}
