//! In a binary of its own: all that the process holds counts.

use backstage::holdings::{descriptors, mappings, threads};

#[test]
fn what_is_opened_counts_and_what_is_closed_does_not() {
    let before = descriptors();
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(descriptors(), before + 1);
    drop(file);
    assert_eq!(descriptors(), before);
    let before = threads();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || ended.recv());
    assert_eq!(threads(), before + 1);
    drop(end);
    assert!(thread.join().unwrap().is_err());
    assert_eq!(mappings(), 0);
}
