//! Pipes between processes.

use std::fs::File;
use std::io::Write;

use procession_channel::Fd;
use procession_channel::pipe::{self, Connection, Receiver, RecvError, SendErrorKind, Sender};

use crate::stage::{Other, play};

#[test]
fn a_child_answers() {
    const TEST: &str = "processes::a_child_answers";
    play(TEST, |parent: Connection<u64, u64>| {
        for n in &parent {
            parent.send(n.unwrap() * 2).unwrap();
        }
    });
    let (here, there) = pipe::duplex::<u64, u64>().unwrap();
    let child = Other::start(TEST, there);
    for n in 0..10_000 {
        here.send(n).unwrap();
        assert_eq!(here.recv().unwrap(), 2 * n);
    }
    drop(here);
    child.join();
}

#[test]
fn long_messages_stream_both_ways() {
    const TEST: &str = "processes::long_messages_stream_both_ways";
    const LEN: usize = 1 << 20;
    play(TEST, |parent: Connection<Vec<u32>, Vec<u32>>| {
        for message in &parent {
            parent.send(message.unwrap().into_iter().rev().collect()).unwrap();
        }
    });
    let (here, there) = pipe::builder().capacity(16 << 10).duplex::<Vec<u32>, Vec<u32>>().unwrap();
    let child = Other::start(TEST, there);
    for round in 0..20_u32 {
        let len = LEN / (1 + round as usize);
        let message: Vec<u32> = (round..).take(len).collect();
        here.send(message.clone()).unwrap();
        assert!(here.recv().unwrap().into_iter().rev().eq(message));
    }
    drop(here);
    child.join();
}

/// The sender exits right after, and so do the descriptors in its messages if nobody holds them.
#[test]
fn what_was_sent_outlives_its_sender() {
    const TEST: &str = "processes::what_was_sent_outlives_its_sender";
    play(TEST, |parent: Sender<(u8, Fd<File>, Receiver<u8>)>| {
        for n in 0..10 {
            let (sender, receiver) = pipe::simplex().unwrap();
            sender.send(n).unwrap();
            let file = File::options().write(true).open("/dev/null").unwrap();
            parent.send((n, Fd::new(file), receiver)).unwrap();
        }
    });
    let (sender, receiver) = pipe::simplex::<(u8, Fd<File>, Receiver<u8>)>().unwrap();
    Other::start(TEST, sender).join();
    let mut count = 0;
    for message in receiver {
        let (n, file, inner) = message.unwrap();
        file.into_inner().unwrap().write_all(b"x").unwrap();
        assert_eq!(inner.recv().unwrap(), n);
        assert!(matches!(inner.recv(), Err(RecvError::Closed)));
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn two_children_talk_through_ends_that_were_sent_to_them() {
    const TEST: &str = "processes::two_children_talk_through_ends_that_were_sent_to_them";
    type Way = Result<Sender<u64>, Receiver<u64>>;
    play(TEST, |parent: Connection<u64, Way>| match parent.recv().unwrap() {
        Ok(sender) => (0..1000).for_each(|n| sender.send(n).unwrap()),
        Err(receiver) => {
            let sum: u64 = receiver.into_iter().map(Result::unwrap).sum();
            parent.send(sum).unwrap();
        }
    });
    let (first, there) = pipe::duplex::<Way, u64>().unwrap();
    let producer = Other::start(TEST, there);
    let (second, there) = pipe::duplex::<Way, u64>().unwrap();
    let consumer = Other::start(TEST, there);
    let (sender, receiver) = pipe::builder().capacity(4096).simplex::<u64>().unwrap();
    first.send(Ok(sender)).unwrap();
    second.send(Err(receiver)).unwrap();
    assert_eq!(second.recv().unwrap(), 499_500);
    producer.join();
    consumer.join();
    assert!(matches!(first.recv(), Err(RecvError::Closed)));
}

/// In a process of its own, because the limit is that of a process.
#[test]
fn a_receiver_without_descriptors_left_loses_nothing() {
    const TEST: &str = "processes::a_receiver_without_descriptors_left_loses_nothing";
    play(TEST, |parent: Connection<(), Vec<Fd<File>>>| {
        let limit = rustix::process::Rlimit { current: Some(24), maximum: Some(24) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        parent.send(()).unwrap();
        assert!(parent.poll(None));
        assert!(matches!(parent.recv(), Err(RecvError::Io(_))));
        drop(held);
        assert_eq!(parent.recv().unwrap().len(), 3);
    });
    let (here, there) = pipe::duplex::<Vec<Fd<File>>, ()>().unwrap();
    let child = Other::start(TEST, there);
    here.recv().unwrap();
    here.send((0..3).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect()).unwrap();
    child.join();
}

/// A process forked by hand has the sockets, but not the rings.
#[test]
fn what_a_fork_copies_is_not_an_end() {
    const TEST: &str = "processes::what_a_fork_copies_is_not_an_end";
    play(TEST, |parent: Connection<u8, u8>| {
        // SAFETY: the child only calls what neither allocates nor locks, and ends without destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let sent = parent.sender().try_send_bytes(b"x");
            parent.close();
            let is_moved = matches!(sent, Err(SendErrorKind::Moved(_)));
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(if is_moved { 41 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the child is ours and `status` is a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 41, "status {status}");
        parent.send(7).unwrap();
    });
    let (here, there) = pipe::duplex::<u8, u8>().unwrap();
    let child = Other::start(TEST, there);
    assert_eq!(here.recv().unwrap(), 7);
    child.join();
}
