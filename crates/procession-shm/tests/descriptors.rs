//! What is dropped gives its descriptors back. In a binary of its own: all descriptors of the process are counted.

use backstage::holdings::descriptors;
use procession_shm::{Segment, page_size};

#[test]
fn dropping_gives_memory_and_descriptors_back() {
    drop(Segment::new(1).unwrap().map().unwrap());
    let before = descriptors();
    for _ in 0..1000 {
        drop(Segment::new(1 << 16).unwrap().map_mirrored(page_size()).unwrap());
    }
    assert_eq!(descriptors(), before);
}
