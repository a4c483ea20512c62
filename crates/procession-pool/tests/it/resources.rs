//! What pools leave behind in their process: nothing. And how many workers one may have.

use std::collections::BTreeSet;
use std::fs;

use backstage::holdings::{descriptors, mappings, threads};
use procession_pool::Pool;

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::long::status_number;
use super::program::{Role, children, play};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] =
    &[("make and drop pools", make_and_drop_pools), ("replace workers", replace_workers)];

/// Descriptors, threads and children of this process.
pub(crate) fn holdings() -> (usize, usize, usize) {
    (descriptors(), threads(), children().len())
}

/// Waits until this process has no more than `before`; threads may take a moment to end.
pub(crate) fn assert_back_to(before: (usize, usize, usize)) {
    let mut now = before;
    let mut holds = || {
        now = holdings();
        now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2
    };
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("descriptors, threads, children: {before:?} before, {now:?} after");
}

fn names_in_dev_shm() -> BTreeSet<std::ffi::OsString> {
    fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// Named shared memory that this process has mapped.
fn named_mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/dev/shm/")).count()
}

pub(crate) fn use_and_drop(round: u64) {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(|n: u64| n + 1, 0..10).unwrap().len(), 10);
    match round % 3 {
        0 => assert_eq!(pool.submit(|n: u64| n, 3).unwrap().get().unwrap(), 3),
        1 => pool.terminate(),
        _ => drop(pool.submit(|n: u64| n, 3).unwrap()),
    }
}

fn make_and_drop_pools() {
    use_and_drop(0);
    // Its background thread may still be on its way out.
    eventually("that pool is gone", || mappings() == 0);
    let before = holdings();
    (0..300).for_each(use_and_drop);
    assert_eq!(named_mappings(), 0);
    assert_back_to(before);
    eventually("no mapping is left", || mappings() == 0);
}

#[test]
fn hundreds_of_pools_leave_nothing_behind() {
    guarded(|| {
        let before = names_in_dev_shm();
        play("make and drop pools").succeed();
        let fresh: Vec<_> = names_in_dev_shm().difference(&before).cloned().collect();
        let ours = |name: &std::ffi::OsString| name.to_string_lossy().contains("procession");
        assert!(!fresh.iter().any(ours), "{fresh:?}");
    });
}

fn replace_workers() {
    let pool = Pool::with_workers(2).unwrap();
    assert_sound(&pool);
    let (before, mapped) = (holdings(), mappings());
    for _ in 0..100 {
        kill(pool.worker_pids()[0], rustix::process::Signal::KILL);
        assert_sound(&pool);
    }
    assert_back_to(before);
    eventually("nothing more is mapped", || mappings() <= mapped);
}

#[test]
fn replaced_workers_leave_nothing_behind() {
    guarded(|| drop(play("replace workers").succeed()));
}

#[test]
fn a_pool_may_have_many_workers() {
    guarded(|| {
        let pool = Pool::with_workers(150).unwrap();
        let expected: Vec<u64> = (1..=10_000).collect();
        assert_eq!(pool.map(|n: u64| n + 1, 0..10_000).unwrap(), expected);
        eventually("all are ready", || pool.worker_pids().len() == 150);
        for &pid in pool.worker_pids().iter().step_by(10) {
            kill(pid, rustix::process::Signal::KILL);
        }
        assert_eq!(pool.job().retries(1).map(|n: u64| n + 1, 0..10_000).unwrap(), expected);
        let mut tasks: Vec<_> = (0..500).map(|n| pool.submit(|n: u64| n + 1, n).unwrap()).collect();
        for (n, task) in (0..).zip(tasks.drain(..)) {
            // A worker that was killed may have been on it.
            assert!(task.get().is_ok_and(|value| value == n + 1));
        }
        assert_sleeps_through(&pool);
        pool.terminate();
    });
}

/// Who waits for one of many workers sleeps until it is done, and does not look at them from time to time.
fn assert_sleeps_through(pool: &Pool) {
    let sleeps = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    let before = sleeps();
    let millis = pool.apply(
        |millis: u64| {
            std::thread::sleep(std::time::Duration::from_millis(millis));
            millis
        },
        400_u64,
    );
    assert_eq!(millis.unwrap(), 400);
    let slept = sleeps() - before;
    assert!(slept < 40, "{slept} sleeps");
}

/// Workers keep memory for the next large item only while there is likely to be one, and their parent while a call lasts.
#[test]
fn memory_of_large_items_is_given_back() {
    fn resident_kib(pid: u32) -> u64 {
        status_number(&format!("/proc/{pid}/status"), "VmRSS")
    }
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        eventually("all are ready", || pool.worker_pids().len() == 2);
        assert_eq!(pool.map(|n: u64| n, 0..1000).unwrap().len(), 1000);
        let parties = [pool.worker_pids(), vec![std::process::id()]].concat();
        let before: Vec<u64> = parties.iter().map(|&pid| resident_kib(pid)).collect();
        let large = || std::iter::repeat_with(|| vec![7_u8; 48 << 20]).take(6);
        for bytes in pool.imap(|bytes: Vec<u8>| bytes, large()) {
            assert!(bytes.unwrap().iter().all(|byte| *byte == 7));
        }
        assert_eq!(pool.map(|bytes: Vec<u8>| bytes.len(), large()).unwrap(), [48 << 20; 6]);
        for (pid, before) in parties.into_iter().zip(before) {
            eventually("the memory is given back", || resident_kib(pid) < before + (24 << 10));
        }
    });
}
