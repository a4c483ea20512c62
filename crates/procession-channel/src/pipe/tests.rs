//! Both ends in one process, and peers that lie: they map the ring a second time and write what they like.

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use backstage::executor::poll_once;
use backstage::lingering::{comes_to_its_end, lingering_socket};
use backstage::packets::{ask_for_processes, open_processes};

use procession_shm::sync::atomic::Ordering;
use procession_shm::sync::one_sided::Fences;
use procession_shm::transfer::{Closer, PACKET_DESCRIPTORS_MAX, Trust, receive_scope, send_scope};
use procession_shm::{Deadline, Segment, page_size};
use proptest::prelude::*;
use rustix::net::{SendFlags, send};
use rustix::process::Resource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::end::End;
use super::frame::{Header, Kind, Last};
use super::pace::STREAM_LEN_MIN;
use super::stream::{FrameReader, FrameWriter, Gathered};
use super::*;
use crate::codec::{self, DecodeError, Limits, SHORT_BYTES_MAX};
use crate::queue::Queue;
use crate::ring::{Consumer, Memory, Producer};
use crate::{Fd, Message};

#[path = "../../tests/limit/mod.rs"]
mod limit;
use limit::can_have_under_way;

const CAPACITY: usize = 4096;
const SOON: Duration = Duration::from_millis(20);

fn small<T>() -> (Sender<T>, Receiver<T>) {
    builder().capacity(CAPACITY).max_message(1 << 20).simplex().unwrap()
}

/// The ring of a pipe as a hostile process maps it.
fn second_mapping<T>(receiver: &Receiver<T>) -> Ring {
    let fd = receiver.end.with(|end| end.as_ref().unwrap().line.memory().try_clone().unwrap());
    Ring::over(&Segment::from_fd(fd.unwrap(), page_size() + CAPACITY).unwrap()).unwrap()
}

fn publish(ring: &Ring, bytes: &[u8]) {
    ring.write(0, bytes);
    ring.tail().store(bytes.len() as u64, Ordering::Release);
}

fn header(len: u32, kind: Kind, sequence: u64) -> Vec<u8> {
    let words = Header { len, kind, sequence }.to_words();
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

const PLAIN: Kind = Kind::Last(Last { is_bytes: true, descriptors: 0 });

fn violation(frames: &[u8]) -> Violation {
    let (_sender, receiver) = small::<u8>();
    publish(&second_mapping(&receiver), frames);
    let first = receiver.recv_bytes();
    assert!(matches!(receiver.recv_bytes(), Err(RecvError::Closed)), "the pipe is closed then");
    match first {
        Err(RecvError::Corrupt(violation)) => violation,
        other => panic!("no violation: {other:?}"),
    }
}

#[test]
fn frames_that_cannot_be_are_corrupt() {
    assert_eq!(violation(&[1; 8]), Violation::Frame("a part of it was published"));
    assert_eq!(violation(&[9; 16]), Violation::Frame("its version is unknown"));
    let cut = header(9, PLAIN, 0);
    assert_eq!(violation(&cut), Violation::Frame("a part of it was published"));
    let late = header(0, PLAIN, 1);
    assert_eq!(violation(&late), Violation::Frame("its sequence number is not the next one"));
    let abort = header(0, Kind::Abort, 0);
    assert_eq!(violation(&abort), Violation::Frame("it aborts a message that was not begun"));
}

#[test]
fn a_poll_that_meets_a_violation_leaves_it_to_the_receive() {
    let (_sender, receiver) = small::<u8>();
    publish(&second_mapping(&receiver), &[9; 32]);
    assert!(receiver.poll(None));
    assert!(matches!(receiver.recv(), Err(RecvError::Corrupt(_))));
}

#[test]
fn a_message_that_never_ends_stops_at_the_limit() {
    let (_sender, receiver) =
        builder().capacity(CAPACITY).max_message(3000).simplex::<u8>().unwrap();
    let mut frames = Vec::new();
    for _ in 0..4 {
        frames.extend(header(992, Kind::More, 0));
        frames.extend([7; 992]);
    }
    publish(&second_mapping(&receiver), &frames);
    let error = receiver.recv().unwrap_err();
    let expected = Violation::TooLarge { len: 3968, limit: 3000 };
    assert!(matches!(error, RecvError::Corrupt(found) if found == expected), "{error}");
}

#[test]
fn a_tail_or_head_that_cannot_be_is_corrupt() {
    for lie in [1, CAPACITY as u64 + 1, u64::MAX] {
        let (sender, receiver) = small::<u8>();
        let ring = second_mapping(&receiver);
        ring.tail().store(lie, Ordering::Release);
        assert!(matches!(receiver.recv(), Err(RecvError::Corrupt(_))), "tail {lie}");
        ring.head().store(lie.wrapping_sub(2), Ordering::Release);
        let kind = sender.send_bytes(&[0; CAPACITY]).unwrap_err();
        assert!(matches!(kind, SendErrorKind::Closed), "the receiver is gone: {kind}");
    }
    let (sender, receiver) = small::<u8>();
    second_mapping(&receiver).head().store(9000, Ordering::Release);
    sender.send_bytes(&[0; 3000]).unwrap();
    let kind = sender.send_bytes(&[0; 3000]).unwrap_err();
    assert!(matches!(kind, SendErrorKind::Corrupt(Violation::Position(_))), "{kind}");
    assert!(matches!(sender.send_bytes(&[]), Err(SendErrorKind::Closed)));
}

/// Sealed memory keeps its length, and what lies in it can be taken out all the same.
#[test]
fn a_peer_that_punches_holes_costs_its_pipe() {
    use rustix::fs::{FallocateFlags, fallocate};
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let page = page_size() as u64;
    for (from, len) in [(0, page), (page, CAPACITY as u64), (0, page + CAPACITY as u64)] {
        let (sender, receiver) = small::<Vec<String>>();
        (0..3).for_each(|_| sender.send(vec!["abc".to_owned(); 100]).unwrap());
        drop(receiver.recv().unwrap());
        let memory = receiver.end.with(|end| end.as_ref().unwrap().line.memory().try_clone());
        fallocate(memory.unwrap().unwrap(), hole, from, len).unwrap();
        // What it has seen already may be there still.
        let received = (0..3).try_for_each(|_| receiver.recv_timeout(SOON).map(drop));
        assert!(matches!(received, Err(RecvError::Corrupt(_))), "{from}, {len}: {received:?}");
        // Its bytes are nothing that a sender looks at.
        let sent = (0..100).try_for_each(|_| sender.send_timeout(vec![String::new(); 900], SOON));
        let kind = sent.unwrap_err().kind;
        let is_found = matches!(kind, SendErrorKind::Corrupt(_) | SendErrorKind::Closed);
        assert!(is_found, "{from}, {len}: {kind}");
    }
}

#[test]
fn a_peer_that_wakes_for_nothing_is_found_out() {
    let (_sender, receiver) = small::<u8>();
    let ring = second_mapping(&receiver);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)); // tidy: raw atomic: the test's own
    let noise = thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                ring.reader_bell().ring(crate::bell::AT_REST);
            }
        }
    });
    let error = receiver.recv().unwrap_err();
    stop.store(true, Ordering::Relaxed);
    noise.join().unwrap();
    assert!(matches!(error, RecvError::Corrupt(Violation::Restless(_))), "{error}");
}

#[test]
fn a_reader_is_close_behind_where_each_look_finds_a_few_messages() {
    let (ring, _segment) = Ring::new(64 << 10).unwrap();
    let mut writer = FrameWriter::new(Producer::new(ring.clone()), 0);
    let mut reader = FrameReader::new(Consumer::new(ring), Gathered::default(), 1 << 10);
    let mut is_close_after = |count: usize| {
        let (value, mut short) =
            (Last { is_bytes: false, descriptors: 0 }, [0; SHORT_BYTES_MAX / 8]);
        for _ in 0..count {
            assert_eq!(writer.has_room(8), Ok(true));
            writer.put_last(value, &[7; 8]);
        }
        let taken = (0..count).map_while(|_| reader.take_at_once(&mut short)).count();
        let is_close = reader.is_close_behind();
        assert!(taken == count && reader.take_at_once(&mut short).is_none());
        assert!(!reader.is_close_behind(), "it has just looked in vain");
        is_close
    };
    assert_eq!([1, 2, 100, 1, 1000].map(&mut is_close_after), [false, true, true, false, false]);
}

/// One alone is taken from beside the tail if it is short, those in front of another from the ring.
#[test]
fn messages_of_any_length_are_what_was_sent() {
    let (sender, receiver) = small::<Vec<u8>>();
    for len in (0..200).chain([1000, 1999, 2000, 2016]) {
        let bytes: Vec<u8> = (0..len).map(|at: usize| (len + at).to_le_bytes()[0]).collect();
        for count in [1, 2] {
            (0..count).for_each(|_| sender.send(bytes.clone()).unwrap());
            (0..count).for_each(|_| assert_eq!(receiver.recv().unwrap(), bytes));
            assert_eq!(receiver.try_recv().unwrap(), None);
        }
    }
}

#[test]
fn a_number_of_another_length_is_an_error_and_not_the_end() {
    for len in (0..40).chain([96, 97, 1000]).filter(|&len| len != 8) {
        let (sender, receiver) = small::<u64>();
        let mut writer = FrameWriter::new(Producer::new(second_mapping(&receiver)), 0);
        let value = Last { is_bytes: false, descriptors: 0 };
        writer.put_last(value, &vec![1; len]);
        writer.put_last(value, &7_u64.to_le_bytes());
        let error = receiver.recv().unwrap_err();
        assert!(matches!(error, RecvError::Decode(_)), "{len}: {error}");
        assert_eq!(receiver.recv().unwrap(), 7);
        drop(sender);
    }
}

#[test]
fn a_vector_is_no_longer_than_it_may_be_and_no_bytes_as_they_are() {
    let (_sender, receiver) = builder().capacity(CAPACITY).max_message(1000).simplex().unwrap();
    let value = Last { is_bytes: false, descriptors: 0 };
    let mut writer = FrameWriter::new(Producer::new(second_mapping::<Vec<u8>>(&receiver)), 0);
    writer.put_last(value, &[1; 1000]);
    assert_eq!(receiver.recv().unwrap(), [1; 1000]);
    writer.put_last(Last { is_bytes: true, ..value }, &[1; 500]);
    assert!(matches!(receiver.recv(), Err(RecvError::Decode(_))));
    writer.put_last(value, &[1; 1001]);
    let error = receiver.recv().unwrap_err();
    let expected = Violation::TooLarge { len: 1001, limit: 1000 };
    assert!(matches!(error, RecvError::Corrupt(found) if found == expected), "{error}");
}

/// Sends and receives as many messages as make a stream.
fn exchange_many(sender: &Sender<u8>, receiver: &Receiver<u8>) {
    for _ in 0..STREAM_LEN_MIN {
        sender.send(7).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
    }
}

#[test]
fn an_end_is_in_a_stream_from_many_messages_on_until_it_sleeps() {
    if Fences::offer() == Fences::Mutual {
        return skips::skipped("an_end_is_in_a_stream", "the kernel does not fence for others");
    }
    let (sender, receiver) = small::<u8>();
    let ring = second_mapping(&receiver);
    let streams = || (ring.reader_bell().is_streaming(), ring.writer_bell().is_streaming());
    assert_eq!(streams(), (false, false));
    exchange_many(&sender, &receiver);
    assert_eq!(streams(), (true, true));
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), None);
    assert_eq!(streams(), (false, true));
    while sender.send_timeout(7, SOON).is_ok() {}
    assert_eq!(streams(), (false, false));
}

#[test]
fn an_end_that_is_taken_over_in_a_stream_knows_it() {
    if Fences::offer() == Fences::Mutual {
        return skips::skipped("an_end_that_is_taken_over", "the kernel does not fence for others");
    }
    let (sender, receiver) = small::<u8>();
    let ring = second_mapping(&receiver);
    exchange_many(&sender, &receiver);
    let (carrier, taker) = builder().simplex::<Receiver<u8>>().unwrap();
    carrier.send(receiver).unwrap();
    let receiver = taker.recv().unwrap();
    assert!(ring.reader_bell().is_streaming());
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), None);
    assert!(!ring.reader_bell().is_streaming(), "who sleeps has said so");
    sender.send(8).unwrap();
    assert_eq!(receiver.recv().unwrap(), 8);
}

/// The sender enlists in the background, so this goes on until it has left its fences out for a while.
#[test]
fn a_sleeper_after_a_stream_is_woken() {
    let (sender, receiver) = small::<u8>();
    let receiving =
        thread::spawn(move || receiver.into_iter().map(Result::unwrap).map(u64::from).sum::<u64>());
    for _ in 0..20 {
        (0..2 * STREAM_LEN_MIN).for_each(|_| sender.send(1).unwrap());
        thread::sleep(Duration::from_millis(1));
        sender.send(1).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    sender.close();
    assert_eq!(receiving.join().unwrap(), 20 * (2 * u64::from(STREAM_LEN_MIN) + 1));
}

#[test]
fn descriptors_that_are_not_those_announced_are_corrupt() {
    let announces =
        |sequence| header(0, Kind::Last(Last { is_bytes: false, descriptors: 1 }), sequence);
    let missing = violation(&announces(0));
    assert_eq!(missing, Violation::Descriptors("their packet is missing"));

    let packets: [&[u8]; 4] = [b"", b"x", &1_u64.to_le_bytes(), &0_u64.to_le_bytes()];
    for packet in packets {
        let (sender, receiver) = small::<u8>();
        publish(&second_mapping(&receiver), &announces(0));
        let socket =
            sender.end.with(|end| end.as_ref().unwrap().line.socket().try_clone()).unwrap();
        send(socket.unwrap().as_fd(), packet, SendFlags::empty()).unwrap();
        let error = receiver.recv().unwrap_err();
        assert!(matches!(error, RecvError::Corrupt(Violation::Descriptors(_))), "{error}");
    }
}

#[test]
fn a_send_that_expires_half_way_was_never_sent() {
    let (sender, receiver) = small::<Vec<u8>>();
    let long = vec![1_u8; 5 * CAPACITY];
    let error = sender.send_timeout(long.clone(), SOON).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
    assert_eq!(error.value, long);
    let tail = second_mapping(&receiver).tail().load(Ordering::Acquire);
    assert!(tail > 3000, "parts of it had gone: {tail}");
    assert!(receiver.try_recv().unwrap().is_none());
    sender.send(vec![2; 100]).unwrap();
    assert_eq!(receiver.recv().unwrap(), [2; 100]);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!({ receiver }.recv().unwrap(), long));
        sender.send(long.clone()).unwrap();
    });
}

#[test]
fn the_abort_of_a_message_of_which_parts_were_read_is_seen() {
    let (sender, receiver) = small::<Vec<u8>>();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let read = receiver.recv_timeout(SOON).unwrap();
            (receiver, read.is_some())
        });
        let expired = sender.send_timeout(vec![1_u8; 1 << 22], SOON / 10);
        let (receiver, is_read) = reader.join().unwrap();
        // The reader may have been quick enough for all of it; what has expired it cannot have read.
        if expired.is_err() {
            assert!(!is_read);
            assert!(receiver.try_recv().unwrap().is_none());
            sender.send(vec![2]).unwrap();
            assert_eq!(receiver.recv().unwrap(), [2]);
        }
    });
}

/// Decodes bytes that came with these descriptors, from a process that is not trusted.
fn forged<T: Message>(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<T, DecodeError> {
    let trust = Trust::Untrusting { copy_bytes_max: 1 << 20 };
    receive_scope(descriptors, trust, || codec::decode(bytes, &Limits::DEFAULT)).value
}

/// The memory and a socket of a pipe that somebody has used a little, or other descriptors.
fn descriptors(are_right: bool) -> Vec<OwnedFd> {
    let (sender, receiver) = small::<u8>();
    sender.send(1).unwrap();
    let of = |end: &End<Inlet>| {
        end.with(|end| {
            let line = &end.as_ref().unwrap().line;
            vec![line.memory().try_clone().unwrap(), line.socket().try_clone().unwrap()]
        })
    };
    let mut fds = of(&receiver.end).unwrap();
    if !are_right {
        fds.swap(0, 1);
    }
    fds
}

#[test]
fn a_flag_of_trust_from_a_process_that_is_not_trusted_is_refused() {
    let place = |is_trusting: bool| {
        let line = (0_u32, 1_u32, CAPACITY as u64, 0_u64, 100_u64, is_trusting);
        postcard::to_stdvec(&(line, 0_u64, 0_u64, Vec::<u64>::new())).unwrap()
    };
    let error = forged::<Sender<u8>>(&place(true), descriptors(true)).unwrap_err();
    assert!(error.to_string().contains("not trusted"), "{error}");
    let sender = forged::<Sender<u8>>(&place(false), descriptors(true)).unwrap();
    assert!(sender.end.with(|end| !end.as_ref().unwrap().line.is_trusting()).unwrap());
}

/// A file that is a lingering socket, and whoever does not read from it.
fn lingering() -> (Fd<File>, TcpStream) {
    let (socket, unread) = lingering_socket();
    (Fd::new(socket.into()), unread)
}

/// A pipe whose receiver, which is not trusted, has left something with the sender, beside nothing.
fn with_a_gift(file: impl AsFd) -> (Sender<u8>, Receiver<u8>) {
    let (sender, receiver) = small();
    let socket = receiver.end.with(|end| end.as_ref().unwrap().line.socket().try_clone());
    crate::packet::send(socket.unwrap().unwrap().as_fd(), 0, &[file.as_fd()]).unwrap();
    (sender, receiver)
}

#[test]
fn nobody_waits_for_what_is_left_in_an_end_to_be_closed() {
    let (file, _unread) = lingering();
    comes_to_its_end(|| {
        let (sender, receiver) = small();
        sender.send(file).unwrap();
        drop((sender, receiver));
    });
    let (file, _unread) = lingering();
    comes_to_its_end(move || {
        let (sender, receiver) = with_a_gift(file);
        drop((receiver, sender));
    });
}

/// Who has got the end may have closed it before its sender has.
#[test]
fn nobody_waits_for_what_is_left_in_an_end_that_was_sent_to_be_closed() {
    let (file, _unread) = lingering();
    comes_to_its_end(move || {
        let (sender, receiver) = with_a_gift(file);
        let ((), outgoing) = send_scope(|| postcard::to_stdvec(&sender).map(drop)).unwrap();
        outgoing.commit();
        drop((sender, receiver));
    });
}

#[test]
fn nobody_waits_for_what_comes_with_a_message_of_another_form_to_be_closed() {
    let (file, _unread) = lingering();
    comes_to_its_end(|| {
        let (sender, receiver) = small();
        sender.send(file).unwrap();
        assert!(matches!(receiver.recv_bytes(), Err(RecvError::Decode(_))));
    });
}

/// A file, of which what comes is no value.
#[derive(Debug)]
struct Refused(Fd<File>);

impl Serialize for Refused {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _file = Fd::<File>::deserialize(deserializer)?;
        Err(serde::de::Error::custom("as a type may"))
    }
}

#[test]
fn nobody_waits_for_what_comes_with_no_value_to_be_closed() {
    let (file, _unread) = lingering();
    comes_to_its_end(|| {
        let (sender, receiver) = small();
        assert!(sender.send(Refused(file)).is_ok());
        assert!(matches!(receiver.recv(), Err(RecvError::Decode(_))));
    });
}

/// So many descriptors are open here, and so many threads are there that close some.
fn open_and_closing() -> (usize, usize) {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read(thread.unwrap().path().join("comm")).ok());
    let closing = names.filter(|name| name == b"procession-clos\n").count();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), closing)
}

#[test]
fn a_sender_cannot_fill_the_table_with_what_takes_its_time_to_be_closed() {
    const LIMIT: u64 = 256;
    const MOST: usize = 64;
    let mut nofile = rustix::process::getrlimit(Resource::Nofile);
    nofile.current = Some(LIMIT);
    rustix::process::setrlimit(Resource::Nofile, nofile).unwrap();
    comes_to_its_end(|| {
        let (sender, receiver) = small();
        let (mut unread, mut refusal) = (Vec::new(), None);
        let (before, _) = open_and_closing();
        for number in 0..=MOST {
            let (file, reader) = lingering();
            unread.push(reader);
            assert!(sender.send(Refused(file)).is_ok());
            match receiver.recv() {
                Err(RecvError::Decode(_)) => {}
                other => refusal = Some((number, other)),
            }
        }
        let (number, refusal) = refusal.expect("there is room for no more");
        assert!(number == MOST && matches!(refusal, Err(RecvError::Io(_))), "{refusal:?}");
        // The one that is being closed has no number any more.
        let (open, closing) = open_and_closing();
        assert_eq!((open - before - unread.len(), closing), (MOST - 1, 1));
        assert!(matches!(receiver.try_recv(), Err(RecvError::Io(_))), "the message is still there");
        drop(unread);
        while open_and_closing().1 > 0 {
            thread::yield_now();
        }
        assert!(matches!(receiver.recv(), Err(RecvError::Decode(_))));
    });
}

#[test]
fn nobody_waits_for_packets_that_belong_to_no_message_to_be_closed() {
    for tag in [0, 9] {
        let (file, _unread) = lingering();
        comes_to_its_end(move || {
            let (sender, receiver) = small::<Option<Fd<File>>>();
            let socket = sender.end.with(|end| end.as_ref().unwrap().line.socket().try_clone());
            crate::packet::send(socket.unwrap().unwrap().as_fd(), tag, &[file.as_fd()]).unwrap();
            drop(file);
            sender.send(None).unwrap();
            sender.send(Some(Fd::new(File::open("/dev/null").unwrap()))).unwrap();
            assert!(receiver.recv().unwrap().is_none());
            // One of an earlier message is dropped on the way, one of a later message is a violation.
            assert_eq!(receiver.recv().is_ok(), tag == 0);
        });
    }
}

/// Sockets in which a message has more descriptors than a packet carries, put together by its sender: what lies in the second one, and
/// behind that.
fn bundles(second: &OwnedFd, behind: Option<OwnedFd>) -> [OwnedFd; 2] {
    let send = |to: &OwnedFd, tag, fds: &[BorrowedFd<'_>]| {
        crate::packet::send(to.as_fd(), tag, fds).unwrap();
    };
    let ((one, from_one), (two, from_two)) = (sockets().unwrap(), sockets().unwrap());
    send(&one, 0, &[second.as_fd(); PACKET_DESCRIPTORS_MAX]);
    send(&two, 0, &[second.as_fd()]);
    if let Some(behind) = behind {
        send(&two, 1, &[behind.as_fd()]);
    }
    [from_one, from_two]
}

/// Their last copy is closed by who closes them with what is left in them.
#[test]
fn nobody_waits_for_what_is_left_where_descriptors_came_to_be_closed() {
    const COUNT: usize = PACKET_DESCRIPTORS_MAX + 1;
    const TEST: &str = "nobody_waits_for_what_is_left_where_descriptors_came_to_be_closed";
    if !can_have_under_way(TEST, COUNT as u64) {
        return;
    }
    let (socket, _unread) = lingering_socket();
    comes_to_its_end(move || {
        let (ours, theirs) = sockets().unwrap();
        let [one, two] = bundles(&File::open("/dev/null").unwrap().into(), Some(socket));
        crate::packet::send(theirs.as_fd(), 0, &[one.as_fd(), two.as_fd()]).unwrap();
        drop((one, two));
        let closer = Closer::new();
        let peeked = packet::peek(ours.as_fd(), 0, COUNT, Some(&closer), &Deadline::NEVER);
        // If the thread that closes is not done by then, the test is easier and not wrong.
        thread::sleep(SOON);
        packet::discard(ours.as_fd()).unwrap();
        assert_eq!(peeked.unwrap().into_known().len(), COUNT);
    });
}

#[test]
fn sockets_that_have_descriptors_added_to_packets_cost_none() {
    const TEST: &str = "sockets_that_have_descriptors_added_to_packets_cost_none";
    const COUNT: usize = PACKET_DESCRIPTORS_MAX + 1;
    if !can_have_under_way(TEST, COUNT as u64) {
        return;
    }
    // Of an end that was somebody else's before.
    let (sender, receiver) = small();
    let socket = receiver.end.with(|end| end.as_ref().unwrap().line.socket().try_clone());
    if !ask_for_processes(socket.unwrap().unwrap()) {
        return skips::skipped(TEST, "this kernel adds no descriptors of processes");
    }
    for _ in 0..3 {
        sender.send(Fd::new(File::open("/dev/null").unwrap())).unwrap();
        receiver.recv().unwrap();
    }
    // In which a message has more of them than a packet carries.
    let (ours, theirs) = sockets().unwrap();
    let [one, two] = bundles(&File::open("/dev/null").unwrap().into(), None);
    assert!(ask_for_processes(&one) && ask_for_processes(&two));
    crate::packet::send(theirs.as_fd(), 0, &[one.as_fd(), two.as_fd()]).unwrap();
    let peeked = packet::peek(ours.as_fd(), 0, COUNT, None, &Deadline::NEVER).unwrap();
    assert_eq!((peeked.into_known().len(), open_processes()), (COUNT, 0));
}

#[test]
fn nobody_waits_for_what_is_no_end_to_be_closed() {
    for memory in [false, true] {
        let (socket, _unread) = lingering_socket();
        comes_to_its_end(move || {
            let line = (0_u32, 1_u32, CAPACITY as u64, 0_u64, 100_u64, false);
            let bytes = postcard::to_stdvec(&(line, 0_u64, 0_u64, Vec::<u64>::new())).unwrap();
            let mut fds = descriptors(true);
            fds[usize::from(!memory)] = socket;
            forged::<Sender<u8>>(&bytes, fds).unwrap_err();
        });
    }
}

/// A forked process may have its socket, and delay a hang-up.
#[test]
fn an_end_that_goes_with_a_message_that_is_not_sent_is_closed() {
    let is_closed = |receiver: &Receiver<u8>| {
        receiver.end.with(|end| end.as_ref().unwrap().line.is_peer_closed()).unwrap()
    };
    let (queue, (mut full, _unread)) = (Queue::bounded(1).unwrap(), small());
    queue.put(None).unwrap();
    while full.try_send(None).is_ok() {}
    let [(one, of_one), (two, of_two), (three, of_three)] = [small(), small(), small()];
    let mut put = queue.put_async(Some(one));
    assert!(poll_once(&mut put, Waker::noop()).is_none());
    drop(put);
    let mut send = full.send_async(Some(two));
    assert!(poll_once(&mut send, Waker::noop()).is_none());
    drop(send);
    let ((), outgoing) = send_scope(|| postcard::to_stdvec(&three).map(drop)).unwrap();
    drop((three, outgoing));
    assert_eq!([is_closed(&of_one), is_closed(&of_two), is_closed(&of_three)], [true; 3]);
}

fn position() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10_000, Just(1 << 62), Just(u64::MAX), any::<u64>()]
}

#[test]
fn an_end_over_descriptors_of_another_kind_is_refused() {
    let line = (0_u32, 1_u32, CAPACITY as u64, 0_u64, 100_u64, false);
    let bytes = postcard::to_stdvec(&(line, 0_u64, 0_u64, Vec::<u64>::new())).unwrap();
    forged::<Sender<u8>>(&bytes, descriptors(true)).unwrap();
    forged::<Sender<u8>>(&bytes, descriptors(false)).unwrap_err();
    let sparse = rustix::fs::memfd_create("sparse", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&sparse, (page_size() + CAPACITY) as u64).unwrap();
    let seals =
        rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW | rustix::fs::SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&sparse, seals).unwrap();
    let socket = descriptors(true).pop().unwrap();
    let error = forged::<Sender<u8>>(&bytes, vec![sparse, socket]).unwrap_err();
    assert!(error.to_string().contains("not what it should be"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a peer writes: a message, an error, or nothing, and no panic.
    #[test]
    fn garbage_in_the_ring_is_a_message_or_an_error(
        frames in prop::collection::vec((0_u32..64, 0_u8..8, 0_u16..2, 0_u64..3), 0..20),
        noise in prop::collection::vec(any::<(u16, u8)>(), 0..8),
        tail in prop_oneof![Just(None), any::<u64>().prop_map(Some), (0_u64..5000).prop_map(Some)],
    ) {
        let (sender, receiver) = small::<Vec<String>>();
        let mut bytes = Vec::new();
        for (len, flags, descriptors, sequence) in frames {
            bytes.extend(len.to_le_bytes());
            bytes.extend([1, flags]);
            bytes.extend(descriptors.to_le_bytes());
            bytes.extend(sequence.to_le_bytes());
            bytes.resize(bytes.len() + len.next_multiple_of(8) as usize, 1);
        }
        for (at, byte) in noise {
            let at = usize::from(at) % bytes.len().max(1);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let ring = second_mapping(&receiver);
        publish(&ring, &bytes);
        if let Some(tail) = tail {
            ring.tail().store(tail, Ordering::Release);
        }
        drop(sender);
        for received in receiver.into_iter().take(100) {
            drop(received);
        }
    }

    /// Every word of the head page, written by a peer while both ends work.
    #[test]
    fn garbage_in_any_word_is_an_error_at_most(word in 0_usize..512, value in prop_oneof![
        0_u64..9, Just(u64::MAX), Just(1 << 63), any::<u64>(), Just(CAPACITY as u64)
    ]) {
        let (sender, receiver) = small::<Vec<u8>>();
        sender.send(vec![1; 100]).unwrap();
        let memory = receiver.end.with(|end| end.as_ref().unwrap().line.memory().try_clone());
        let bytes = value.to_ne_bytes();
        rustix::io::pwrite(memory.unwrap().unwrap(), &bytes, 8 * word as u64).unwrap();
        for _ in 0..4 {
            let sent = sender.send_timeout(vec![2; 3000], Duration::from_millis(2));
            let received = receiver.recv_timeout(Duration::from_millis(2));
            let failed = sent.err().map(|error| error.kind);
            prop_assert!(!matches!(failed, Some(SendErrorKind::Io(_))));
            prop_assert!(!matches!(received, Err(RecvError::Io(_))));
        }
    }
    /// Cursors that cannot be, in an end that arrives: an error when it is decoded or used, and no panic.
    #[test]
    fn a_forged_end_is_an_error_at_most(
        capacity in prop_oneof![9 => Just(CAPACITY as u64), 1 => position()],
        sequence in prop_oneof![4 => 0_u64..2, 1 => position()],
        len_max in position(),
        cursors in (position(), position()),
        partial in (any::<bool>(), any::<Option<(bool, u16)>>(), prop::collection::vec(any::<u8>(), 0..9)),
    ) {
        let line = (0_u32, 1_u32, capacity, sequence, len_max, false);
        let bytes = postcard::to_stdvec(&(line, cursors.0, cursors.1, [cursors.0].to_vec())).unwrap();
        if let Ok(sender) = forged::<Sender<Vec<u8>>>(&bytes, descriptors(true)) {
            for len in [0, 1000, 3000, 4000] {
                drop(sender.try_send(vec![0; len]));
            }
        }
        let (is_open, whole, body) = partial;
        let bytes = postcard::to_stdvec(&(line, cursors.0, is_open, whole, body)).unwrap();
        if let Ok(receiver) = forged::<Receiver<Vec<u8>>>(&bytes, descriptors(true)) {
            for _ in 0..4 {
                drop(receiver.try_recv());
            }
        }
    }
}

/// As a sender leaves it that is killed between its packet and its frame.
#[test]
fn a_packet_without_its_message_goes_with_the_pipe() {
    let (sender, receiver) = small::<u8>();
    sender.send(1).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let sent = sender.end.with(|end| {
        let outlet = end.as_ref().unwrap();
        packet::send(outlet.line.socket().as_fd(), outlet.frames.sequence(), &[writer.as_fd()])
    });
    sent.unwrap().unwrap();
    drop((sender, writer));
    assert_eq!(receiver.recv().unwrap(), 1);
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    drop(receiver);
    assert_eq!(std::io::Read::read(&mut reader, &mut [0]).unwrap(), 0, "the orphan is closed");
}

/// Descriptors of a message that are no sockets, where sockets with more of them should be.
#[test]
fn bundles_of_the_wrong_kind_are_a_violation() {
    let (sender, receiver) = small::<u8>();
    let (inner, _held) = socketpair_with(b"no packet");
    let null = File::open("/dev/null").unwrap();
    let forged: [(BorrowedFd<'_>, BorrowedFd<'_>); 2] =
        [(null.as_fd(), inner.as_fd()), (inner.as_fd(), inner.as_fd())];
    let socket = |receiver: &Receiver<u8>| {
        let socket = receiver.end.with(|end| end.as_ref().unwrap().line.socket().try_clone());
        socket.unwrap().unwrap()
    };
    for (n, (one, other)) in (0..).zip(forged) {
        let sent = sender.end.with(|end| {
            packet::send(end.as_ref().unwrap().line.socket().as_fd(), n, &[one, other])
        });
        sent.unwrap().unwrap();
        let peeked = packet::peek(socket(&receiver).as_fd(), n, 300, None, &Deadline::NEVER);
        assert!(matches!(peeked, Err(RecvError::Corrupt(Violation::Descriptors(_)))), "{peeked:?}");
        packet::discard(socket(&receiver).as_fd()).unwrap();
    }
}

fn socketpair_with(bytes: &[u8]) -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = sockets().unwrap();
    send(&ours, bytes, SendFlags::empty()).unwrap();
    (theirs, ours)
}
