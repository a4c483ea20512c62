//! Workers that come and go although nothing is wrong with them: initializers, exit hooks, shares, limits, idleness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession_pool::{Pool, PoolBuilder, PoolError, TaskError};
use procession_process::{Exit, Failure, Limits};
use procession_shm::{Shared, SharedSlice};
use procession_sync::Mutex;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::trap::{How, assert_sound};

static STATE: OnceLock<u64> = OnceLock::new();

fn set_up() {
    STATE.set(42).unwrap();
}

fn state(n: u64) -> u64 {
    n + STATE.get().unwrap()
}

fn pid(_: u64) -> u32 {
    std::process::id()
}

#[test]
fn each_worker_is_initialized_once_before_its_first_item() {
    guarded(|| {
        let ledger = Ledger::new();
        let note = |ledger: String| {
            record(&ledger, std::process::id());
            STATE.set(42).unwrap();
        };
        let builder = Pool::builder().workers(2).initializer_with(note, ledger.path());
        let pool = builder.build().unwrap();
        assert_eq!(pool.map(state, 0..100).unwrap(), (42..142).collect::<Vec<_>>());
        let die = |_: u64| How::Kill.happen().unwrap();
        assert!(matches!(pool.apply(die, 0), Err(TaskError::Died { .. })));
        assert_eq!(pool.map(state, 0..100).unwrap(), (42..142).collect::<Vec<_>>());
        pool.join();
        assert!(ledger.counts().values().all(|count| *count == 1));
        assert!((2..=3).contains(&ledger.counts().len()), "two workers, one of them replaced");
    });
}

type IsRight = fn(&TaskError) -> bool;

fn broken(builder: PoolBuilder) -> PoolError {
    let pool = builder.workers(2).build().unwrap();
    let error = pool.map(|n: u64| n, 0..10).unwrap_err();
    let TaskError::Broken(error) = error else { panic!("{error:?}") };
    assert!(pool.submit(|n: u64| n, 1).is_err(), "and so it stays");
    (*error).clone()
}

fn fails() -> Result<(), Failure> {
    Err("no licence".into())
}

#[test]
fn a_failing_initializer_is_one_clear_error_and_no_loop() {
    guarded(|| {
        let builders: [(PoolBuilder, IsRight); 5] = [
            (
                Pool::builder().initializer(fails),
                |error| matches!(error, TaskError::Failed { report, .. } if report.to_string() == "no licence"),
            ),
            (
                Pool::builder().initializer(|| How::Panic.happen().unwrap()),
                |error| matches!(error, TaskError::Panicked { panic, .. } if panic.message == "a panic on purpose"),
            ),
            (Pool::builder().initializer(|| How::Exit(3).happen().unwrap()), |error| {
                matches!(error, TaskError::Died { exit: Exit::Code(3), .. })
            }),
            (Pool::builder().initializer(|| How::Abort.happen().unwrap()), |error| {
                matches!(error, TaskError::Died { exit: Exit::Signal(6), .. })
            }),
            (Pool::builder().initializer(|| How::Kill.happen().unwrap()), |error| {
                matches!(error, TaskError::Died { exit: Exit::Signal(9), .. })
            }),
        ];
        for (builder, is_right) in builders {
            let error = broken(builder);
            let PoolError::Init(why) = &error else { panic!("{error:?}") };
            assert!(is_right(why), "{why:?}");
            assert!(error.to_string().contains("initializer"), "{error}");
        }
    });
}

#[test]
fn an_initializer_that_fails_now_and_then_is_tried_again() {
    guarded(|| {
        let ledger = Ledger::new();
        let moody = |ledger: String| {
            record(&ledger, 0);
            let tries = std::fs::metadata(&ledger).unwrap().len() / 4;
            if tries <= 2 { Err(Failure::msg("not yet")) } else { Ok(()) }
        };
        let builder = Pool::builder().workers(1).initializer_with(moody, ledger.path());
        assert_sound(&builder.build().unwrap());
        assert_eq!(ledger.entries().len(), 3);
    });
}

#[test]
fn an_initializer_may_get_handles() {
    needs_pidfds!();
    guarded(|| {
        static TABLE: OnceLock<(SharedSlice<u64>, Shared<Mutex<u64>>)> = OnceLock::new();
        let table = SharedSlice::from_slice(&[5, 6, 7]).unwrap();
        let counter = Shared::new(Mutex::new(0)).unwrap();
        let keep = |argument: (SharedSlice<u64>, Shared<Mutex<u64>>)| {
            assert!(TABLE.set(argument).is_ok());
        };
        let argument = (table, counter.clone());
        let pool = Pool::builder().workers(2).initializer_with(keep, argument).build().unwrap();
        let look_up = |n: usize| {
            let (table, counter) = TABLE.get().unwrap();
            *counter.lock().unwrap() += 1;
            table[n % 3]
        };
        assert_eq!(pool.map(look_up, 0..300).unwrap()[..4], [5, 6, 7, 5]);
        assert_eq!(*counter.lock().unwrap(), 300);

        let (sender, _receiver) = procession_channel::pipe::simplex::<u8>().unwrap();
        let builder =
            Pool::builder().initializer_with(|_: procession_channel::pipe::Sender<u8>| (), sender);
        let error = builder.build().unwrap_err();
        assert!(matches!(error, PoolError::Argument(_)), "{error}");
    });
}

static SEEN: AtomicU64 = AtomicU64::new(0);

fn see(n: u64) -> u64 {
    SEEN.fetch_add(1, Ordering::Relaxed);
    n
}

fn seen() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

#[test]
fn what_exit_hooks_return_is_collected_from_every_worker() {
    guarded(|| {
        let builder = Pool::builder().workers(2).exit_hook(seen).max_tasks_per_worker(30);
        let pool = builder.build().unwrap();
        pool.map(see, 0..300).unwrap();
        pool.join();
        let values: Vec<u64> = pool.exit_values().into_iter().map(Result::unwrap).collect();
        assert_eq!(values.iter().sum::<u64>(), 300);
        assert!(values.len() >= 10 && values.iter().all(|value| *value <= 30), "{values:?}");
        assert!(pool.exit_values::<u64>().is_empty(), "they are given out once");
    });
}

#[test]
fn an_exit_hook_that_fails_is_an_error_in_its_place() {
    guarded(|| {
        let pool = Pool::builder().workers(2).exit_hook(fails).build().unwrap();
        assert_sound(&pool);
        pool.join();
        let values = pool.exit_values::<()>();
        assert_eq!(values.len(), 2);
        assert!(values.iter().all(|value| matches!(value, Err(TaskError::Failed { .. }))));

        let pool =
            Pool::builder().workers(1).exit_hook(|| How::Abort.happen().unwrap()).build().unwrap();
        assert_sound(&pool);
        pool.join();
        assert!(matches!(pool.exit_values::<()>()[..], [Err(TaskError::Died { .. })]));

        let pool = Pool::builder().workers(1).exit_hook(seen).build().unwrap();
        pool.terminate();
        assert!(pool.exit_values::<u64>().is_empty(), "killed workers run no hook");
    });
}

#[test]
fn a_worker_does_its_share_and_no_more() {
    guarded(|| {
        for (share, chunk) in [(1, 1), (7, 1), (7, 50), (1, 50), (1000, 10)] {
            let pool = Pool::builder().workers(2).max_tasks_per_worker(share).build().unwrap();
            let mut counts = BTreeMap::<u32, u64>::new();
            for pid in pool.job().chunk(chunk).map(pid, 0..60).unwrap() {
                *counts.entry(pid).or_default() += 1;
            }
            assert!(counts.values().all(|count| *count <= share), "{share}: {counts:?}");
            assert!(counts.len() as u64 >= 60 / share, "{share}: {counts:?}");
            let tasks: Vec<_> = (0..20).map(|n| pool.submit(pid, n).unwrap()).collect();
            for task in tasks {
                *counts.entry(task.get().unwrap()).or_default() += 1;
            }
            assert!(counts.values().all(|count| *count <= share), "{share}: {counts:?}");
        }
    });
}

#[test]
fn a_worker_that_has_grown_too_large_is_replaced() {
    guarded(|| {
        let builder = Pool::builder().workers(2).max_memory_per_worker(100 << 20);
        let pool = builder.build().unwrap();
        let leak = |mebibytes: usize| {
            std::hint::black_box(vec![1_u8; mebibytes << 20].leak());
            std::process::id()
        };
        let pids = pool.job().chunk(1).map(leak, vec![30; 40]).unwrap();
        let mut counts = BTreeMap::<u32, usize>::new();
        pids.into_iter().for_each(|pid| *counts.entry(pid).or_default() += 1);
        assert!(counts.values().all(|count| *count <= 4), "30 MiB fit three times: {counts:?}");
        assert!(counts.len() >= 10, "{counts:?}");
        let small: BTreeSet<u32> = pool.map(leak, vec![0; 100]).unwrap().into_iter().collect();
        assert!(small.len() <= 4, "who stays small stays: {small:?}");
    });
}

#[test]
fn idle_workers_are_let_go_and_started_again() {
    guarded(|| {
        let builder = Pool::builder().workers(2).idle_timeout(Duration::from_millis(50));
        let pool = builder.exit_hook(seen).build().unwrap();
        for _ in 0..3 {
            assert_eq!(pool.map(see, 0..100).unwrap().len(), 100);
            eventually("all workers were let go", || pool.worker_pids().is_empty());
            assert_eq!(pool.submit(see, 7).unwrap().get().unwrap(), 7);
        }
        eventually("all workers were let go", || pool.worker_pids().is_empty());
        pool.join();
        let values: Vec<u64> = pool.exit_values().into_iter().map(Result::unwrap).collect();
        assert_eq!(values.iter().sum::<u64>(), 303);
    });
}

#[test]
fn too_many_deaths_are_the_end_of_the_pool() {
    guarded(|| {
        let builder = Pool::builder().workers(2).restart_intensity(3, Duration::from_secs(3600));
        let pool = builder.build().unwrap();
        let die = |n: u64| {
            if n.is_multiple_of(10) {
                How::Kill.happen().unwrap();
            }
            n
        };
        let outcomes: Vec<_> = pool.job().chunk(1).window(4).imap(die, 0..1000_u64).collect();
        let count = |is: fn(&TaskError) -> bool| {
            outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(is)).count()
        };
        assert_eq!(count(|error| matches!(error, TaskError::Died { .. })), 4);
        assert!(count(|error| matches!(error, TaskError::Broken(_))) > 0);
        let Some(Err(TaskError::Broken(error))) = outcomes.last() else { panic!("{outcomes:?}") };
        let PoolError::TooManyRestarts { starts: 4, within: Some(_), exit, .. } = &**error else {
            panic!("{error:?}")
        };
        assert_eq!(*exit, Exit::Signal(9));

        let builder = Pool::builder().workers(1).restart_intensity(3, Duration::from_secs(3600));
        let pool = builder.build().unwrap();
        for _ in 0..6 {
            let hang = |_: u64| std::thread::sleep(Duration::from_secs(3600));
            let outcome = pool.job().timeout(Duration::from_millis(20)).apply(hang, 0);
            assert!(matches!(outcome, Err(TaskError::TimedOut { .. })));
        }
        assert_sound(&pool);
    });
}

#[test]
fn limits_hold_for_every_worker() {
    guarded(|| {
        let limits = Limits::new().memory_bytes(256 << 20);
        let pool = Pool::builder().workers(2).limits(limits).build().unwrap();
        for _ in 0..2 {
            let hoard = |bytes: usize| std::hint::black_box(vec![1_u8; bytes]).len();
            assert!(matches!(
                pool.apply(hoard, 1 << 30),
                Err(TaskError::Died { exit: Exit::Signal(6), .. })
            ));
            assert_eq!(pool.apply(hoard, 1 << 20).unwrap(), 1 << 20);
        }
    });
}

/// All at once: nothing is lost, nothing runs twice.
#[test]
fn every_item_runs_once_while_workers_come_and_go() {
    guarded(|| {
        let ledger = Ledger::new();
        let builder = Pool::builder().workers(2).initializer(set_up).exit_hook(seen);
        let builder = builder.max_tasks_per_worker(11).max_memory_per_worker(1 << 30);
        let pool = builder.idle_timeout(Duration::from_millis(5)).build().unwrap();
        let run = |(ledger, n): (String, u64)| {
            record(&ledger, u32::try_from(n).unwrap());
            see(state(n))
        };
        for round in 0..3 {
            let items = (0..100).map(|n| (ledger.path(), round * 100 + n));
            for (n, outcome) in (0..).zip(pool.imap(run, items)) {
                assert_eq!(outcome.unwrap(), round * 100 + n + 42);
            }
            std::thread::sleep(Duration::from_millis(round * 10));
        }
        pool.join();
        assert_eq!(ledger.counts().len(), 300);
        assert!(ledger.counts().values().all(|count| *count == 1));
        let values: Vec<u64> = pool.exit_values().into_iter().map(Result::unwrap).collect();
        assert_eq!(values.iter().sum::<u64>(), 300);
    });
}
