//! The reader-writer lock within one process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use procession_sync::{LockError, RwLock};

#[test]
fn readers_see_whole_values_while_writers_write() {
    static PAIR: RwLock<(u64, u64)> = RwLock::new((0, 0));
    const ROUNDS: u64 = 5_000;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut pair = PAIR.write().unwrap();
                    pair.0 += 1;
                    pair.1 += 1;
                }
            });
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let pair = PAIR.read().unwrap();
                    assert_eq!(pair.0, pair.1);
                }
            });
        }
    });
    assert_eq!(*PAIR.read().unwrap(), (2 * ROUNDS, 2 * ROUNDS));
}

#[test]
fn many_read_at_once_and_one_writes_alone() {
    let lock = RwLock::new(1);
    let (one, two) = (lock.read().unwrap(), lock.read().unwrap());
    assert_eq!(*one + *two, 2);
    assert!(lock.try_write().unwrap().is_none());
    assert!(lock.write_timeout(Duration::from_millis(5)).unwrap().is_none());
    assert!(lock.try_read().unwrap().is_some(), "a writer that gave up keeps nobody out");
    drop((one, two));
    let write = lock.try_write().unwrap().unwrap();
    assert!(lock.try_read().unwrap().is_none());
    assert!(lock.try_write().unwrap().is_none());
    assert!(lock.read_timeout(Duration::from_millis(5)).unwrap().is_none());
    drop(write);
    assert!(lock.read_timeout(Duration::ZERO).unwrap().is_some());
    assert!(lock.write_timeout(Duration::ZERO).unwrap().is_some());
}

/// With readers that always overlap, a writer would never come in if it had to wait for a gap.
#[test]
fn a_writer_that_waits_keeps_new_readers_out() {
    let lock = RwLock::new(0);
    let has_written = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !has_written.load(Ordering::Relaxed) {
                    let guard = lock.read().unwrap();
                    thread::yield_now();
                    drop(guard);
                }
            });
        }
        let read = lock.read().unwrap();
        let writer = scope.spawn(|| *lock.write().unwrap() = 1);
        while lock.try_read().unwrap().is_some() {
            thread::yield_now();
        }
        drop(read);
        writer.join().unwrap();
        has_written.store(true, Ordering::Relaxed);
    });
    assert_eq!(*lock.read().unwrap(), 1);
}

#[test]
#[expect(clippy::mem_forget, reason = "guards that are forgotten")]
fn one_share_too_many_is_an_error_and_not_a_wrap_around() {
    let lock: RwLock<u8, 1> = RwLock::with_holders(0);
    for _ in 0..32_767 {
        std::mem::forget(lock.read().unwrap());
    }
    assert!(matches!(lock.read(), Err(LockError::TooManyHolders { cells: 1 })));
    assert!(lock.try_write().unwrap().is_none());
}

#[test]
fn a_writers_panic_poisons_and_a_readers_does_not() {
    let lock = RwLock::new(1);
    let reads = || {
        let _guard = lock.read().unwrap();
        resume_unwind(Box::new("quietly"));
    };
    catch_unwind(AssertUnwindSafe(reads)).unwrap_err();
    assert!(lock.write().is_ok());
    let writes = || {
        let _guard = lock.write().unwrap();
        resume_unwind(Box::new("quietly"));
    };
    catch_unwind(AssertUnwindSafe(writes)).unwrap_err();
    assert!(lock.is_poisoned());
    assert!(matches!(lock.read(), Err(LockError::Poisoned)));
    assert!(matches!(lock.try_write(), Err(LockError::Poisoned)));
    assert!(format!("{lock:?}").contains("Poisoned"));
    assert_eq!(*lock.write_or_reset(|| 2), 2);
    assert_eq!(*lock.read().unwrap(), 2);
    catch_unwind(AssertUnwindSafe(writes)).unwrap_err();
    assert_eq!(*lock.write_or_keep(), 2);
    catch_unwind(AssertUnwindSafe(writes)).unwrap_err();
    lock.clear_poison();
    assert_eq!(lock.into_inner().unwrap(), 2);
}
