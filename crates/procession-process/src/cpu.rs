//! How many cores this process may use.

use std::num::NonZero;
use std::thread;

/// The number of cores this process may use, at least 1.
///
/// That is the smaller of its CPU affinity and its cgroup's CPU quota (`cpu.max` of version 2,
/// `cpu.cfs_quota_us` of version 1, of its own group and of every group above it), so it is 2 in a
/// container that may use 2 of 64 cores. Does not block. The answer is read anew at each call,
/// because both limits can be changed while a program runs.
///
/// ```
/// assert!(procession_process::cpu_count() >= 1);
/// ```
#[must_use]
pub fn cpu_count() -> usize {
    // An error means that neither limit could be read: one core is what every process has.
    thread::available_parallelism().map_or(1, NonZero::get)
}
