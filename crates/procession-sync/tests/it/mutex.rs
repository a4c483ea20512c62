//! The mutex within one process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use procession_sync::{LockError, Mutex};

const ROUNDS: u64 = 20_000;

fn poison<T: Send>(mutex: &Mutex<T>) {
    let inside = || {
        let _guard = mutex.lock().unwrap();
        resume_unwind(Box::new("quietly"));
    };
    catch_unwind(AssertUnwindSafe(inside)).unwrap_err();
}

#[test]
fn threads_take_turns() {
    static COUNT: Mutex<u64> = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| *COUNT.lock().unwrap() += 1));
        }
    });
    assert_eq!(*COUNT.lock().unwrap(), 4 * ROUNDS);
}

#[test]
fn a_held_mutex_is_not_had_by_trying_nor_in_time() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(mutex.try_lock().unwrap().is_none());
            for timeout in [Duration::ZERO, Duration::from_millis(5)] {
                assert!(mutex.lock_timeout(timeout).unwrap().is_none());
            }
        });
    });
    drop(guard);
    assert_eq!(*mutex.lock_timeout(Duration::ZERO).unwrap().unwrap(), 1, "free, so had at once");
    assert_eq!(*mutex.lock_timeout(Duration::MAX).unwrap().unwrap(), 1);
}

#[test]
fn who_waits_with_a_deadline_gets_what_is_given_back_in_time() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| *mutex.lock_timeout(Duration::from_secs(60)).unwrap().unwrap());
        thread::sleep(Duration::from_millis(10));
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

/// Some give up just when they are woken; that must not be the wake-up of those who do not.
#[test]
fn who_gives_up_takes_no_wake_up_along() {
    let mutex = Mutex::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS / 10).for_each(|_| *mutex.lock().unwrap() += 1));
        }
        scope.spawn(|| {
            for round in 0..ROUNDS / 10 {
                drop(mutex.lock_timeout(Duration::from_nanos(round % 50 * 1000)).unwrap());
            }
        });
    });
    assert_eq!(*mutex.lock().unwrap(), 2 * (ROUNDS / 10));
}

/// Python's over-release: here only a guard releases, and once.
#[test]
fn one_thread_that_locks_twice_waits_for_itself() {
    let mutex = Mutex::new(());
    let _guard = mutex.lock().unwrap();
    assert!(mutex.try_lock().unwrap().is_none());
    assert!(mutex.lock_timeout(Duration::from_millis(5)).unwrap().is_none());
}

#[test]
fn a_panic_inside_poisons_until_somebody_clears_it() {
    let mutex = Mutex::new(5);
    poison(&mutex);
    assert!(mutex.is_poisoned());
    assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
    assert!(matches!(mutex.try_lock(), Err(LockError::Poisoned)));
    assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(LockError::Poisoned)));
    mutex.clear_poison();
    assert!(!mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap(), 5);
    mutex.clear_poison();
}

#[test]
fn who_waits_learns_of_a_panic() {
    let mutex = Mutex::new(5);
    thread::scope(|scope| {
        let guard = mutex.lock().unwrap();
        let waiters = [(); 3].map(|()| scope.spawn(|| mutex.lock().map(drop)));
        thread::sleep(Duration::from_millis(10));
        let panics = move || {
            let _guard = guard;
            resume_unwind(Box::new("quietly"));
        };
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Err(LockError::Poisoned)));
        }
    });
}

#[test]
fn a_guard_made_while_panicking_does_not_poison() {
    struct LocksInDrop<'a>(&'a Mutex<u32>);
    impl Drop for LocksInDrop<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::new(0);
    let panics = || {
        let _locks = LocksInDrop(&mutex);
        resume_unwind(Box::new("quietly"));
    };
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn a_reset_replaces_what_a_panic_left_and_nothing_else() {
    let mutex = Mutex::new(String::from("sound"));
    assert_eq!(*mutex.lock_or_reset(|| unreachable!()), "sound");
    poison(&mutex);
    assert_eq!(*mutex.lock_or_reset(|| "new".into()), "new");
    assert_eq!(*mutex.lock().unwrap(), "new");
}

#[test]
fn a_reset_that_panics_leaves_all_as_it_was() {
    let mutex = Mutex::new(1);
    poison(&mutex);
    let resets = || drop(mutex.lock_or_reset(|| resume_unwind(Box::new("quietly"))));
    catch_unwind(AssertUnwindSafe(resets)).unwrap_err();
    assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
    assert_eq!(*mutex.lock_or_reset(|| 2), 2);
}

#[test]
fn what_was_poisoned_can_be_kept() {
    let mutex = Mutex::new(3_u32);
    poison(&mutex);
    assert_eq!(*mutex.lock_or_keep(), 3);
    assert_eq!(*mutex.lock().unwrap(), 3);
}

#[test]
#[expect(clippy::mem_forget, reason = "a guard that is forgotten")]
fn a_forgotten_guard_keeps_the_lock_and_is_no_hindrance_to_its_owner() {
    let mut mutex = Mutex::new(1);
    std::mem::forget(mutex.lock().unwrap());
    assert!(mutex.try_lock().unwrap().is_none());
    *mutex.get_mut().unwrap() = 2;
    assert_eq!(mutex.into_inner().unwrap(), 2);
}

#[test]
fn who_has_it_alone_learns_of_the_poison() {
    let mut mutex = Mutex::new(1);
    poison(&mutex);
    assert!(matches!(mutex.get_mut(), Err(LockError::Poisoned)));
    assert!(matches!(mutex.into_inner(), Err(LockError::Poisoned)));
}

#[test]
fn values_are_dropped_once() {
    use std::rc::Rc;
    let value = Rc::new(());
    let mutex = Mutex::new(Rc::clone(&value));
    assert_eq!(Rc::strong_count(&value), 2);
    drop(mutex);
    assert_eq!(Rc::strong_count(&value), 1);
    drop(Mutex::new(Rc::clone(&value)).into_inner().unwrap());
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn it_shows_what_can_be_seen_without_waiting() {
    let mutex = Mutex::from(7);
    assert!(format!("{mutex:?}").contains("value: 7"));
    let guard = mutex.lock().unwrap();
    assert!(format!("{mutex:?}").contains("<locked>"));
    assert_eq!((format!("{guard:?}"), guard.to_string()), ("7".into(), "7".into()));
    drop(guard);
    poison(&mutex);
    assert!(format!("{mutex:?}").contains("Poisoned"));
}
