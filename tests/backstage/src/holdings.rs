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

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
