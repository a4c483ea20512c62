//! What is dropped gives its descriptors back. In a binary of its own: all descriptors of the process are counted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use procession_shm::{Segment, page_size};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn dropping_gives_memory_and_descriptors_back() {
    drop(Segment::new(1).unwrap().map().unwrap());
    let before = open_descriptors();
    for _ in 0..1000 {
        drop(Segment::new(1 << 16).unwrap().map_mirrored(page_size()).unwrap());
    }
    assert_eq!(open_descriptors(), before);
}
