//! Pipes between processes that trust each other, within one process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Connection, Receiver, RecvError, SendErrorKind, Sender};
use procession_channel::queue::Queue;
use procession_shm::{Shared, SharedBuf};

type Handles = (Shared<AtomicU64>, SharedBuf<u32>, Queue<u8>);

fn handles() -> Handles {
    let buffer = SharedBuf::from_slice(&[1, 2, 3]).unwrap();
    (Shared::new(AtomicU64::new(1)).unwrap(), buffer, Queue::new().unwrap())
}

fn trusting<T>() -> (Sender<T>, Receiver<T>) {
    pipe::builder().capacity(4096).trusting().simplex().unwrap()
}

#[test]
fn trusting_handles_are_received() {
    let (sender, receiver) = trusting::<Handles>();
    let (shared, buffer, queue) = handles();
    sender.send((shared.clone(), buffer, queue.clone())).unwrap();
    let (there, mut buffer, same) = receiver.recv().unwrap();
    there.store(7, Ordering::Relaxed);
    assert_eq!(shared.load(Ordering::Relaxed), 7);
    assert_eq!(buffer.as_mut_slice(), [1, 2, 3]);
    same.put(9).unwrap();
    assert_eq!(queue.get().unwrap(), 9);
}

#[test]
fn without_trust_each_of_them_is_refused() {
    let (sender, receiver) = pipe::simplex::<Handles>().unwrap();
    sender.send(handles()).unwrap();
    assert!(matches!(receiver.recv(), Err(RecvError::Untrusted(_))));
    let (sender, receiver) = pipe::simplex::<Queue<u8>>().unwrap();
    sender.send(Queue::new().unwrap()).unwrap();
    assert!(matches!(receiver.recv(), Err(RecvError::Untrusted(_))));
}

#[test]
fn an_end_of_a_trusting_pipe_is_refused_by_who_does_not_trust_and_stays_trusting_with_who_does() {
    let (carrier, carried) = pipe::simplex::<Receiver<Handles>>().unwrap();
    let (sender, receiver) = trusting::<Handles>();
    carrier.send(receiver).unwrap();
    assert!(matches!(carried.recv(), Err(RecvError::Untrusted(_))));
    // What is refused is dropped, a moment later; meanwhile there is room for a few.
    let error = loop {
        if let Err(error) = sender.send(handles()) {
            break error;
        }
    };
    assert!(matches!(error.kind, SendErrorKind::Closed), "{error}");

    let (carrier, carried) = trusting::<(Connection<Handles, ()>, Connection<(), Handles>)>();
    carrier.send(pipe::builder().trusting().duplex().unwrap()).unwrap();
    let (here, there) = carried.recv().unwrap();
    here.send(handles()).unwrap();
    assert_eq!(there.recv().unwrap().0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_trusting_pipe_does_not_raise_what_is_sent_through_it() {
    let (carrier, carried) = trusting::<Receiver<Handles>>();
    let (sender, receiver) = pipe::simplex::<Handles>().unwrap();
    carrier.send(receiver).unwrap();
    sender.send(handles()).unwrap();
    assert!(matches!(carried.recv().unwrap().recv(), Err(RecvError::Untrusted(_))));
}

#[test]
fn bytes_are_looked_at_where_they_lie_or_as_a_copy() {
    let places = |is_trusting: bool| {
        let builder = pipe::builder().capacity(4096);
        let builder = if is_trusting { builder.trusting() } else { builder };
        let (sender, receiver) = builder.simplex::<()>().unwrap();
        let place = |bytes: &[u8]| {
            assert!(bytes.iter().enumerate().all(|(n, &byte)| byte == n.to_le_bytes()[0]));
            bytes.as_ptr().addr()
        };
        let message: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let round = || {
            sender.send_bytes(&message).unwrap();
            receiver.recv_with(place).unwrap()
        };
        (0..20).map(|_| round()).collect::<Vec<_>>()
    };
    // 1016 bytes of frame go through the ring of 4096: in place, the address moves on with them, also beyond its end.
    let in_place = places(true);
    assert!(in_place.windows(2).all(|two| two[1].wrapping_sub(two[0]) % 4096 == 1016));
    let copied = places(false);
    assert!(copied.windows(2).any(|two| two[1].wrapping_sub(two[0]) % 4096 != 1016));
}

#[test]
fn views_values_long_messages_and_the_end_come_in_order() {
    let (sender, receiver) = trusting::<u8>();
    let sending = thread::spawn(move || {
        for n in 0..200_u8 {
            sender.send_bytes(&vec![n; usize::from(n) * 100]).unwrap();
            sender.send(n).unwrap();
        }
    });
    for n in 0..200_u8 {
        let len = receiver.recv_with(|bytes| {
            assert!(bytes.iter().all(|&byte| byte == n));
            bytes.len()
        });
        assert_eq!(len.unwrap(), usize::from(n) * 100);
        assert_eq!(receiver.recv().unwrap(), n);
    }
    sending.join().unwrap();
    assert!(matches!(receiver.recv_with(<[u8]>::len), Err(RecvError::Closed)));
}

#[test]
fn what_is_no_bytes_or_not_there_is_not_looked_at() {
    let (sender, receiver) = trusting::<u8>();
    assert_eq!(receiver.try_recv_with(<[u8]>::len).unwrap(), None);
    let soon = Duration::from_millis(1);
    assert_eq!(receiver.recv_with_timeout(soon, <[u8]>::len).unwrap(), None);
    sender.send(1).unwrap();
    sender.send_bytes(b"").unwrap();
    assert!(matches!(receiver.recv_with(<[u8]>::len), Err(RecvError::Decode(_))));
    assert!(receiver.poll(None), "which copies it");
    assert_eq!(receiver.recv_with(<[u8]>::len).unwrap(), 0);
}

#[test]
fn the_end_is_closed_for_who_looks_and_open_afterwards_also_after_a_panic() {
    let (sender, receiver) = trusting::<u8>();
    sender.send_bytes(b"one").unwrap();
    sender.send_bytes(b"two").unwrap();
    sender.send(3).unwrap();
    receiver.recv_with(|_| assert!(matches!(receiver.try_recv(), Err(RecvError::Closed)))).unwrap();
    let look = || receiver.recv_with(|bytes| assert_eq!(bytes, b"not two"));
    catch_unwind(AssertUnwindSafe(look)).unwrap_err();
    assert_eq!(receiver.recv().unwrap(), 3);
}
