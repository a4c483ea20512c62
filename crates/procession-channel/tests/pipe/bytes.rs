//! Bytes as they are, and polling.

use std::time::Duration;

use procession_channel::pipe::{self, RecvError, SendErrorKind};

use crate::messages::{SOON, small};

#[test]
fn boundaries_are_kept_also_of_nothing() {
    let (sender, receiver) = pipe::simplex::<()>().unwrap();
    for message in [&b"one"[..], b"", b"three"] {
        sender.send_bytes(message).unwrap();
    }
    for message in [&b"one"[..], b"", b"three"] {
        assert_eq!(receiver.recv_bytes().unwrap(), message);
    }
    assert_eq!(receiver.try_recv_bytes().unwrap(), None);
    assert_eq!(receiver.recv_bytes_timeout(SOON).unwrap(), None);
}

#[test]
fn a_buffer_that_is_too_short_loses_nothing() {
    let (sender, receiver) = pipe::simplex::<()>().unwrap();
    sender.send_bytes(b"a message").unwrap();
    sender.send_bytes(b"next").unwrap();
    let mut buffer = [0; 9];
    let short = receiver.recv_bytes_into(&mut buffer[..8]);
    assert!(matches!(short, Err(RecvError::BufferTooShort { len: 9, room: 8 })), "{short:?}");
    assert_eq!(receiver.recv_bytes_into(&mut buffer).unwrap(), 9);
    assert_eq!(&buffer, b"a message");
    assert_eq!(receiver.recv_bytes().unwrap(), b"next");
}

#[test]
fn bytes_and_values_are_not_taken_for_each_other() {
    let (sender, receiver) = pipe::simplex::<u64>().unwrap();
    sender.send_bytes(&[1; 8]).unwrap();
    sender.send(2).unwrap();
    sender.send(3).unwrap();
    assert!(matches!(receiver.recv(), Err(RecvError::Decode(_))));
    assert!(matches!(receiver.recv_bytes(), Err(RecvError::Decode(_))));
    assert_eq!(receiver.recv().unwrap(), 3);
}

#[test]
fn bytes_longer_than_the_ring_need_somebody_who_reads() {
    let (sender, receiver) = small::<()>();
    let long: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
    assert!(matches!(sender.try_send_bytes(&long), Err(SendErrorKind::TooLarge { .. })));
    assert!(matches!(sender.send_bytes_timeout(&long, SOON), Err(SendErrorKind::TimedOut)));
    std::thread::scope(|scope| {
        scope.spawn(|| sender_sends(sender, &long));
        let mut buffer = vec![0; long.len()];
        assert_eq!(receiver.recv_bytes_into(&mut buffer).unwrap(), long.len());
        assert!(buffer == long);
    });
}

#[test]
fn a_long_message_for_which_the_buffer_is_too_short_loses_nothing() {
    let (sender, receiver) = small::<()>();
    let long: Vec<u8> = (0..=250).cycle().take(100_003).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| sender_sends(sender, &long));
        let mut buffer = vec![0; long.len()];
        for room in [0, 10, 5_000, 100_002] {
            let short = receiver.recv_bytes_into(&mut buffer[..room]);
            assert!(
                matches!(short, Err(RecvError::BufferTooShort { len: 100_003, room: r }) if r == room),
                "{short:?}"
            );
        }
        assert_eq!(receiver.recv_bytes_into(&mut buffer).unwrap(), long.len());
        assert!(buffer == long);
        assert!(matches!(receiver.recv_bytes_into(&mut buffer), Err(RecvError::Closed)));
    });
}

/// Each time into another buffer, and too short a one as well.
#[test]
fn a_receive_into_a_buffer_that_expires_half_way_goes_on_later() {
    let (sender, receiver) = small::<()>();
    let long: Vec<u8> = (0..=250).cycle().take(100_003).collect();
    let mut buffer = vec![0; long.len()];
    assert_eq!(receiver.try_recv_bytes_into(&mut buffer).unwrap(), None);
    std::thread::scope(|scope| {
        scope.spawn(|| sender_sends(sender, &long));
        for round in 0.. {
            buffer.fill(255);
            let room = if round % 3 == 0 { 50_000 } else { long.len() };
            let received = match round % 2 {
                0 => receiver.try_recv_bytes_into(&mut buffer[..room]),
                _ => {
                    receiver.recv_bytes_into_timeout(&mut buffer[..room], Duration::from_micros(10))
                }
            };
            match received {
                Ok(None) => {}
                Ok(Some(len)) => {
                    assert_eq!((len, room), (long.len(), long.len()));
                    break;
                }
                Err(RecvError::BufferTooShort { len, room: 50_000 }) => assert_eq!(len, long.len()),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(buffer == long);
    });
    let end = receiver.recv_bytes_into_timeout(&mut buffer, None);
    assert!(matches!(end, Err(RecvError::Closed)));
}

#[test]
fn a_value_is_not_received_into_a_buffer() {
    let (sender, receiver) = pipe::simplex::<u64>().unwrap();
    sender.send(2).unwrap();
    sender.send_bytes(b"bytes").unwrap();
    let mut buffer = [0; 8];
    assert!(matches!(receiver.recv_bytes_into(&mut buffer), Err(RecvError::Decode(_))));
    assert_eq!(receiver.recv_bytes_into(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"bytes");
}

fn sender_sends(sender: pipe::Sender<()>, bytes: &[u8]) {
    sender.send_bytes(bytes).unwrap();
}

#[test]
fn polling_says_whether_a_receive_would_return_at_once() {
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    assert!(!receiver.poll(Duration::ZERO));
    assert!(!receiver.poll(SOON));
    sender.send(1).unwrap();
    assert!(receiver.poll(None));
    assert!(receiver.poll(None), "it takes nothing");
    assert_eq!(receiver.try_recv().unwrap(), Some(1));
    drop(sender);
    assert!(receiver.poll(None), "the end is something to receive");
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
}
