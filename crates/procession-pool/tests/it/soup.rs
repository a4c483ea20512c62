//! Everything at once: many threads use one pool in every way while its workers are killed. What is looked for is a hang.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::{Pool, Task, TaskError};
use rustix::process::{Pid, Signal, kill_process};

use super::guard::guarded;
use super::scribbler::{Random, seed};
use super::trap::assert_sound;

fn work(n: u64) -> u64 {
    if n % 97 == 13 {
        sleep(Duration::from_millis(1));
    }
    n + 1
}

fn is_right(result: Result<u64, TaskError>, expected: u64) {
    match result {
        Ok(value) => assert_eq!(value, expected),
        Err(error) => assert!(matches!(error, TaskError::Died { .. }), "{error:?}"),
    }
}

/// One of the ways to use a pool.
fn use_it(pool: &Pool, random: &mut Random) {
    let n = random.next() % 1000;
    let job = pool.job().retries(1000);
    match random.next() % 10 {
        0 => assert_eq!(job.map(work, n..n + 50).unwrap(), (n + 1..n + 51).collect::<Vec<_>>()),
        1 => {
            for (expected, result) in (n + 1..).zip(pool.imap(work, n..).take(30)) {
                is_right(result, expected);
            }
        }
        2 => drop(pool.imap_unordered(work, 0..n).nth(2)),
        3 => is_right(pool.apply(work, n), n + 1),
        4 => await_at_last(pool.submit(work, n).unwrap(), n + 1),
        5 => {
            let task = job.submit(work, n).unwrap();
            if task.cancel() {
                let error = task.get();
                let expected = matches!(error, Err(TaskError::Cancelled { .. }));
                assert!(expected || error.as_ref().is_ok_and(|value| *value == n + 1), "{error:?}");
            }
        }
        6 => assert_eq!(job.map_async(work, 0..40).unwrap().get().unwrap().len(), 40),
        7 => drop(job.submit(work, n).unwrap()),
        8 => {
            let task = job.submit(work, n).unwrap();
            while !task.is_done() {
                thread::yield_now();
            }
            assert_eq!(task.get().unwrap(), n + 1);
        }
        _ => assert!(pool.worker_pids().len() <= pool.workers()),
    }
}

/// Polls with a waker that does nothing, and then waits in the usual way.
fn await_at_last(mut task: Task<u64>, expected: u64) {
    let mut context = Context::from_waker(Waker::noop());
    if let std::task::Poll::Ready(result) = Pin::new(&mut task).poll(&mut context) {
        return is_right(result, expected);
    }
    is_right(task.get(), expected);
}

fn kill_now_and_then(pool: &Pool, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(7));
        let pids = pool.worker_pids();
        if let Some(pid) = pids.first().and_then(|&pid| Pid::from_raw(pid.cast_signed())) {
            // It may have gone by itself.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn soup(workers: usize, threads: u64, rounds: usize, kills: bool) {
    guarded(move || {
        let pool = Pool::with_workers(workers).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let killer = kills.then(|| scope.spawn(|| kill_now_and_then(&pool, &over)));
            let users: Vec<_> = (1..=threads)
                .map(|user| {
                    let pool = &pool;
                    scope.spawn(move || {
                        let random = &mut Random(seed() ^ user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                        (0..rounds).for_each(|_| use_it(pool, random));
                    })
                })
                .collect();
            let results: Vec<_> = users.into_iter().map(|user| user.join()).collect();
            over.store(true, Ordering::SeqCst);
            if let Some(killer) = killer {
                killer.join().unwrap();
            }
            results.into_iter().for_each(|result| result.unwrap());
        });
        assert_sound(&pool);
    });
}

#[test]
fn all_verbs_on_many_threads() {
    soup(2, 6, 300, false);
}

#[test]
fn all_verbs_on_many_threads_while_workers_die() {
    soup(2, 6, 300, true);
}

#[test]
fn all_verbs_with_one_worker_that_dies() {
    soup(1, 4, 150, true);
}
