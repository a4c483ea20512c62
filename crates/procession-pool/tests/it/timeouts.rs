//! Items with a deadline, and items that hang without one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use procession_pool::{Pool, TaskError};
use procession_process::Exit;
use rustix::process::{Pid, Signal, kill_process};

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::{Role, play, runs};
use super::trap::{How, assert_sound};

pub(crate) const ROLES: &[Role] = &[("watch without waiting", watch_without_waiting)];

const TIMEOUT: Duration = Duration::from_millis(300);
const FOR_EVER: Duration = Duration::from_secs(600);

fn spin() {
    static GO_ON: AtomicBool = AtomicBool::new(true);
    while GO_ON.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// Hangs in one of three ways if told to, else gives the number back.
fn maybe_hang(n: u32) -> u32 {
    match n {
        7 => sleep(FOR_EVER),
        14 => spin(),
        21 => How::Stop.happen().unwrap(),
        _ => {}
    }
    n
}

#[test]
fn an_item_over_its_time_fails_alone() {
    guarded(|| {
        let pool = Pool::with_workers(3).unwrap();
        let before = pool.worker_pids();
        let outcomes: Vec<_> = pool.job().timeout(TIMEOUT).imap(maybe_hang, 0..28).collect();
        for (n, outcome) in (0..).zip(&outcomes) {
            match outcome {
                Ok(value) => assert_eq!(*value, n),
                Err(TaskError::TimedOut { item, pid, after, .. }) => {
                    assert!([7, 14, 21].contains(&n) && *item == n as usize, "{n} {item}");
                    assert_eq!(*after, TIMEOUT);
                    assert!(!runs(*pid));
                }
                Err(error) => panic!("item {n}: {error:?}"),
            }
        }
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 3);
        assert!(before.len() <= 3);
        let text = outcomes[7].as_ref().unwrap_err().to_string();
        assert!(text.starts_with("item 7 took longer than 300ms and worker "), "{text}");
        assert_sound(&pool);
    });
}

#[test]
fn the_timeout_of_the_pool_is_that_of_its_jobs() {
    guarded(|| {
        let pool = Pool::builder().workers(1).task_timeout(TIMEOUT).build().unwrap();
        let error = pool.apply(maybe_hang, 7).unwrap_err();
        assert!(matches!(error, TaskError::TimedOut { after: TIMEOUT, .. }), "{error:?}");
        assert_sound(&pool);
    });
}

/// Near the deadline but never over it, alone and behind others, in chunks and one by one.
#[test]
fn an_item_within_its_time_is_never_stopped() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let almost = |n: u32| {
            sleep(TIMEOUT.mul_f64(0.5));
            n
        };
        let job = pool.job().timeout(TIMEOUT);
        let expected: Vec<_> = (0..8).collect();
        assert_eq!(job.map(almost, 0..8).unwrap(), expected);
        assert_eq!(job.clone().chunk(4).map(almost, 0..8).unwrap(), expected);
        let tasks: Vec<_> = (0..8).map(|n| job.submit(almost, n).unwrap()).collect();
        let results: Vec<_> = tasks.into_iter().map(|task| task.get().unwrap()).collect();
        assert_eq!(results, expected);
    });
}

/// The time that a worker takes to come to an item is not the item's.
#[test]
fn the_time_before_an_item_begins_does_not_count() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms: u64| sleep(Duration::from_millis(ms));
        let pid = Pid::from_raw(pool.apply(|()| std::process::id().cast_signed(), ()).unwrap());
        for stopped_for in [280, 1000] {
            kill_process(pid.unwrap(), Signal::STOP).unwrap();
            let task = pool.job().timeout(TIMEOUT).submit(nap, 150).unwrap();
            sleep(Duration::from_millis(stopped_for));
            kill_process(pid.unwrap(), Signal::CONT).unwrap();
            task.get().unwrap();
        }
        assert_eq!(pool.insights().total.starts, 1);
    });
}

/// An item that was never begun, or not for as long as its timeout, must not be said to have taken longer. Items that end
/// at about their deadline make the pool kill workers which are done with them.
#[test]
fn the_item_behind_one_that_ends_at_its_deadline_is_not_blamed() {
    // Longer than a busy machine lets a process wait between two instructions.
    const DEADLINE: Duration = Duration::from_millis(200);
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        for round in 0..4 {
            let ledger = Ledger::new();
            let items = (0..8).map(|number| (ledger.path(), number, 199_700 + 200 * round));
            let note = |(ledger, number, sleep_us): (String, u32, u64)| {
                record(&ledger, number);
                // Every second one is near its deadline, those behind it are done at once.
                if number % 2 == 0 {
                    sleep(Duration::from_micros(sleep_us));
                }
            };
            let job = pool.job().timeout(DEADLINE).chunk(8);
            for (number, outcome) in (0_u32..).zip(job.imap(note, items)) {
                if number % 2 == 1 {
                    assert!(
                        ledger.count(number) > 0 || outcome.is_ok(),
                        "item {number} was never begun: {outcome:?}"
                    );
                }
            }
        }
        assert_sound(&pool);
    });
}

#[test]
fn waiting_behind_a_slow_item_is_not_charged() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms: u64| {
            sleep(Duration::from_millis(ms));
            ms
        };
        let slow = pool.submit(nap, 900).unwrap();
        let timed: Vec<_> =
            (0..3).map(|n| pool.job().timeout(TIMEOUT).submit(nap, n).unwrap()).collect();
        assert_eq!(slow.get().unwrap(), 900);
        for (n, task) in (0..).zip(timed) {
            assert_eq!(task.get().unwrap(), n);
        }
    });
}

/// In a process of its own, so that no other test drives anything: nobody waits on the pool.
fn watch_without_waiting() {
    let ledger = Ledger::new();
    let hang = |ledger: String| {
        record(&ledger, std::process::id());
        sleep(FOR_EVER);
    };
    let pool = Pool::with_workers(1).unwrap();
    drop(pool.job().timeout(TIMEOUT).submit(hang, ledger.path()).unwrap());
    eventually("the task runs", || !ledger.entries().is_empty());
    let pid = ledger.entries()[0];
    eventually("its worker was killed", || !runs(pid));
    assert_sound(&pool);
}

#[test]
fn a_timeout_needs_nobody_who_waits() {
    play("watch without waiting").succeed();
}

/// The consumer of a stream has other things to do than to look after the pool.
#[test]
fn a_timeout_of_a_stream_needs_nobody_who_reads_it() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        let work = |(ledger, number): (String, u32)| {
            if number == 1 {
                record(&ledger, std::process::id());
                sleep(FOR_EVER);
            }
        };
        let items = (0..2).map(|number| (ledger.path(), number));
        let mut stream = pool.job().timeout(TIMEOUT).imap(work, items);
        stream.next().unwrap().unwrap();
        eventually("the second item runs", || !ledger.entries().is_empty());
        let pid = ledger.entries()[0];
        eventually("its worker was killed", || !runs(pid));
        assert!(matches!(stream.next(), Some(Err(TaskError::TimedOut { item: 1, .. }))));
    });
}

#[test]
fn a_timeout_of_a_dropped_stream_is_kept() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(1).unwrap();
        let hang = |ledger: String| {
            record(&ledger, std::process::id());
            sleep(FOR_EVER);
        };
        let job = pool.job().timeout(TIMEOUT);
        let mut stream = job.imap_unordered(hang, [ledger.path(), ledger.path()]);
        assert!(matches!(stream.next(), Some(Err(TaskError::TimedOut { .. }))));
        eventually("the second one runs", || {
            pool.worker_pids();
            ledger.entries().len() == 2
        });
        drop(stream);
        let pid = ledger.entries()[1];
        eventually("its worker was killed", || !runs(pid));
        assert_sound(&pool);
    });
}

#[test]
fn extreme_timeouts_are_taken_at_their_word() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let add = |n: u32| n + 1;
        assert_eq!(pool.job().timeout(Duration::MAX).map(add, 0..3).unwrap(), [1, 2, 3]);
        let mut task = pool.submit(add, 1).unwrap();
        assert_eq!(task.get_timeout(Duration::MAX).unwrap(), Some(2));
        let hang = |_: u32| sleep(FOR_EVER);
        let error = pool.job().timeout(Duration::ZERO).map(hang, [1]).unwrap_err();
        assert!(matches!(error, TaskError::TimedOut { after: Duration::ZERO, .. }), "{error:?}");
        assert_sound(&pool);
    });
}

/// The pool knows by then that items are short and gives each worker several at once; those behind the one that hangs are
/// done by the others.
#[test]
fn a_hanging_item_holds_up_nothing_behind_it() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let work = |n: u32| {
            if n == 30_000 {
                sleep(FOR_EVER);
            }
            n
        };
        let job = pool.job().window(200_000);
        let mut stream = job.imap_unordered(work, 0..60_000);
        let mut seen = vec![0; 60_000];
        for result in stream.by_ref().take(59_999) {
            seen[result.unwrap() as usize] += 1;
        }
        seen[30_000] += 1;
        assert!(seen.iter().all(|&count| count == 1));
        drop(stream);
        pool.terminate();
    });
}

/// As above, and more work comes after the pool has found out about the one that hangs.
#[test]
fn a_hanging_item_holds_up_nothing_that_comes_later() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let work = |n: u32| {
            match n {
                3000 => sleep(FOR_EVER),
                n if n > 3000 => sleep(Duration::from_millis(1)),
                _ => {}
            }
            n
        };
        // A small window: the input goes on being pulled while the item hangs.
        let job = pool.job().chunk(2).window(16);
        let mut stream = job.imap_unordered(work, 0..4000);
        assert_eq!(
            stream.by_ref().take(3999).map(Result::unwrap).filter(|n| *n == 3000).count(),
            0
        );
        drop(stream);
        pool.terminate();
    });
}

#[test]
fn an_item_that_hangs_in_a_chunk_is_stopped_and_the_rest_goes_on() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let work = |(ledger, number): (String, u32)| {
            record(&ledger, number);
            if number == 50 {
                sleep(FOR_EVER);
            }
        };
        let items = (0..200).map(|number| (ledger.path(), number));
        let started = Instant::now();
        let job = pool.job().timeout(TIMEOUT).chunk(100).window(1000);
        let outcomes: Vec<_> = job.imap(work, items).collect();
        assert!(started.elapsed() >= TIMEOUT);
        for (number, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Ok(()) => assert_ne!(number, 50),
                Err(error) => {
                    assert!(matches!(error, TaskError::TimedOut { item: 50, .. }), "{error:?}");
                }
            }
        }
        assert!(ledger.counts().values().all(|&count| count == 1));
        assert_eq!(ledger.counts().len(), 200);
        assert_sound(&pool);
    });
}

/// It has the worker's process id, and its limits.
#[test]
fn a_worker_that_became_another_program_is_stopped() {
    fn become_another_program(seconds: String) -> bool {
        use std::os::unix::process::CommandExt;
        std::process::Command::new("sleep").arg(seconds).exec().raw_os_error().is_none()
    }
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let job = pool.job().timeout(Duration::from_millis(50));
        let stopped = job.apply(become_another_program, "1000000");
        assert!(matches!(stopped, Err(TaskError::TimedOut { .. })), "{stopped:?}");
        let ended = pool.apply(become_another_program, "0");
        assert!(matches!(ended, Err(TaskError::Died { exit: Exit::Code(0), .. })), "{ended:?}");
        assert_eq!(pool.apply(|n: u64| n, 7).unwrap(), 7);
    });
}
