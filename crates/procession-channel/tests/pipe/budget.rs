//! How many descriptors may be under way, at which end they are too many, and what becomes of those that nobody receives.

use std::fs::File;
use std::io::{PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use procession_channel::Fd;
use procession_channel::pipe::{self, Receiver, RecvError, SendErrorKind, Sender};
use procession_channel::queue::{self, Queue};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::limit::can_have_under_way;
use crate::stage::{Other, play};

/// Nothing takes this long; it only keeps a broken test from running for ever.
const HANG: Duration = Duration::from_secs(60);

type Files = Vec<Fd<File>>;

fn files(count: usize) -> Files {
    (0..count).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect()
}

fn limit_descriptors(current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
}

/// Sends files one by one until they are too many; how many that were.
fn fill(sender: &Sender<Files>) -> usize {
    for count in 0.. {
        if let Err(error) = sender.try_send(files(1)) {
            assert!(matches!(error.kind, SendErrorKind::TooManyInFlight), "{error}");
            assert_eq!(error.value.len(), 1, "it comes back");
            error.value.into_iter().for_each(|file| drop(file.into_inner().unwrap()));
            return count;
        }
    }
    0
}

#[test]
fn a_process_has_a_quarter_of_its_descriptors_under_way_at_most() {
    const TEST: &str = "budget::a_process_has_a_quarter_of_its_descriptors_under_way_at_most";
    play(TEST, |(): ()| {
        limit_descriptors(200);
        let (first, from_first) = pipe::simplex::<Files>().unwrap();
        let (second, from_second) = pipe::simplex::<Files>().unwrap();
        let queue = Queue::<Files>::new().unwrap();
        assert_eq!(fill(&first), 50);
        assert_eq!(fill(&second), 0, "the budget is that of the process");
        let error = queue.try_put(files(1)).unwrap_err();
        assert!(matches!(error.kind, queue::SendErrorKind::TooManyInFlight), "{error}");
        first.send(vec![]).unwrap();

        (0..10).for_each(|_| assert_eq!(from_first.recv().unwrap().len(), 1));
        assert_eq!(fill(&second), 10, "what was received makes room");
        (0..5).for_each(|_| assert_eq!(from_second.recv().unwrap().len(), 1));
        (0..5).for_each(|_| queue.put(files(1)).unwrap());
        assert_eq!(fill(&second), 0);
        assert_eq!(queue.get().unwrap().len(), 1);
        assert_eq!(fill(&second), 1, "so does what was got");
        drop(from_first);
        drop(first);
        assert_eq!(fill(&second), 40, "and what went with its pipe");
    });
    Other::start(TEST, ()).join();
}

#[test]
fn a_receiver_without_descriptors_left_loses_nothing() {
    const TEST: &str = "budget::a_receiver_without_descriptors_left_loses_nothing";
    if !can_have_under_way(TEST, 300) {
        return;
    }
    play(TEST, |(): ()| {
        assert!(can_have_under_way(TEST, 300));
        let (sender, receiver) = pipe::simplex::<Files>().unwrap();
        let queue = Queue::<Files>::new().unwrap();
        let enough = getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
        for count in [10, 253, 300] {
            sender.send(files(count)).unwrap();
            queue.put(files(count)).unwrap();
            let next = u64::try_from(files(1).pop().unwrap().into_inner().unwrap().as_raw_fd());
            for left in [0, 1, 5, count as u64 - 1] {
                limit_descriptors(next.unwrap() + left);
                let error = receiver.recv().unwrap_err();
                let is_it = |error: &std::io::Error| {
                    error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
                };
                assert!(matches!(&error, RecvError::Io(error) if is_it(error)), "{error}");
                let error = queue.get().unwrap_err();
                assert!(matches!(&error, queue::RecvError::Io(error) if is_it(error)), "{error}");
            }
            limit_descriptors(enough);
            assert_eq!(receiver.recv().unwrap().len(), count);
            assert_eq!(queue.get().unwrap().len(), count);
        }
    });
    Other::start(TEST, ()).join();
}

/// A packet of the kernel carries 253.
#[test]
fn a_message_may_have_more_descriptors_than_a_packet_carries() {
    if !can_have_under_way("a_message_may_have_more_descriptors_than_a_packet_carries", 600) {
        return;
    }
    let (sender, receiver) = pipe::simplex::<(usize, Files)>().unwrap();
    for count in [253, 254, 506, 507, 600] {
        sender.send((count, files(count))).unwrap();
        sender.send((1, files(1))).unwrap();
        for _ in 0..2 {
            let (count, files) = receiver.recv().unwrap();
            assert_eq!(files.len(), count);
            files.into_iter().for_each(|file| drop(file.into_inner().unwrap()));
        }
    }
}

/// A message that was received is gone, so what is in it must not need more.
#[test]
fn as_many_descriptors_as_a_message_has_are_enough_to_receive_it() {
    const TEST: &str = "budget::as_many_descriptors_as_a_message_has_are_enough_to_receive_it";
    play(TEST, |(): ()| {
        let (sender, receiver) = pipe::builder().trusting().simplex::<Queue<u8>>().unwrap();
        let (queue, of_queues) = (Queue::new().unwrap(), Queue::new().unwrap());
        queue.put_many([7, 8]).unwrap();
        sender.send(queue.clone()).unwrap();
        of_queues.put(queue).unwrap();
        limit_descriptors(60);
        let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        held.truncate(held.len() - 3);
        assert!(matches!(receiver.recv(), Err(RecvError::Io(_))));
        assert!(matches!(of_queues.get(), Err(queue::RecvError::Io(_))));
        held.pop();
        assert_eq!(receiver.recv().unwrap().get().unwrap(), 7);
        assert_eq!(of_queues.get().unwrap().get().unwrap(), 8);
    });
    Other::start(TEST, ()).join();
}

#[test]
fn what_a_process_sends_right_before_it_exits_is_received() {
    const TEST: &str = "budget::what_a_process_sends_right_before_it_exits_is_received";
    if !can_have_under_way(TEST, 300) {
        return;
    }
    play(TEST, |sender: Sender<Files>| {
        assert!(can_have_under_way(TEST, 300));
        sender.send(files(300)).unwrap();
        sender.send(files(3)).unwrap();
    });
    let (sender, receiver) = pipe::simplex::<Files>().unwrap();
    Other::start(TEST, sender).join();
    assert_eq!(receiver.recv().unwrap().len(), 300);
    assert_eq!(receiver.recv().unwrap().len(), 3);
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
}

#[derive(Serialize, Deserialize)]
enum Freight {
    File(Fd<PipeWriter>),
    End(Box<Receiver<Freight>>),
}

/// The kernel finds ends that nobody can reach any more, and what lies in them.
#[test]
fn ends_that_lie_in_each_other_do_not_stay() {
    for _ in 0..50 {
        let (to_first, first) = pipe::simplex::<Freight>().unwrap();
        let (to_second, second) = pipe::simplex::<Freight>().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        to_first.send(Freight::File(Fd::new(writer))).unwrap();
        to_first.send(Freight::End(Box::new(second))).unwrap();
        to_second.send(Freight::End(Box::new(first))).unwrap();
        drop((to_first, to_second));
        let waiting = thread::spawn(move || reader.read(&mut [0]));
        let start = Instant::now();
        while !waiting.is_finished() {
            assert!(start.elapsed() < HANG, "the file in the knot is still open");
            // The kernel looks for knots when sockets are closed.
            drop(pipe::simplex::<u8>().unwrap());
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waiting.join().unwrap().unwrap(), 0);
    }
}
