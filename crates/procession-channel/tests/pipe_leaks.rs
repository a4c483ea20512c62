//! What pipes leave behind. In a binary of its own: it counts the descriptors of the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs::File;

use backstage::holdings::assert_all_come_back;
use procession_channel::Fd;
use procession_channel::pipe::{self, Receiver, Sender};

type Freight = (Fd<File>, Sender<u8>, Receiver<u8>);

fn freight() -> Freight {
    let (sender, receiver) = pipe::simplex().unwrap();
    (Fd::new(File::open("/dev/null").unwrap()), sender, receiver)
}

/// Received, refused by the sender, given back, never received, closed by a wrong type.
fn round() {
    let (sender, receiver) = pipe::simplex::<Freight>().unwrap();
    sender.send(freight()).unwrap();
    receiver.recv().unwrap().1.send(1).unwrap();
    sender.send(freight()).unwrap();
    assert!(receiver.recv_bytes().is_err(), "a value is not bytes");
    sender.send(freight()).unwrap();
    receiver.close();
    assert!(sender.send(freight()).is_err());
    let (_, mut receiver) = pipe::simplex::<Freight>().unwrap();
    for _ in 0..3 {
        let (carrier, carried) = pipe::simplex().unwrap();
        carrier.send(receiver).unwrap();
        receiver = carried.recv().unwrap();
    }
}

#[test]
fn no_descriptor_is_left_open() {
    assert_all_come_back(round);
}
