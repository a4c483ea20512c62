//! How pools end: dropped, joined, terminated, or because the process around them dies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::{Pool, TaskError};

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::ledger::{Ledger, record};
use super::program::{Role, command, play, runs};

const FOR_EVER: Duration = Duration::from_secs(600);

pub(crate) const ROLES: &[Role] = &[
    ("wait to be killed", wait_to_be_killed),
    ("exit with a pool that was forgotten", exit_with_a_forgotten_pool),
];

/// Writes its process down and then sleeps for ever.
fn hang(ledger: String) {
    record(&ledger, std::process::id());
    sleep(FOR_EVER);
}

/// As above, in the worker of a worker, too.
fn hang_nested(ledger: String) {
    let pool = Pool::with_workers(2).unwrap();
    let _inner = [0, 1].map(|_| pool.submit(hang, ledger.clone()).unwrap());
    hang(ledger);
}

fn note((ledger, number): (String, u32)) {
    sleep(Duration::from_millis(5));
    record(&ledger, number);
}

/// Submits tasks and lets go of them.
fn submit_and_forget(pool: &Pool, ledger: &Ledger) {
    for number in 0..20 {
        drop(pool.submit(note, (ledger.path(), number)).unwrap());
    }
}

#[test]
fn dropping_a_pool_waits_for_what_was_submitted() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        submit_and_forget(&pool, &ledger);
        let kept = pool.submit(|n: u32| n + 1, 1).unwrap();
        drop(pool);
        assert_eq!(ledger.counts(), (0..20).map(|number| (number, 1)).collect());
        assert_eq!(kept.get().unwrap(), 2, "results outlive their pool");
    });
}

#[test]
fn joining_a_pool_waits_for_what_was_submitted() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        submit_and_forget(&pool, &ledger);
        let pids = pool.worker_pids();
        pool.close();
        pool.join();
        assert_eq!(ledger.entries().len(), 20);
        assert!(pool.worker_pids().is_empty());
        assert!(pids.iter().all(|&pid| !runs(pid)));
        pool.join();
        pool.terminate();
    });
}

#[test]
fn a_pool_can_be_joined_by_many() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        submit_and_forget(&pool, &ledger);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| pool.join());
            }
        });
        assert_eq!(ledger.entries().len(), 20);
    });
}

#[test]
fn a_pool_dropped_by_a_panic_does_not_wait() {
    guarded(|| {
        let ledger = Ledger::new();
        let path = ledger.path();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let pool = Pool::with_workers(1).unwrap();
            drop(pool.submit(hang, path).unwrap());
            eventually("it runs", || {
                pool.worker_pids();
                !ledger.entries().is_empty()
            });
            panic!("a panic with a busy pool, on purpose");
        }));
        assert!(result.is_err());
        let pid = ledger.entries()[0];
        eventually("the worker is gone", || !runs(pid));
    });
}

#[test]
fn terminate_does_not_wait_for_a_stuck_task() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        let tasks: Vec<_> = (0..5).map(|_| pool.submit(hang, ledger.path()).unwrap()).collect();
        eventually("two run", || {
            pool.worker_pids();
            ledger.entries().len() == 2
        });
        pool.terminate();
        for pid in ledger.entries() {
            assert!(!runs(pid));
        }
        for task in tasks {
            assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
        }
        drop(pool);
        assert_eq!(ledger.entries().len(), 2);
    });
}

#[test]
fn terminate_ends_workers_that_are_stopped() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        eventually("they are ready", || pool.worker_pids().len() == 2);
        let pids = pool.worker_pids();
        for &pid in &pids {
            kill(pid, rustix::process::Signal::STOP);
        }
        pool.terminate();
        assert!(pids.iter().all(|&pid| !runs(pid)));
    });
}

/// An idle worker that does not obey is given some seconds, then killed.
#[test]
fn dropping_a_pool_with_a_stopped_idle_worker_ends() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        eventually("they are ready", || pool.worker_pids().len() == 2);
        let pids = pool.worker_pids();
        kill(pids[0], rustix::process::Signal::STOP);
        drop(pool);
        assert!(pids.iter().all(|&pid| !runs(pid)));
    });
}

#[test]
fn shutdown_says_whether_all_was_done() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::with_workers(2).unwrap();
        submit_and_forget(&pool, &ledger);
        assert!(pool.shutdown(Duration::MAX));
        assert_eq!(ledger.entries().len(), 20);
        assert!(pool.shutdown(Duration::ZERO), "it was over already");

        let pool = Pool::with_workers(1).unwrap();
        let stuck = pool.submit(hang, ledger.path()).unwrap();
        assert!(!pool.shutdown(Duration::from_millis(50)));
        assert!(matches!(stuck.get(), Err(TaskError::Cancelled { .. })));
        assert!(pool.worker_pids().is_empty());
    });
}

/// Exit hooks are a part of the end, and a minute is too long for who has said how long it may take.
#[test]
fn a_shutdown_bounds_exit_hooks_as_well() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = Pool::builder().workers(2).exit_hook(|| sleep(FOR_EVER)).build().unwrap();
        drop(pool.submit(|ledger: String| record(&ledger, 1), ledger.path()).unwrap());
        eventually("they are ready", || pool.worker_pids().len() == 2);
        let pids = pool.worker_pids();
        let (over, ended) = std::sync::mpsc::channel();
        let all = thread::spawn(move || {
            let all = pool.shutdown(Duration::from_millis(300));
            over.send(()).unwrap();
            assert!(pids.iter().all(|&pid| !runs(pid)));
            let values = pool.exit_values::<()>();
            assert!(values.iter().all(Result::is_err), "{values:?}");
            assert_eq!(values.len(), 2);
            all
        });
        // Less than the minute that is an exit hook's otherwise, and far more than any machine takes.
        assert!(ended.recv_timeout(Duration::from_secs(40)).is_ok(), "it waits for the hooks");
        assert!(!all.join().unwrap(), "the hooks were cut off");
        assert_eq!(ledger.count(1), 1, "the task was done");
    });
}

#[test]
fn a_pool_ends_while_workers_are_being_replaced() {
    guarded(|| {
        for round in 0..20 {
            let pool = Pool::with_workers(2).unwrap();
            let kill_itself = |_: u32| std::process::abort();
            let tasks: Vec<_> =
                (0..6).map(|n| pool.submit::<u32, (), _, _>(kill_itself, n).unwrap()).collect();
            if round % 2 == 0 {
                pool.terminate();
            } else {
                pool.join();
            }
            for task in tasks {
                let error = task.get().unwrap_err();
                let expected =
                    matches!(error, TaskError::Died { .. } | TaskError::Cancelled { .. });
                assert!(expected, "{error:?}");
            }
            assert!(pool.worker_pids().is_empty());
        }
    });
}

fn wait_to_be_killed() {
    let ledger = std::env::var("LEDGER").unwrap();
    let pool = Pool::with_workers(2).unwrap();
    let _tasks = [0, 1].map(|_| pool.submit(hang_nested, ledger.clone()).unwrap());
    sleep(FOR_EVER);
}

#[test]
fn no_process_outlives_a_killed_parent() {
    guarded(|| {
        let ledger = Ledger::new();
        let mut command = command("wait to be killed");
        command.env("LEDGER", ledger.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut parent = command.spawn().unwrap();
        // Two workers, and two of each of them.
        eventually("all of them run", || ledger.entries().len() == 6);
        parent.kill().unwrap();
        parent.wait().unwrap();
        let pids = ledger.entries();
        eventually("they are gone", || !pids.iter().any(|&pid| runs(pid)));
    });
}

fn exit_with_a_forgotten_pool() {
    let ledger = std::env::var("LEDGER").unwrap();
    let pool = Box::leak(Box::new(Pool::with_workers(2).unwrap()));
    let _tasks = [0, 1].map(|_| pool.submit(hang, ledger.clone()).unwrap());
    eventually("they run", || std::fs::read(&ledger).unwrap().len() == 8);
    super::program::say("DONE");
    std::process::exit(0);
}

#[test]
fn a_forgotten_pool_leaves_nothing_behind() {
    guarded(|| {
        let ledger = Ledger::new();
        let mut command = command("exit with a pool that was forgotten");
        super::program::finish(command.env("LEDGER", ledger.path())).succeed();
        let pids = ledger.entries();
        eventually("they are gone", || !pids.iter().any(|&pid| runs(pid)));
    });
}

#[test]
fn the_program_plays_roles() {
    let finished = play("no such role");
    assert!(!finished.status.success(), "{}", finished.err);
}
