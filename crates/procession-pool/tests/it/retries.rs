//! Items that are tried again.

use std::time::Duration;

use procession_pool::{Pool, TaskError};
use procession_process::Failure;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::trap::{How, Place, Trap, assert_sound, job, spring};

/// Fails in the way `how` until it has run `tries` times.
fn at_last((ledger, tries, how): (String, usize, How)) -> Result<usize, Failure> {
    record(&ledger, 0);
    let ran = std::fs::read(&ledger)?.len() / 4;
    if ran < tries {
        how.happen()?;
    }
    Ok(ran)
}

fn kind(error: &TaskError) -> How {
    match error {
        TaskError::Failed { .. } => How::Fail,
        TaskError::Panicked { .. } => How::Panic,
        TaskError::TimedOut { .. } => How::Stop,
        TaskError::Died { .. } => How::Kill,
        other => panic!("{other:?}"),
    }
}

const RETRIED: [How; 4] = [How::Fail, How::Panic, How::Stop, How::Kill];

#[test]
fn an_item_that_succeeds_at_the_last_try_is_a_success() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for how in RETRIED {
            let job = job(&pool, how).retries(3);
            let (one, two) = (Ledger::new(), Ledger::new());
            assert_eq!(job.map(at_last, [(one.path(), 4, how)]).unwrap(), [4]);
            assert_eq!(job.submit(at_last, (two.path(), 4, how)).unwrap().get().unwrap(), 4);
            assert_eq!((one.count(0), two.count(0)), (4, 4));
        }
        assert_sound(&pool);
    });
}

#[test]
fn used_up_retries_list_every_try_in_order() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for how in RETRIED {
            let ledger = Ledger::new();
            let job = job(&pool, how).retries(3);
            let error = job.map(at_last, [(ledger.path(), 9, how)]).unwrap_err();
            assert_eq!(kind(&error), how);
            assert_eq!(error.attempts().len(), 3);
            for earlier in error.attempts() {
                assert_eq!((kind(earlier), earlier.item()), (how, Some(0)));
                assert!(earlier.attempts().is_empty());
            }
            assert!(error.to_string().ends_with("(try 4 of 4)"), "{error}");
            assert_eq!(ledger.count(0), 4);
        }
        assert_sound(&pool);
    });
}

/// Each death is that of another process.
#[test]
fn deaths_are_listed_with_their_processes() {
    guarded(|| {
        let pool = Pool::builder().workers(2).retries(4).build().unwrap();
        let kill = |_: u8| How::Kill.happen().unwrap();
        let error = pool.apply(kill, 0).unwrap_err();
        let all = error.attempts().iter().chain([&error]);
        let mut pids: Vec<u32> = all
            .map(|error| match error {
                TaskError::Died { pid, .. } => *pid,
                other => panic!("{other:?}"),
            })
            .collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 5);
        assert_sound(&pool);
    });
}

#[test]
fn what_cannot_be_encoded_or_decoded_is_not_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for place in [Place::Argument, Place::Result] {
            let ledger = Ledger::new();
            let traps = Trap::series(&ledger, 10, 5, place, How::Fail);
            let outcomes: Vec<_> = pool.job().retries(3).imap(spring, traps).collect();
            let error = outcomes[5].as_ref().unwrap_err();
            let expected = match place {
                Place::Argument => matches!(error, TaskError::Decode { item: 5, .. }),
                _ => matches!(error, TaskError::Encode { item: 5, .. }),
            };
            assert!(expected, "{error:?}");
            assert_eq!(ledger.count(5), 1);
        }
        assert_sound(&pool);
    });
}

#[test]
fn only_the_item_that_failed_is_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let traps = Trap::series(&ledger, 60, 30, Place::Function, How::Kill);
        let outcomes: Vec<_> = pool.job().retries(2).imap(spring, traps).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        for (number, count) in ledger.counts() {
            assert_eq!(count, if number == 30 { 3 } else { 1 }, "item {number}");
        }
        assert_sound(&pool);
    });
}

/// A dropped task goes on, and that includes its retries.
#[test]
fn a_dropped_task_is_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        drop(pool.job().retries(2).submit(at_last, (ledger.path(), 3, How::Kill)).unwrap());
        eventually("the third try", || ledger.count(0) == 3);
        assert_sound(&pool);
    });
}

/// Also if it comes while the worker dies that its last try was killed with.
#[test]
fn a_task_whose_tries_are_called_off_is_cancelled() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let job = pool.job().retries(u32::MAX).timeout(Duration::from_millis(2));
        for round in 0..60 {
            let task = job.submit(std::thread::sleep, Duration::MAX).unwrap();
            std::thread::sleep(Duration::from_micros(3000 + 50 * round));
            assert!(task.cancel());
            let ended = task.get();
            assert!(matches!(ended, Err(TaskError::Cancelled { item: 0, .. })), "{ended:?}");
        }
        assert_sound(&pool);
    });
}

#[test]
fn retries_do_not_hold_up_other_items() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let job = pool.job().retries(u32::MAX).timeout(Duration::from_millis(20));
        let hopeless = job.submit(at_last, (ledger.path(), usize::MAX, How::Stop)).unwrap();
        for n in 0..200 {
            assert_eq!(pool.apply(|n: u64| n * 2, n).unwrap(), n * 2);
        }
        eventually("a few tries", || ledger.count(0) > 3);
        assert!(hopeless.cancel());
        assert!(matches!(hopeless.get(), Err(TaskError::Cancelled { item: 0, .. })));
        assert_sound(&pool);
    });
}
