//! The semaphore within one process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use procession_sync::{LockError, PERMITS_MAX, Semaphore, TooManyPermits};

#[test]
fn there_are_never_more_holders_than_permits() {
    static SEATS: Semaphore = Semaphore::new(2);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let _permit = SEATS.acquire().unwrap();
                    assert!(INSIDE.fetch_add(1, Ordering::Relaxed) < 2);
                    INSIDE.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(SEATS.available_permits(), 2);
}

#[test]
fn without_a_free_permit_nothing_is_had_by_trying_nor_in_time() {
    let seats = Semaphore::new(1);
    let permit = seats.acquire().unwrap();
    assert!(seats.try_acquire().unwrap().is_none());
    for timeout in [Duration::ZERO, Duration::from_millis(5)] {
        assert!(seats.acquire_timeout(timeout).unwrap().is_none());
    }
    drop(permit);
    assert!(seats.acquire_timeout(Duration::ZERO).unwrap().is_some());
}

#[test]
fn a_released_permit_reaches_who_waits() {
    let seats = Semaphore::new(0);
    thread::scope(|scope| {
        let waiters = [(); 3].map(|()| {
            scope.spawn(|| seats.acquire_timeout(Duration::from_secs(60)).unwrap().is_some())
        });
        thread::sleep(Duration::from_millis(10));
        seats.add_permits(1).unwrap();
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
    });
    assert_eq!(seats.available_permits(), 1);
}

/// Python's over-release is an error only with a bounded semaphore; here the only bound is what can be counted.
#[test]
fn more_permits_than_can_be_counted_are_refused() {
    let seats = Semaphore::new(u32::MAX);
    assert_eq!(seats.available_permits(), PERMITS_MAX);
    let refused = seats.add_permits(1).unwrap_err();
    assert_eq!(refused, TooManyPermits { permits: PERMITS_MAX, added: 1 });
    seats.acquire().unwrap().forget();
    assert_eq!(seats.add_permits(u32::MAX).unwrap_err().added, u32::MAX);
    seats.add_permits(1).unwrap();
    seats.add_permits(0).unwrap();
    assert_eq!(seats.available_permits(), PERMITS_MAX);
}

#[test]
fn a_forgotten_permit_is_gone_until_one_is_added() {
    let seats = Semaphore::new(2);
    seats.acquire().unwrap().forget();
    assert_eq!(seats.available_permits(), 1);
    drop(seats.acquire().unwrap());
    assert_eq!(seats.available_permits(), 1);
    seats.add_permits(1).unwrap();
    assert_eq!(seats.available_permits(), 2);
}

#[test]
fn it_signals_between_two_who_never_give_back() {
    let (full, empty) = (Semaphore::new(0), Semaphore::new(1));
    const ROUNDS: u32 = 1_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                empty.acquire().unwrap().forget();
                full.add_permits(1).unwrap();
            }
        });
        for _ in 0..ROUNDS {
            full.acquire().unwrap().forget();
            empty.add_permits(1).unwrap();
        }
    });
    assert_eq!((full.available_permits(), empty.available_permits()), (0, 1));
}

#[test]
fn one_permit_more_than_can_be_counted_for_a_process_is_an_error() {
    let seats: Semaphore<1> = Semaphore::with_holders(40_000);
    let mut permits: Vec<_> = (0..32_767).map(|_| seats.acquire().unwrap()).collect();
    assert!(matches!(seats.acquire(), Err(LockError::TooManyHolders { cells: 1 })));
    assert!(matches!(seats.try_acquire(), Err(LockError::TooManyHolders { cells: 1 })));
    permits.pop();
    assert!(seats.try_acquire().unwrap().is_some());
    drop(permits);
    assert_eq!(seats.available_permits(), 40_000);
}
