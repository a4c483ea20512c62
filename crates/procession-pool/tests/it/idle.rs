//! Workers that are killed from outside while they have nothing to do.

use procession_pool::Pool;
use rustix::process::{Pid, Signal, kill_process};

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::trap::assert_sound;

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Runs [`note`] on the pool in one of its ways; gives the results in order.
type Call = fn(&Pool, Vec<(String, u32)>) -> Vec<u32>;

fn note((ledger, number): (String, u32)) -> u32 {
    record(&ledger, number);
    number
}

fn all_ready(pool: &Pool) -> Vec<u32> {
    eventually("the workers are ready", || pool.worker_pids().len() == pool.workers());
    pool.worker_pids()
}

/// Whether the reaper has noticed the deaths or not when the next call comes must make no difference.
fn survives(pause_ms: u64, call: Call) {
    guarded(move || {
        let pool = Pool::with_workers(2).unwrap();
        for round in 0..10 {
            let ledger = Ledger::new();
            let pids = all_ready(&pool);
            for &pid in &pids[round % 2..] {
                kill(pid, Signal::KILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(pause_ms));
            let items = (0..40).map(|number| (ledger.path(), number)).collect();
            assert_eq!(call(&pool, items), (0..40).collect::<Vec<_>>());
            let once: Vec<_> = (0..40).map(|number| (number, 1)).collect();
            assert_eq!(ledger.counts().into_iter().collect::<Vec<_>>(), once);
        }
        assert_sound(&pool);
    });
}

fn map(pool: &Pool, items: Vec<(String, u32)>) -> Vec<u32> {
    pool.map(note, items).unwrap()
}

fn imap(pool: &Pool, items: Vec<(String, u32)>) -> Vec<u32> {
    pool.imap(note, items).map(Result::unwrap).collect()
}

fn imap_unordered(pool: &Pool, items: Vec<(String, u32)>) -> Vec<u32> {
    let mut numbers: Vec<_> = pool.imap_unordered(note, items).map(Result::unwrap).collect();
    numbers.sort_unstable();
    numbers
}

fn submit(pool: &Pool, items: Vec<(String, u32)>) -> Vec<u32> {
    let tasks: Vec<_> = items.into_iter().map(|item| pool.submit(note, item).unwrap()).collect();
    tasks.into_iter().map(|task| task.get().unwrap()).collect()
}

#[test]
fn idle_workers_killed_just_before_map_cost_nothing() {
    survives(0, map);
    survives(20, map);
}

#[test]
fn idle_workers_killed_just_before_imap_cost_nothing() {
    survives(0, imap);
    survives(20, imap);
}

#[test]
fn idle_workers_killed_just_before_imap_unordered_cost_nothing() {
    survives(0, imap_unordered);
    survives(20, imap_unordered);
}

#[test]
fn idle_workers_killed_just_before_submit_cost_nothing() {
    survives(0, submit);
    survives(20, submit);
}

#[test]
fn workers_killed_while_a_stream_is_not_read_cost_what_they_were_on_at_most() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut stream = pool.imap(|n: u64| n + 1, 0..2000);
        assert_eq!(stream.next().unwrap().unwrap(), 1);
        for pid in pool.worker_pids() {
            kill(pid, Signal::KILL);
        }
        let mut lost = 0;
        let mut last = 0;
        for (n, result) in (1..).zip(&mut stream) {
            match result {
                Ok(value) => assert_eq!(value, n + 1),
                Err(error) => {
                    assert_eq!(error.item(), usize::try_from(n).ok());
                    lost += 1;
                }
            }
            last = n;
        }
        assert_eq!(last, 1999);
        assert!(lost <= 2, "{lost} items were lost to two deaths");
        drop(stream);
        assert_sound(&pool);
    });
}
