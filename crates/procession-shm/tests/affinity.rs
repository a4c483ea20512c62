//! A process spins only while another core can make progress, also when its affinity changes while it runs.

#![cfg(not(procession_loom))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use procession_shm::{Deadline, Spin, Wake, Watch, wait};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const PINNED: &str = "PROCESSION_TEST_PINNED";

#[test]
fn a_process_goes_by_the_widest_affinity_that_it_had() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return skips::skipped(
            "a_process_goes_by_the_widest_affinity_that_it_had",
            "it needs two cores",
        );
    }
    // The affinity of this process is left alone: other tests run in it.
    let child = Command::new("/proc/self/exe")
        .args(["pinned", "--exact", "--ignored", "--test-threads=1"])
        .env(PINNED, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

/// Not a test: the process that the test starts.
#[test]
#[ignore = "the process that the test starts"]
fn pinned() {
    if std::env::var_os(PINNED).is_none() {
        return;
    }
    let all = sched_getaffinity(None).unwrap();
    pin_to_one_of(&all);
    assert_eq!(Spin::for_parties(2), Spin::NONE);
    sched_setaffinity(None, &all).unwrap();
    sleep_until(|| Spin::for_parties(2) == Spin::BRIEF);
    // Where its peer runs is not known from where it pins itself.
    pin_to_one_of(&all);
    let over_a_second = Deadline::after(Duration::from_millis(1200));
    sleep_until(|| over_a_second.is_over());
    assert_eq!(Spin::for_parties(2), Spin::BRIEF);
}

fn pin_to_one_of(all: &CpuSet) {
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&core| all.is_set(core)).unwrap());
    sched_setaffinity(None, &one).unwrap();
}

/// Sleeps as everybody does, a moment at a time.
fn sleep_until(is_so: impl Fn() -> bool) {
    let (word, hang) = (AtomicU32::new(0), Deadline::after(Duration::from_secs(60)));
    while !is_so() {
        let watches = [Watch::private(&word, 0)];
        assert_eq!(wait(&watches, &Deadline::after(Duration::from_millis(20))), Wake::TimedOut);
        assert!(!hang.is_over(), "the change was never noticed");
    }
}
