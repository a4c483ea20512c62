//! Plain tests, which the test runner runs at the same time: on threads of one process (libtest) or in a process each (nextest).

use std::sync::Barrier;
use std::thread;

use procession::prelude::*;

fn square(n: u64) -> u64 {
    n * n
}

#[test]
fn a_pool_works_in_a_test() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(square, 0..5).unwrap(), [0, 1, 4, 9, 16]);
}

#[test]
fn another_pool_works_in_another_test() {
    let pool = Pool::with_workers(3).unwrap();
    let mut cubes: Vec<u64> =
        pool.imap_unordered(|n: u64| n * n * n, 0..5).collect::<Result<_, _>>().unwrap();
    cubes.sort_unstable();
    assert_eq!(cubes, [0, 1, 8, 27, 64]);
}

#[test]
fn the_global_pool_works_in_a_test() {
    let pool = Pool::global().unwrap();
    assert_eq!(pool.apply(square, 12).unwrap(), 144);
}

#[test]
fn the_global_pool_is_the_same_in_another_test() {
    let pool = Pool::global().unwrap();
    assert_eq!(pool.workers(), procession::cpu_count());
    assert_eq!(pool.map(square, 5..7).unwrap(), [25, 36]);
}

#[test]
fn tests_with_pools_at_the_same_time_do_not_disturb_each_other() {
    let all_have_one = Barrier::new(4);
    thread::scope(|scope| {
        for offset in 0..4 {
            let all_have_one = &all_have_one;
            scope.spawn(move || {
                let pool = Pool::with_workers(2).unwrap();
                all_have_one.wait();
                let squares: Vec<u64> = (offset..offset + 1000).map(square).collect();
                assert_eq!(pool.map(square, offset..offset + 1000).unwrap(), squares);
            });
        }
    });
}

#[test]
fn a_panic_in_a_worker_does_not_fail_the_test_by_itself() {
    let pool = Pool::with_workers(1).unwrap();
    let error = pool.apply(|n: u32| assert_eq!(n, 1, "as it should"), 2).unwrap_err();
    assert!(matches!(error, TaskError::Panicked { item: 0, .. }), "{error}");
    assert!(pool.apply(|n: u32| assert_eq!(n, 1, "as it should"), 1).is_ok());
}
