//! What this process holds right now. All of it counts, also what other threads hold: exact numbers need a process, or a test
//! binary, of one's own.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Nothing takes this long; it only keeps a broken test from running for ever.
const HANG: Duration = Duration::from_secs(5);

/// Open file descriptors, without the one that lists them.
pub fn descriptors() -> usize {
    count("/proc/self/fd") - 1
}

/// Threads, this one included.
pub fn threads() -> usize {
    count("/proc/self/task")
}

/// Mappings of shared memory that the library made.
pub fn mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:procession")).count()
}

/// Goes some rounds and panics unless they leave no more descriptors and mappings than there were after the first one, which may
/// have made what stays. What a process that is not trusted has sent may be closed a moment later.
pub fn assert_all_come_back(mut round: impl FnMut()) {
    const ROUNDS: usize = 200;
    round();
    let before = (descriptors(), mappings());
    (0..ROUNDS).for_each(|_| round());
    let start = Instant::now();
    loop {
        let now = (descriptors(), mappings());
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        assert!(start.elapsed() < HANG, "{now:?} descriptors and mappings, {before:?} before");
        thread::sleep(Duration::from_millis(1));
    }
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
