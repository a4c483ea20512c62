//! What this process holds right now. All of it counts, also what other threads hold: exact numbers need a process, or a test
//! binary, of one's own.

use std::fs;

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

/// Goes some rounds and panics unless they leave as many descriptors and mappings as there were after the first one, which may
/// have made what stays.
pub fn assert_all_come_back(mut round: impl FnMut()) {
    const ROUNDS: usize = 200;
    round();
    let before = (descriptors(), mappings());
    (0..ROUNDS).for_each(|_| round());
    assert_eq!((descriptors(), mappings()), before, "descriptors and mappings");
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
