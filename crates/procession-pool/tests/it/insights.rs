//! What a pool says of itself: the sums must be those of what was really done.

use std::time::Duration;

use procession_pool::{Cause, Pool, SlowItem};
use procession_process::Exit;

use super::guard::{eventually, guarded};
use super::trap::How;

fn nap(millis: u64) -> Vec<u8> {
    std::thread::sleep(Duration::from_millis(millis));
    vec![1; 1000]
}

#[test]
fn tasks_bytes_and_times_add_up() {
    guarded(|| {
        let builder = Pool::builder()
            .workers(2)
            .initializer(|| std::thread::sleep(Duration::from_millis(20)));
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
        pool.join();
        let ended = pool.insights();
        assert_eq!((ended.total.tasks, ended.total.starts), (100, 2));
        assert!(ended.deaths.is_empty() && ended.workers.iter().all(|share| share.pid.is_none()));
        assert!(ended.total.peak_memory_bytes > 100 << 10, "{ended}");
        assert!(ended.total.user_cpu + ended.total.system_cpu > Duration::ZERO, "{ended}");
    });
}

#[test]
fn the_slowest_items_are_named() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let items: Vec<u64> = (0..20).map(|n| if n % 5 == 3 { 400 + n } else { 0 }).collect();
        pool.job().chunk(1).map(nap, items).unwrap();
        let slowest = pool.insights().slowest;
        for item in [3, 8, 13, 18] {
            // What a worker does while its parent sleeps is booked when that wakes: the item before a slow one may get its time.
            let is_it = |slow: &SlowItem| (slow.item..slow.item + slow.of + 2).contains(&item);
            assert!(slowest.iter().take(4).any(is_it), "{item} in {slowest:?}");
        }
        assert!(
            slowest.len() <= 5 && slowest.is_sorted_by_key(|slow| std::cmp::Reverse(slow.duration))
        );
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
