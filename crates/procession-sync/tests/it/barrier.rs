//! The barrier within one process.

use std::thread;
use std::time::Duration;

use procession_sync::{Barrier, BarrierError};

fn broken<T>(result: &Result<T, BarrierError>) -> bool {
    matches!(result, Err(BarrierError::Broken))
}

/// Python's test passes ten times and a thousand times.
#[test]
fn it_can_be_passed_a_thousand_times() {
    static BARRIER: Barrier = Barrier::new(3);
    const ROUNDS: usize = 1_000;
    let pass = || (0..ROUNDS).map(|_| BARRIER.wait().unwrap()).collect::<Vec<_>>();
    let passed = thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(pass));
        threads.map(|thread| thread.join().unwrap())
    });
    for round in 0..ROUNDS {
        let mut indices: Vec<_> = passed.iter().map(|results| results[round].index()).collect();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2]);
        assert_eq!(passed.iter().filter(|results| results[round].is_leader()).count(), 1);
    }
}

#[test]
fn with_one_party_or_none_nobody_waits() {
    for parties in [0, 1] {
        let barrier = Barrier::new(parties);
        assert_eq!(barrier.parties(), 1);
        for _ in 0..3 {
            assert!(barrier.wait().unwrap().is_leader());
        }
    }
}

#[test]
fn who_runs_out_of_time_breaks_it_for_all() {
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        let patient = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            thread::yield_now();
        }
        let hasty = barrier.wait_timeout(Duration::from_millis(5));
        assert!(matches!(hasty, Err(BarrierError::TimedOut)));
        assert!(broken(&patient.join().unwrap()));
    });
    assert!(barrier.is_broken());
    assert_eq!(barrier.waiting(), 0);
    assert!(broken(&barrier.wait()));
    assert!(broken(&barrier.wait_timeout(Duration::ZERO)));
}

#[test]
fn a_reset_sends_away_who_waits_and_makes_it_new() {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            thread::yield_now();
        }
        barrier.reset().unwrap();
        assert!(broken(&waiter.join().unwrap()));
        let waiter = scope.spawn(|| barrier.wait());
        assert!(barrier.wait().is_ok());
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn an_abort_breaks_it_until_a_reset() {
    let barrier = Barrier::new(2);
    barrier.abort().unwrap();
    assert!(broken(&barrier.wait()));
    barrier.abort().unwrap();
    barrier.reset().unwrap();
    // Twice, so that the round that was broken and this one are counted on the same side.
    barrier.reset().unwrap();
    assert!(!barrier.is_broken());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait().is_ok());
        assert!(barrier.wait().is_ok());
        assert!(waiter.join().unwrap());
    });
}

/// What was counted for a round that was reset must not count for the one after the next, which is on the same side.
#[test]
fn arrivals_of_a_reset_round_do_not_come_back() {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..3 {
            let waiter = scope.spawn(|| barrier.wait());
            while barrier.waiting() == 0 {
                thread::yield_now();
            }
            barrier.reset().unwrap();
            barrier.reset().unwrap();
            assert!(broken(&waiter.join().unwrap()));
            assert_eq!(barrier.waiting(), 0);
        }
    });
}

#[test]
fn places_are_for_processes_and_not_for_parties() {
    let barrier: Barrier<1> = Barrier::with_holders(30_000);
    assert_eq!(barrier.parties(), 30_000);
    assert!(format!("{barrier:?}").contains("waiting: 0"));
}

#[test]
#[should_panic(expected = "more parties than a barrier with so few holders can count")]
fn parties_that_can_never_all_be_counted_are_refused() {
    let _ = Barrier::<2>::with_holders(2 * 32_767 + 1);
}

#[test]
fn as_many_parties_as_can_be_counted_are_taken() {
    assert_eq!(Barrier::<2>::with_holders(2 * 32_767).parties(), 2 * 32_767);
}
