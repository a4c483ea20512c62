//! Handles in messages, within one process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;

use procession_channel::pipe::{self, RecvError, SendErrorKind};
use procession_channel::{Fd, Message};
use procession_shm::{Shared, SharedBuf, SharedSlice};
use serde::{Deserialize, Serialize};

use crate::messages::small;

fn null() -> Fd<File> {
    Fd::new(File::open("/dev/null").unwrap())
}

#[test]
fn handles_lie_anywhere_in_a_message() {
    #[derive(Serialize, Deserialize)]
    struct Request {
        name: String,
        parts: Vec<Option<SharedSlice<u16>>>,
        log: Box<(Fd<OwnedFd>, Fd<UnixStream>)>,
    }
    let (sender, receiver) = pipe::simplex::<Request>().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let slice = SharedSlice::from_slice(&[1_u16, 2, 3]).unwrap();
    let parts = vec![Some(slice.slice(1..)), None, Some(slice)];
    let log = Box::new((Fd::new(writer.into()), Fd::new(theirs)));
    sender.send(Request { name: "job".to_owned(), parts, log }).unwrap();

    let request = receiver.recv().unwrap();
    assert_eq!(request.name, "job");
    assert_eq!(request.parts[0].as_ref().unwrap()[..], [2, 3]);
    assert_eq!(request.parts[2].as_ref().unwrap()[..], [1, 2, 3]);
    let (pipe, stream) = *request.log;
    File::from(pipe.into_inner().unwrap()).write_all(b"pipe").unwrap();
    stream.into_inner().unwrap().write_all(b"socket").unwrap();
    let (mut first, mut second) = (String::new(), String::new());
    reader.read_to_string(&mut first).unwrap();
    ours.read_to_string(&mut second).unwrap();
    assert_eq!((&first[..], &second[..]), ("pipe", "socket"), "and nobody else holds them");
}

#[test]
fn a_buffer_from_a_process_that_is_not_trusted_is_a_copy() {
    let (sender, receiver) = pipe::simplex::<SharedBuf<u32>>().unwrap();
    sender.send(SharedBuf::from_slice(&[1, 2, 3]).unwrap()).unwrap();
    assert_eq!(receiver.recv().unwrap().as_mut_slice(), [1, 2, 3]);
}

#[test]
fn a_handle_that_gives_power_is_refused_and_costs_one_message() {
    let (sender, receiver) = pipe::simplex::<Option<Shared<AtomicU64>>>().unwrap();
    sender.send(Some(Shared::new(AtomicU64::new(0)).unwrap())).unwrap();
    sender.send(None).unwrap();
    assert!(matches!(receiver.recv(), Err(RecvError::Untrusted(_))));
    assert!(receiver.recv().unwrap().is_none());
}

#[test]
fn only_so_many_messages_with_descriptors_are_under_way() {
    let (sender, receiver) = pipe::simplex::<Option<Fd<File>>>().unwrap();
    for _ in 0..64 {
        sender.try_send(Some(null())).unwrap();
    }
    let error = sender.try_send(Some(null())).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Full), "{error}");
    sender.try_send(None).unwrap();
    assert!(receiver.recv().unwrap().is_some());
    sender.try_send(error.value).unwrap();
    drop(sender);
    assert_eq!(receiver.into_iter().filter_map(Result::unwrap).count(), 64);
}

#[test]
fn descriptors_come_with_long_messages_too() {
    let (sender, receiver) = small::<(Vec<u8>, Fd<File>)>();
    let producer = std::thread::spawn(move || {
        for n in 0..100 {
            sender.send((vec![n; 20_000], null())).unwrap();
        }
    });
    for (n, received) in (0..).zip(receiver) {
        let (bytes, file) = received.unwrap();
        assert!(bytes.iter().all(|&byte| byte == n));
        file.into_inner().unwrap();
    }
    producer.join().unwrap();
}

#[test]
fn handles_that_were_not_sent_are_as_before() {
    let (sender, receiver) = small::<(Vec<u8>, SharedBuf<u8>)>();
    let buffer = SharedBuf::from_slice(b"mine").unwrap();
    let error = sender.send_timeout((vec![0; 1 << 20], buffer), crate::messages::SOON).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
    let (_, mut buffer) = error.value;
    assert_eq!(buffer.as_mut_slice(), b"mine");
    sender.send((vec![], buffer)).unwrap();
    assert_eq!(receiver.recv().unwrap().1.as_mut_slice(), b"mine");
}

#[test]
fn a_handle_outside_of_a_channel_is_an_error() {
    fn refused<T: Message>(value: &T) -> bool {
        postcard::to_stdvec(value).is_err()
    }
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    assert!(refused(&null()));
    assert!(refused(&sender));
    assert!(refused(&receiver));
    sender.send(1).unwrap();
    assert_eq!(receiver.recv().unwrap(), 1, "and it is usable as before");
    assert!(postcard::from_bytes::<Fd<File>>(&[0]).is_err());
}
