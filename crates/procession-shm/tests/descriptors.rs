//! What is dropped gives its descriptors back. In a binary of its own: all descriptors of the process are counted.

use backstage::holdings::assert_all_come_back;
use procession_shm::{Segment, page_size};

#[test]
fn dropping_gives_memory_and_descriptors_back() {
    assert_all_come_back(|| {
        drop(Segment::new(1 << 16).unwrap().map_mirrored(page_size()).unwrap());
    });
}
