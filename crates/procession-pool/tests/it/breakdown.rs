//! Pools that break down: everything has an outcome, and nothing of them runs on.

use std::thread::sleep;
use std::time::Duration;

use procession_pool::{Pool, PoolBuilder, PoolError, SubmitError, TaskError};
use procession_process::Failure;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::runs;
use super::trap::How;

const FOR_EVER: Duration = Duration::from_secs(600);

/// Writes its process down and then sleeps for ever.
fn hang(ledger: String) {
    record(&ledger, std::process::id());
    sleep(FOR_EVER);
}

/// One death is one too many.
fn brittle() -> PoolBuilder {
    Pool::builder().workers(3).restart_intensity(0, Duration::from_secs(3600))
}

fn is_broken(error: &TaskError) -> bool {
    matches!(error, TaskError::Broken(why) if matches!(**why, PoolError::TooManyRestarts { .. }))
}

/// Nobody drops, joins or terminates it.
#[test]
fn a_pool_that_breaks_down_leaves_no_worker_behind() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = brittle().build().unwrap();
        eventually("they are ready", || pool.worker_pids().len() == 3);
        let pids = pool.worker_pids();
        let stuck = pool.submit(hang, ledger.path()).unwrap();
        let queued = (0..9).map(|_| pool.submit(hang, ledger.path()).unwrap()).skip(1);
        let queued: Vec<_> = queued.collect();
        eventually("three are stuck", || ledger.entries().len() == 3);
        super::idle::kill(pids[0], rustix::process::Signal::KILL);
        let mut broken = 0;
        for task in std::iter::once(stuck).chain(queued) {
            let error = task.get().unwrap_err();
            assert!(matches!(error, TaskError::Died { .. }) || is_broken(&error), "{error:?}");
            broken += usize::from(is_broken(&error));
        }
        assert_eq!(broken, 8, "one died");
        eventually("no worker is left", || !pids.iter().any(|&pid| runs(pid)));
        assert!(matches!(pool.submit(hang, ledger.path()), Err(SubmitError::Broken(_))));
        assert!(pool.worker_pids().is_empty());
        assert_eq!(ledger.entries().len(), 3, "nothing else has begun");
    });
}

/// Who had nothing to do with it says what there is to say.
#[test]
fn idle_workers_of_a_pool_that_breaks_down_run_their_exit_hook() {
    guarded(|| {
        let ledger = Ledger::new();
        let pool = brittle().exit_hook(std::process::id).build().unwrap();
        eventually("they are ready", || pool.worker_pids().len() == 3);
        let pids = pool.worker_pids();
        let stuck = pool.submit(hang, ledger.path()).unwrap();
        eventually("it is stuck", || !ledger.entries().is_empty());
        let died = pool.apply(|how: How| how.happen().unwrap(), How::Kill).unwrap_err();
        assert!(matches!(died, TaskError::Died { .. }), "{died:?}");
        assert!(is_broken(&stuck.get().unwrap_err()));
        eventually("no worker is left", || !pids.iter().any(|&pid| runs(pid)));
        pool.join();
        let values: Vec<u32> = pool.exit_values().into_iter().map(Result::unwrap).collect();
        assert_eq!(values.len(), 1, "{values:?}");
        assert!(pids.contains(&values[0]) && !ledger.entries().contains(&values[0]));
    });
}

/// The initializer works in the first worker, and fails in all others once that is busy.
#[test]
fn a_busy_worker_does_not_outlive_a_pool_whose_initializer_fails() {
    guarded(|| {
        let (starts, ledger) = (Ledger::new(), Ledger::new());
        let once = |(starts, ledger): (String, String)| {
            record(&starts, std::process::id());
            if std::fs::read(&starts)?.starts_with(&std::process::id().to_le_bytes()) {
                return Ok(());
            }
            eventually("the first is busy", || std::fs::metadata(&ledger).unwrap().len() > 0);
            Err(Failure::msg("no licence"))
        };
        let argument = (starts.path(), ledger.path());
        let pool = Pool::builder().workers(2).initializer_with(once, argument).build().unwrap();
        let error = pool.apply(hang, ledger.path()).unwrap_err();
        let TaskError::Broken(why) = error else { panic!("{error:?}") };
        assert!(matches!(*why, PoolError::Init(_)), "{why:?}");
        let busy = ledger.entries()[0];
        eventually("it is gone", || !runs(busy));
    });
}
