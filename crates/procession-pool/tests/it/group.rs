//! Many tasks at once: `wait` and `as_completed`.

use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::task::{Until, as_completed, wait};
use procession_pool::{Pool, Task, TaskError};

use super::guard::guarded;
use super::trap::How;

fn nap(millis: u64) -> u64 {
    sleep(Duration::from_millis(millis));
    millis
}

fn never(_: u64) -> u64 {
    sleep(Duration::from_secs(3600));
    0
}

fn die(_: u64) -> u64 {
    How::Kill.happen().unwrap();
    0
}

fn tasks(
    pool: &Pool,
    function: fn(u64) -> u64,
    items: impl IntoIterator<Item = u64>,
) -> Vec<Task<u64>> {
    items.into_iter().map(|item| pool.submit(function, item).unwrap()).collect()
}

#[test]
fn all_of_many_are_waited_for() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let tasks = tasks(&pool, |n| n + 1, 0..500);
        assert_eq!(wait(&tasks, Until::All, None), (0..500).collect::<Vec<_>>());
        assert!(tasks.iter().all(Task::is_done));
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.get().unwrap(), n + 1);
        }
        assert!(wait::<u64>(&[], Until::All, None).is_empty());
        assert!(wait::<u64>(&[], Until::FirstCompleted, None).is_empty());
    });
}

/// None of them takes the place of another.
#[test]
fn any_number_of_threads_may_wait_for_the_same_tasks() {
    guarded(|| {
        let pools = [Pool::with_workers(2).unwrap(), Pool::with_workers(1).unwrap()];
        for pools in [&pools[..1], &pools[..]] {
            let tasks: Vec<_> =
                pools.iter().flat_map(|pool| tasks(pool, nap, [30, 60, 5])).collect();
            let all: Vec<_> = (0..tasks.len()).collect();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(wait(&tasks, Until::All, None), all));
                    scope.spawn(|| assert!(!wait(&tasks, Until::FirstCompleted, None).is_empty()));
                }
                // Who has given up by then does not count.
                assert!(wait(&tasks, Until::All, Duration::ZERO).len() <= tasks.len());
            });
        }
    });
}

#[test]
fn the_first_that_is_done_ends_the_wait() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut all = tasks(&pool, never, [0]);
        all.extend(tasks(&pool, nap, [20]));
        assert_eq!(wait(&all, Until::FirstCompleted, None), [1]);
        // It was done before.
        assert_eq!(wait(&all, Until::FirstCompleted, None), [1]);
        all[0].cancel();
        assert_eq!(wait(&all, Until::All, None), [0, 1]);
    });
}

#[test]
fn the_first_error_ends_the_wait() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut all = tasks(&pool, never, [0]);
        all.extend(tasks(&pool, |n| n, [1, 2, 3]));
        all.extend(tasks(&pool, die, [4]));
        let done = wait(&all, Until::FirstError, None);
        assert!(done.contains(&4) && !done.contains(&0), "{done:?}");
        all[0].cancel();
        assert_eq!(wait(&all, Until::All, None), [0, 1, 2, 3, 4]);
        let fine = tasks(&pool, |n| n, 0..10);
        assert_eq!(wait(&fine, Until::FirstError, None).len(), 10, "without an error, all");
    });
}

#[test]
fn a_wait_ends_with_its_timeout() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let all = tasks(&pool, never, [0, 1]);
        assert!(wait(&all, Until::FirstCompleted, Duration::from_millis(20)).is_empty());
        assert!(wait(&all, Until::All, Duration::ZERO).is_empty());
        pool.terminate();
        assert_eq!(wait(&all, Until::All, None), [0, 1]);
    });
}

#[test]
fn results_come_as_they_are_done() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut all = tasks(&pool, never, [0]);
        let canceller = all[0].canceller();
        all.extend(tasks(&pool, nap, [5, 1, 3]));
        all.extend(tasks(&pool, die, [4]));
        let mut results = as_completed(all);
        assert_eq!(results.len(), 5);
        let mut others: Vec<usize> = results.by_ref().take(4).map(|(index, _)| index).collect();
        others.sort_unstable();
        assert_eq!(others, [1, 2, 3, 4]);
        canceller.cancel();
        assert!(matches!(results.next(), Some((0, Err(TaskError::Cancelled { .. })))));
        assert!(results.next().is_none() && results.next().is_none());
    });
}

#[test]
fn each_result_comes_once_also_of_many_and_of_several_pools() {
    guarded(|| {
        let pools = [Pool::with_workers(2).unwrap(), Pool::with_workers(1).unwrap()];
        let all =
            (0..600_u64).map(|n| pools[usize::from(n % 3 == 0)].submit(|n: u64| n * 2, n).unwrap());
        let mut seen = vec![false; 600];
        for (index, result) in as_completed(all) {
            assert_eq!(result.unwrap(), index as u64 * 2);
            assert!(!std::mem::replace(&mut seen[index], true), "{index} came twice");
        }
        assert!(seen.into_iter().all(|seen| seen));
        let mixed: Vec<_> = (0..50_u64)
            .map(|n| pools[usize::from(n % 2 == 0)].submit(|n: u64| n, n).unwrap())
            .collect();
        assert_eq!(wait(&mixed, Until::All, None).len(), 50);
    });
}

#[test]
fn several_threads_wait_for_tasks_of_one_pool() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        thread::scope(|scope| {
            for thread in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..20 {
                        let all = tasks(pool, |n| n + 1, (0..20).map(|n| n + thread * round));
                        let results =
                            as_completed(all).map(|(index, result)| (index, result.unwrap()));
                        let sum: u64 = results.map(|(_, value)| value).sum();
                        assert_eq!(sum, (0..20).map(|n| n + 1 + thread * round).sum());
                        let all = tasks(pool, |n| n, 0..20);
                        assert_eq!(wait(&all, Until::All, None).len(), 20);
                    }
                });
            }
        });
    });
}

#[test]
fn a_task_of_many_items_counts_when_all_are_there() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let all =
            [pool.map_async(nap, vec![1; 30]).unwrap(), pool.map_async(die, [1, 2, 3]).unwrap()];
        assert_eq!(wait(&all, Until::All, None), [0, 1]);
        let mut results: Vec<_> = as_completed(all).collect();
        results.sort_by_key(|(index, _)| *index);
        assert_eq!(results[0].1.as_ref().unwrap().len(), 30);
        assert!(results[1].1.is_err());
    });
}
