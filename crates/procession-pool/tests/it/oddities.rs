//! What user code does that nobody thinks of.

use std::fmt;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::{Pool, TaskError};
use procession_process::{Exit, Failure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::ledger::{Ledger, record};
use super::program::{Role, runs};
use super::trap::{How, assert_sound};

pub(crate) const ROLES: &[Role] = &[("panics in callbacks", panic_in_callbacks)];

fn add(n: u64) -> u64 {
    n + 1
}

#[test]
fn an_interrupt_does_not_end_workers_and_a_termination_does() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        assert_sound(&pool);
        let pids = pool.worker_pids();
        for &pid in &pids {
            kill(pid, Signal::INT);
        }
        assert_sound(&pool);
        assert_eq!(pool.worker_pids(), pids);
        let terminate = |_: u64| super::trap::raise(Signal::TERM);
        let abort = |_: u64| super::trap::raise(Signal::ABORT);
        for (end, number) in [(terminate as fn(u64), 15), (abort, 6)] {
            let error = pool.apply(end, 1).unwrap_err();
            let TaskError::Died { exit, .. } = error else { panic!("{error:?}") };
            assert_eq!(exit, Exit::Signal(number));
            assert_sound(&pool);
        }
    });
}

/// Workers die with their parent, and the kernel's parent is the thread that made them.
#[test]
fn a_pool_outlives_the_thread_that_made_it() {
    guarded(|| {
        let pool = thread::spawn(|| Pool::with_workers(2).unwrap()).join().unwrap();
        sleep(Duration::from_millis(20));
        assert_sound(&pool);
        let pids = pool.worker_pids();
        let used = thread::spawn(move || {
            assert_sound(&pool);
            pool
        });
        assert_eq!(used.join().unwrap().worker_pids(), pids);
    });
}

#[test]
fn the_pool_of_all_is_made_once() {
    guarded(|| {
        let pools: Vec<_> = (0..4).map(|_| thread::spawn(|| Pool::global().unwrap())).collect();
        let pools: Vec<_> = pools.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(pools.iter().all(|pool| std::ptr::eq(*pool, pools[0])));
        assert_eq!(pools[0].workers(), procession_process::cpu_count());
        assert_sound(pools[0]);
    });
}

/// A process that a task started and left behind holds nothing that would keep its worker's death from being noticed.
#[test]
fn a_process_started_by_a_task_does_not_hide_its_death() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let start_and_die = |ledger: String| {
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            record(&ledger, child.id());
            How::Kill.happen().unwrap();
            child.wait().unwrap();
        };
        let error = pool.apply(start_and_die, ledger.path()).unwrap_err();
        assert!(matches!(error, TaskError::Died { .. }), "{error:?}");
        let child = ledger.entries()[0];
        assert!(runs(child));
        kill(child, Signal::KILL);
        eventually("it is gone", || !runs(child));
        assert_sound(&pool);
    });
}

#[test]
fn items_without_any_bytes_are_items() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        assert_eq!(pool.map(|()| (), vec![(); 50_000]).unwrap().len(), 50_000);
        assert_eq!(pool.imap_unordered(|()| (), vec![(); 5_000]).count(), 5_000);
        assert_eq!(pool.map_async(|()| (), vec![(); 5_000]).unwrap().get().unwrap().len(), 5_000);
        pool.map_with(&(), |(), ()| (), [()]).unwrap();
    });
}

/// An explanation is subject to the limit of results, too, but it is no crime.
#[test]
fn an_explanation_over_the_limit_is_told_all_the_same() {
    guarded(|| {
        let pool = Pool::builder().workers(1).result_len_max(1000).build().unwrap();
        assert_sound(&pool);
        let pids = pool.worker_pids();
        let panics = |len: usize| -> u64 { panic!("{}", "long".repeat(len)) };
        let error = pool.apply(panics, 5000).unwrap_err();
        assert!(matches!(error, TaskError::Panicked { .. }), "{error:?}");
        let fails = |len: usize| -> Result<(), Failure> { Err(Failure::msg("long".repeat(len))) };
        let error = pool.apply(fails, 5000).unwrap_err();
        assert!(matches!(error, TaskError::Failed { .. }), "{error:?}");
        assert_eq!(pool.worker_pids(), pids, "the worker has done nothing wrong");
    });
}

#[test]
fn a_failure_with_very_many_causes_is_told() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let fails = |depth: u32| -> Result<(), Failure> {
            Err((0..depth).fold(Failure::msg("root"), |failure, n| failure.context(n)))
        };
        for depth in [0, 10, 100, 1000, 100_000] {
            let error = pool.apply(fails, depth).unwrap_err();
            let TaskError::Failed { report, .. } = &error else { panic!("{depth}: {error:?}") };
            let last = if depth == 0 { "root".to_owned() } else { (depth - 1).to_string() };
            assert_eq!(report.to_string(), last);
        }
        assert_sound(&pool);
    });
}

/// Panics when it is shown.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("showing panics, on purpose")
    }
}

impl std::error::Error for Unspeakable {}

/// Panics when it is dropped, unless that would end the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(
            thread::panicking() || !procession_process::is_child(),
            "dropping panics, on purpose"
        );
    }
}

#[test]
fn strange_panics_cost_their_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let strange = |n: u64| -> Result<u64, Failure> {
            match n {
                10 => std::panic::panic_any(5_u8),
                20 => std::panic::panic_any(Bomb),
                30 => Err(Unspeakable)?,
                40 => std::panic::resume_unwind(Box::new("without the hook")),
                50 => thread::spawn(|| panic!("in a thread, on purpose")).join().unwrap(),
                _ => {}
            }
            Ok(n)
        };
        let outcomes: Vec<_> = pool.imap(strange, 0..60).collect();
        for (n, outcome) in (0..).zip(&outcomes) {
            match outcome {
                Ok(value) => assert!(*value == n && (n == 0 || n % 10 != 0), "{n}"),
                Err(error) => assert_eq!(error.item(), usize::try_from(n).ok(), "{error:?}"),
            }
        }
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 5);
        for n in [10, 30, 40, 50] {
            assert!(matches!(outcomes[n], Err(TaskError::Panicked { .. })), "{:?}", outcomes[n]);
        }
        assert_sound(&pool);
    });
}

#[test]
fn values_that_panic_when_dropped_cost_their_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let takes = |(_, n): (Bomb, u64)| n;
        let makes = |n: u64| (n == 5).then(|| Bomb);
        assert!(pool.imap(takes, (0..10).map(|n| (Bomb, n))).all(|outcome| outcome.is_err()));
        assert_eq!(pool.imap(makes, 0..10).filter(Result::is_err).count(), 1);
        let with = |_: &Bomb, n: u64| n;
        for _ in 0..5 {
            // The worker drops the context when the call is over.
            assert_eq!(pool.map_with(&Bomb, with, 0..10).unwrap().len(), 10);
        }
        assert_sound(&pool);
    });
}

#[test]
fn many_tasks_at_once_wait_their_turn() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let tasks: Vec<_> = (0..20_000).map(|n| pool.submit(add, n).unwrap()).collect();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.get().unwrap(), n + 1);
        }
        let all = pool.map_async(add, 0..50_000).unwrap();
        assert_eq!(all.get().unwrap(), (1..=50_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_wait_that_is_over_too_early_can_be_repeated() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms: u64| {
            sleep(Duration::from_millis(ms));
            ms
        };
        let mut task = pool.submit(nap, 120).unwrap();
        assert_eq!(task.try_get().unwrap(), None);
        assert_eq!(task.get_timeout(Duration::from_millis(1)).unwrap(), None);
        while task.get_timeout(Duration::from_millis(10)).unwrap().is_none() {}
        let mut fails = pool.submit(|_: u64| How::Kill.happen().unwrap(), 1).unwrap();
        let error = loop {
            match fails.get_timeout(Duration::from_millis(1)) {
                Ok(None) => {}
                Ok(Some(())) => panic!("it was killed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TaskError::Died { .. }), "{error:?}");
    });
}

/// What stands first in line while worker after worker dies of something else is not to blame for all of them.
#[test]
fn a_death_before_an_item_begins_costs_nothing() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        // Each worker dies of a thread that it was left with, at about the time at which it gets something to do.
        let doom = |us: u64| {
            thread::spawn(move || {
                sleep(Duration::from_micros(us));
                std::process::abort();
            });
            std::process::id()
        };
        let note = |(ledger, n): (String, u32)| record(&ledger, n);
        let mut doomed = Vec::new();
        for n in 0..60 {
            doomed.extend(pool.apply(doom, u64::from(n) * 10));
            let outcome = pool.apply(note, (ledger.path(), n));
            match (outcome, ledger.count(n)) {
                (Ok(()), 1) => {}
                // It was on the item when its time came.
                (Err(TaskError::Died { .. }), 0 | 1) => {}
                (outcome, count) => panic!("{outcome:?} {count}"),
            }
        }
        eventually("all of them are gone", || !doomed.iter().any(|&pid| runs(pid)));
        assert_sound(&pool);
    });
}

/// As C calls a function that it was given.
extern "C" fn callback() {
    panic!("a panic that cannot be caught");
}

fn panic_in_callbacks() {
    let pool = Pool::with_workers(1).unwrap();
    // This one is caught by the item itself, and is no news when another item aborts.
    let careful = |()| std::panic::catch_unwind(|| panic!("it is caught")).is_err();
    assert!(pool.apply(careful, ()).unwrap());
    let abort = |()| std::process::abort();
    for end in [abort, |()| callback()] {
        let error = pool.apply(end, ()).unwrap_err();
        assert!(matches!(error, TaskError::Died { exit: Exit::Signal(6), .. }), "{error:?}");
    }
}

#[test]
fn a_panic_that_ends_its_worker_is_printed() {
    let finished = super::program::play("panics in callbacks").succeed();
    let is_told = |line: &&str| line.contains("oddities.rs") && line.contains("cannot be caught");
    assert_eq!(finished.err.lines().filter(is_told).count(), 1, "{}", finished.err);
    assert!(!finished.err.contains("it is caught"), "{}", finished.err);
}
