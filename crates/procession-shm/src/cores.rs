//! How many cores this process can use at a time, as the policy of spinning wants to know it: at once, and not much out of date.
//!
//! The number is the standard library's: the CPU affinity, or what the quotas of the cgroup allow if that is less. To find it
//! out takes system calls and files, so it is kept. An affinity can change at any time, and who would believe in a single core
//! for ever would never spin again. So a process that goes to sleep asks the kernel for its affinity, one system call, if
//! that was a second ago, and counts anew if the affinity is another one. Who does not sleep pays nothing for that, and who
//! does a look at the clock.
//!
//! The number only grows. A thread that pins itself to a core says nothing about where its peer runs, which as a rule is
//! pinned to another one. For the same reason a process tells those that it starts how many cores it has seen: a child that
//! is confined to one core from its first instruction would otherwise take its parent for one that needs that core, and sleep
//! before each message. A whole tree that is confined to one core knows of no other. With fewer cores than are believed in, a
//! program spins for at most 40 µs before each sleep.
//!
//! Rejected: to count anew each second, because of the files. Where a process may open none, because it has shut itself into a
//! sandbox, the answer is at best an error and at worst its death, and it would come from nothing but a sleep. So a quota that
//! changes is not noticed until the affinity changes. What that costs is bounded by the spin, 40 µs before each sleep where
//! the quota has become smaller, and a sleep where it has become larger. Rejected: a count for each thread, which each would
//! have to make.
//!
//! The words are read and written apart from each other. A mixture of old and new is a wrong guess for a second.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering}; // tidy: raw atomic: a guess that is private to this process

use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

/// How old an affinity may be when this process goes to sleep.
const REVIEW_AFTER_MS: u64 = 1000;

/// What was counted; 0 as long as nobody has asked.
static CORES: AtomicUsize = AtomicUsize::new(0);

/// The affinity that was found then.
static AFFINITY: AtomicUsize = AtomicUsize::new(0);

/// When it is to be looked at again.
static REVIEW_AT_MS: AtomicU64 = AtomicU64::new(0);

/// How many cores this process can use at a time, at least 1.
#[inline]
pub(crate) fn cores() -> usize {
    match CORES.load(Ordering::Relaxed) {
        0 => count(affinity()),
        counted => counted,
    }
}

/// Believes in at least as many as another process has seen, and opens no file to find out.
pub(crate) fn learn(cores: usize) {
    believe(affinity(), cores.max(1));
}

/// Looks whether the number still is right, if that is due. For who is about to sleep.
pub(crate) fn review() {
    if CORES.load(Ordering::Relaxed) == 0 || now_ms() < REVIEW_AT_MS.load(Ordering::Relaxed) {
        return;
    }
    let affinity = affinity();
    if affinity == AFFINITY.load(Ordering::Relaxed) {
        put_off();
    } else {
        count(affinity);
    }
}

#[cold]
fn count(affinity: usize) -> usize {
    // An error means that neither limit could be read: one core is what every process has.
    believe(affinity, std::thread::available_parallelism().map_or(1, NonZero::get))
}

fn believe(affinity: usize, cores: usize) -> usize {
    AFFINITY.store(affinity, Ordering::Relaxed);
    let before = CORES.fetch_max(cores, Ordering::Relaxed);
    put_off();
    before.max(cores)
}

fn put_off() {
    REVIEW_AT_MS.store(now_ms() + REVIEW_AFTER_MS, Ordering::Relaxed);
}

/// On how many cores the caller may run, or 0, always the same, where the kernel does not say.
fn affinity() -> usize {
    sched_getaffinity(None).map_or(0, |set| set.count() as usize)
}

/// A clock that is read in a few nanoseconds and lags behind by some milliseconds.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    u64::try_from(ms).unwrap_or(0)
}
