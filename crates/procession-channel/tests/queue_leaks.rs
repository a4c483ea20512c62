//! What queues leave behind. In a binary of its own: it counts the descriptors of the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs::File;

use backstage::holdings::assert_all_come_back;
use procession_channel::Fd;
use procession_channel::queue::{Getter, Putter, Queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Freight {
    File(Fd<File>),
    Queue(Queue<Freight>),
    Halves(Putter<u8>, Getter<u8>),
    Bytes(Vec<u8>),
}

/// Got, refused, given back, claimed in vain, left in the queue, also in itself.
fn round() {
    let queue = Queue::builder().capacity(4096).items(6).build().unwrap();
    let file = || Freight::File(Fd::new(File::open("/dev/null").unwrap()));
    queue.put(file()).unwrap();
    assert!(queue.claim().is_err());
    drop(queue.get().unwrap());
    let other = Queue::new().unwrap();
    queue.put(Freight::Halves(other.putter(), other.getter())).unwrap();
    queue.put(Freight::Bytes(vec![0; 5000])).unwrap();
    for _ in 0..2 {
        drop(queue.get().unwrap());
    }
    queue.put(file()).unwrap();
    queue.put(Freight::Queue(queue.clone())).unwrap();
    queue.put(Freight::Bytes(vec![0; 5000])).unwrap();
    queue.close();
    assert!(queue.put(file()).is_err());
}

#[test]
fn no_descriptor_is_left_open() {
    assert_all_come_back(round);
}
