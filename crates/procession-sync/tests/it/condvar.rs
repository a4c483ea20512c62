//! The condition variable within one process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use procession_sync::{Condvar, LockError, Mutex};

#[test]
fn two_pass_a_ball() {
    static TURN: Mutex<u32> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    const ROUNDS: u32 = 1_000;
    let play = |parity: u32| {
        for _ in 0..ROUNDS {
            let turn = TURN.lock().unwrap();
            let mut turn = CHANGED.wait_while(turn, |turn| *turn % 2 != parity).unwrap();
            *turn += 1;
            drop(turn);
            CHANGED.notify_one();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        play(1);
    });
    assert_eq!(*TURN.lock().unwrap(), 2 * ROUNDS);
}

#[test]
fn all_are_woken_at_once() {
    let (open, opened) = (Mutex::new(false), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap()));
        }
        thread::sleep(Duration::from_millis(10));
        *open.lock().unwrap() = true;
        opened.notify_all();
    });
}

#[test]
fn time_runs_out_under_the_mutex() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let guard = mutex.lock().unwrap();
    let (guard, result) = condvar.wait_timeout(guard, Duration::from_millis(5)).unwrap();
    assert!(result.timed_out());
    let asked = std::cell::Cell::new(0);
    let never = |value: &mut i32| {
        asked.set(asked.get() + 1);
        *value == 0
    };
    let (mut guard, result) =
        condvar.wait_timeout_while(guard, Duration::from_millis(5), never).unwrap();
    assert!(result.timed_out());
    assert!(asked.get() >= 2, "asked once more when time was over");
    *guard = 1;
    let (guard, result) = condvar.wait_timeout_while(guard, Duration::ZERO, never).unwrap();
    assert!(!result.timed_out(), "what is so already needs no time");
    assert!(mutex.try_lock().unwrap().is_none());
    drop(guard);
}

#[test]
fn to_notify_nobody_is_nothing() {
    let condvar = Condvar::new();
    condvar.notify_one();
    condvar.notify_all();
    let mutex = Mutex::new(());
    let result = condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(5)).unwrap().1;
    assert!(result.timed_out(), "a notification is for those who wait already");
}

#[test]
fn who_waits_learns_that_somebody_panicked_inside() {
    let (mutex, condvar) = (Mutex::new(false), Condvar::new());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = mutex.lock().unwrap();
            condvar.wait_while(guard, |ready| !*ready).map(drop)
        });
        thread::sleep(Duration::from_millis(10));
        let panics = || {
            let _guard = mutex.lock().unwrap();
            resume_unwind(Box::new("quietly"));
        };
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        condvar.notify_all();
        assert!(matches!(waiter.join().unwrap(), Err(LockError::Poisoned)));
    });
}
