//! Items that are claimed.

use std::thread;
use std::time::Duration;

use procession_channel::queue::{Queue, RecvError, SendErrorKind};

#[test]
fn a_claimed_item_is_for_nobody_else_and_comes_again_when_it_is_dropped() {
    let queue = Queue::new().unwrap();
    queue.put_many([1, 2, 3]).unwrap();
    let (one, two) = (queue.claim().unwrap(), queue.claim().unwrap());
    assert_eq!((*one, *two), (1, 2));
    assert_eq!(queue.len(), 3, "none of them is gone");
    drop(one);
    drop(two);
    assert_eq!(queue.get().unwrap(), 1, "the oldest first");
    assert_eq!(queue.claim().unwrap().done(), 2);
    assert_eq!(queue.get().unwrap(), 3);
    assert_eq!(queue.try_get().unwrap(), None);
    assert!(queue.is_empty());
}

#[test]
fn claims_end_in_any_order_and_the_ring_goes_on_behind_them() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    queue.put((0_u32, [7_u8; 16])).unwrap();
    let first = queue.claim().unwrap();
    for n in 1..50 {
        queue.put((n, [7; 16])).unwrap();
        assert_eq!(queue.get().unwrap().0, n);
    }
    let mut next = 50;
    while queue.try_put((next, [7; 16])).is_ok() {
        next += 1;
    }
    assert!(next < 200, "what is claimed is not written over");
    assert_eq!(first.0, 0);
    first.done();
    queue.put((next, [7; 16])).unwrap();
    for n in 50..=next {
        assert_eq!(queue.get().unwrap().0, n);
    }
}

#[test]
fn claimed_items_count_for_the_bound() {
    let queue = Queue::bounded(2).unwrap();
    queue.put_many([1, 2]).unwrap();
    let claim = queue.claim().unwrap();
    assert!(matches!(queue.try_put(3).unwrap_err().kind, SendErrorKind::Full));
    claim.done();
    queue.try_put(3).unwrap();
}

#[test]
fn a_closed_queue_ends_after_its_claims() {
    let queue = Queue::new().unwrap();
    queue.put_many([1, 2]).unwrap();
    let (one, two) = (queue.claim().unwrap(), queue.claim().unwrap());
    queue.close();
    thread::scope(|scope| {
        let getter = scope.spawn(|| (queue.get(), queue.get().map(|_| ())));
        thread::sleep(Duration::from_millis(10));
        assert!(!getter.is_finished());
        drop(two);
        one.done();
        let (first, second) = getter.join().unwrap();
        assert_eq!(first.unwrap(), 2);
        assert!(matches!(second, Err(RecvError::Closed)));
    });
}

#[test]
fn there_are_no_more_claims_than_cells() {
    let queue = Queue::new().unwrap();
    queue.put_many(0..70).unwrap();
    let claims: Vec<_> = (0..64).map(|_| queue.claim().unwrap()).collect();
    assert!(matches!(queue.claim().map(drop), Err(RecvError::TooManyClaims { limit: 64 })));
    assert_eq!(queue.get().unwrap(), 64);
    drop(claims);
    let mut all: Vec<_> = (0..69).map(|_| queue.get().unwrap()).collect();
    assert!(all.starts_with(&[0, 1, 2]));
    all.sort_unstable();
    assert!(all.into_iter().eq((0..64).chain(65..70)));
}

#[test]
fn an_item_with_its_own_file_cannot_be_claimed_and_stays() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    queue.put("x".repeat(5000)).unwrap();
    assert!(matches!(queue.claim(), Err(RecvError::NotClaimable { descriptors: 1 })));
    assert_eq!(queue.get().unwrap().len(), 5000);
}
