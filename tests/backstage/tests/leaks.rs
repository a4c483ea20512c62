//! In a binary of its own: all that the process holds counts.

use backstage::holdings::assert_all_come_back;

#[test]
#[should_panic(expected = "descriptors and mappings")]
fn a_leak_is_noticed() {
    let mut kept = Vec::new();
    assert_all_come_back(|| kept.push(std::fs::File::open("/dev/null").unwrap()));
}
