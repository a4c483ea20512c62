//! A link with both ends in one process: the worker's end on a thread.

use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use procession_channel::bell::AT_REST;
use procession_channel::ring::{Memory, Producer, Ring};
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Deadline, Segment, page_size, wait};

use super::*;
use crate::function::{Function, Task, Work};

const CAPACITY: usize = 4096;

/// Doubles each byte; a first byte of 255 asks for that many KiB of output as the second says.
struct Echo;

impl Task<fn(u8) -> u8> for Echo {
    fn run(function: fn(u8) -> u8, work: &mut Work<'_>) -> u8 {
        if let [255, kib, ..] = *work.input {
            work.reply.bytes.resize(usize::from(kib) * 1024, kib);
        } else {
            work.reply.bytes.extend(work.input.iter().map(|&byte| function(byte)));
        }
        3
    }
}

fn call(items: &[&[u8]]) -> Frame {
    let function = Function::unary::<Echo, u8, u8>(|byte| byte.wrapping_mul(2)).unwrap();
    let mut frame = Frame::call(function, 1);
    for item in items {
        let pushed: Result<_, ItemTooLarge> = frame.push(|out| {
            out.extend_from_slice(item);
            Ok(Handles::default())
        });
        assert!(pushed.unwrap().is_none());
    }
    frame.sealed()
}

fn serve(fds: Vec<OwnedFd>) -> JoinHandle<Result<(), ServeError>> {
    thread::spawn(move || ChildLink::over(fds, CAPACITY).unwrap().serve())
}

/// The next result, if it is whole.
fn take_result(
    parent: &mut ParentLink,
    inbox: &mut Vec<u8>,
) -> Result<Option<(u8, Vec<u8>)>, LinkError> {
    if parent.whole_result(inbox, 0)?.is_none()
        && let Received::Long(tag, body) = parent.receive(inbox)?
    {
        return Ok(Some((tag, body)));
    }
    Ok(parent.whole_result(inbox, 0)?.map(|result| {
        let body = inbox[result.body].to_vec();
        inbox.drain(..result.end);
        (result.tag, body)
    }))
}

struct Pair {
    parent: ParentLink,
    inbox: Vec<u8>,
    child: JoinHandle<Result<(), ServeError>>,
}

impl Pair {
    fn new() -> Self {
        let (parent, fds) = ParentLink::new(CAPACITY, 1 << 20).unwrap();
        let mut pair = Self { parent, inbox: Vec::new(), child: serve(fds) };
        assert_eq!(pair.next(), (HELLO, vec![]));
        pair
    }

    /// `over` is not asked again once it has said so: it may have taken something.
    fn sleep_until(&mut self, mut over: impl FnMut(&mut ParentLink) -> bool) {
        let mut is_over = over(&mut self.parent);
        while !is_over {
            self.parent.bell().announce(AT_REST);
            is_over = over(&mut self.parent);
            if !is_over && !self.parent.has_results() {
                let soon = Deadline::after(Duration::from_millis(20));
                wait(&[self.parent.bell().watch(AT_REST)], &soon);
            }
            self.parent.bell().retract();
        }
    }

    fn send(&mut self, frame: &Frame) {
        let mut sent = 0;
        self.sleep_until(|parent| {
            sent += parent.send(frame, sent).unwrap();
            parent.ring();
            sent == frame.len()
        });
    }

    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut found = None;
        self.sleep_until(|parent| {
            found = take_result(parent, &mut inbox).unwrap();
            found.is_some()
        });
        self.inbox = inbox;
        self.parent.release();
        found.unwrap()
    }

    fn quit(mut self) {
        self.send(&Frame::quit());
        self.child.join().unwrap().unwrap();
    }
}

#[test]
fn items_run_in_order_and_results_come_back() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        pair.send(&call(&[&[1, 2], &[], &[3]]));
        assert_eq!(pair.next(), (3, vec![2, 4]));
        assert_eq!(pair.next(), (3, vec![]));
        assert_eq!(pair.next(), (3, vec![6]));
    }
    assert_eq!(pair.parent.started(), 300);
    pair.quit();
}

#[test]
fn arguments_and_results_longer_than_the_rings_stream_through() {
    let mut pair = Pair::new();
    let long = vec![1; 10 * CAPACITY + 3];
    pair.send(&call(&[&long, &[255, 100], &[7]]));
    assert_eq!(pair.next(), (3, vec![2; long.len()]));
    assert_eq!(pair.next(), (3, vec![100; 100 * 1024]));
    assert_eq!(pair.next(), (3, vec![14]));
    pair.quit();
}

#[test]
fn a_worker_that_waits_for_room_has_it_from_a_parent_that_gives_back_only_what_is_much() {
    let mut pair = Pair::new();
    let all: Vec<[u8; 2]> = (0..2000_u16).map(|n| (n % 0x7fff).to_be_bytes()).collect();
    let items: Vec<&[u8]> = all.iter().map(<[u8; 2]>::as_slice).collect();
    for long in [&[][..], &[255, 3], &[255, 4], &[255, 100]] {
        let asked = [&items[..], &[long], &items].concat();
        pair.send(&call(&asked));
        let (mut inbox, mut left) = (std::mem::take(&mut pair.inbox), asked.len());
        pair.sleep_until(|parent| {
            while left > 0
                && let Some((tag, _)) = take_result(parent, &mut inbox).unwrap()
            {
                assert_eq!(tag, 3);
                left -= 1;
            }
            parent.release_much();
            left == 0
        });
        pair.inbox = inbox;
    }
    pair.quit();
}

/// Waits until the worker waits for room.
fn wait_until_full(parent: &ParentLink) {
    while parent.watcher().has_results_beyond(parent.received() + CAPACITY as u64) {
        thread::yield_now();
    }
}

#[test]
fn a_long_result_whose_beginning_came_behind_a_short_one_gets_memory_of_its_own() {
    let mut pair = Pair::new();
    pair.send(&call(&[&[7], &[255, 100]]));
    wait_until_full(&pair.parent);
    assert_eq!(pair.parent.receive(&mut pair.inbox), Ok(Received::Bytes));
    let first = pair.parent.whole_result(&pair.inbox, 0).unwrap().unwrap();
    assert_eq!(pair.inbox[first.body], [14]);
    pair.inbox.drain(..first.end);
    assert!(pair.inbox.len() > RESULT_HEAD_LEN, "the second has begun");
    let (mut inbox, mut found) = (std::mem::take(&mut pair.inbox), None);
    pair.sleep_until(|parent| {
        match parent.receive(&mut inbox).unwrap() {
            Received::Long(tag, body) => found = Some((tag, body)),
            received => assert!(matches!(received, Received::Part | Received::Nothing)),
        }
        parent.release();
        found.is_some()
    });
    assert_eq!(found, Some((3, vec![100; 100 * 1024])));
    assert!(inbox.is_empty());
    pair.quit();
}

#[test]
fn a_long_result_comes_into_memory_that_was_kept_for_one_like_the_last() {
    let mut pair = Pair::new();
    let next = |pair: &mut Pair| {
        pair.send(&call(&[&[255, 100]]));
        let (tag, body) = pair.next();
        assert_eq!((tag, &body), (3, &vec![100; 100 * 1024]));
        body.capacity()
    };
    let kept = 100 * 1024 + 7;
    assert!(pair.parent.keep(vec![7; kept]).is_some(), "no result was long yet");
    assert_eq!(next(&mut pair), 100 * 1024);
    assert!(pair.parent.keep(vec![7; kept]).is_none());
    assert_eq!(next(&mut pair), kept);
    assert!(pair.parent.keep(vec![7; kept]).is_none());
    pair.parent.let_memory_go();
    assert_eq!(next(&mut pair), 100 * 1024);
    assert!(pair.parent.keep(vec![7; 100 * 1024 - 1]).is_some(), "it is too short");
    assert!(pair.parent.keep(vec![7; 1 << 20]).is_some(), "it is far too long");
    pair.quit();
}

#[test]
fn what_was_not_started_can_be_taken_back() {
    let mut pair = Pair::new();
    // The worker is held up by a result that nobody receives, so the items behind it cannot start.
    pair.send(&call(&[&[255, 100], &[1], &[2]]));
    pair.sleep_until(|parent| parent.started() > 0);
    assert_eq!(pair.parent.revoke(), Some(1));
    assert!(pair.parent.is_revoked());
    pair.send(&Frame::resume());
    pair.send(&call(&[&[9]]));
    assert_eq!(pair.next().1.len(), 100 * 1024);
    assert_eq!(pair.next(), (3, vec![18]), "the two items between were taken back");
    assert!(!pair.parent.is_revoked());
    assert_eq!(pair.parent.started(), 2);
    pair.quit();
}

#[test]
fn a_result_over_the_limit_is_an_error() {
    let (mut parent, fds) = ParentLink::new(CAPACITY, 1000).unwrap();
    serve(fds);
    assert_eq!(parent.send(&call(&[&[255, 1]]), 0).unwrap(), call(&[&[255, 1]]).len());
    parent.ring();
    let mut out = Vec::new();
    let error = loop {
        match take_result(&mut parent, &mut out) {
            Ok(_) => thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, LinkError::TooLarge { len: 1024, limit: 1000 });
}

#[test]
fn descriptors_of_something_else_are_refused() {
    assert!(ChildLink::over(vec![], CAPACITY).is_err());
    let (_, fds) = ParentLink::new(CAPACITY, 1000).unwrap();
    assert!(ChildLink::over(fds, 2 * CAPACITY).is_err());
}

/// A worker, and the ring of tasks from which it reads, for somebody who writes over it.
fn scribbled() -> (Producer, JoinHandle<Result<(), ServeError>>) {
    let (_, fds) = ParentLink::new(CAPACITY, 1000).unwrap();
    let tasks = Segment::from_fd(fds[0].try_clone().unwrap(), page_size() + CAPACITY).unwrap();
    (Producer::new(Ring::over(&tasks).unwrap()), serve(fds))
}

/// Writes what looks like the header of a frame.
fn scribble(tasks: &mut Producer, kind: u16, len: u64) {
    let mut header = [0; 40];
    header[..2].copy_from_slice(&kind.to_le_bytes());
    header[8..16].copy_from_slice(&len.to_le_bytes());
    tasks.write(&header).unwrap();
    tasks.publish();
    tasks.memory().reader_bell().ring(AT_REST);
}

#[test]
fn a_frame_that_no_parent_sends_ends_the_worker() {
    const CALL: u16 = 1;
    const RESUME: u16 = 2;
    const CONTEXT: u16 = 3;
    let lengths = [u64::MAX, u64::MAX - 6, 1 << 63, i64::MAX as u64];
    let too_long = lengths.iter().flat_map(|len| [(CALL, *len), (CONTEXT, *len)]);
    for (kind, len) in too_long.chain([(RESUME, 1 << 40), (77, 1 << 40), (77, 0)]) {
        let (mut tasks, worker) = scribbled();
        scribble(&mut tasks, kind, len);
        assert_eq!(worker.join().unwrap(), Err(ServeError::Frame { kind, len }));
    }
}

/// It waits for the rest, which could come, and whose memory it takes only then.
#[test]
fn a_length_alone_makes_the_worker_allocate_little() {
    let (mut tasks, worker) = scribbled();
    scribble(&mut tasks, 3, 1 << 62);
    while tasks.memory().head().load(Ordering::SeqCst) != tasks.position() {
        thread::yield_now();
    }
    assert!(!worker.is_finished());
    tasks.memory().tail().store(u64::MAX, Ordering::SeqCst);
    tasks.memory().reader_bell().ring(AT_REST);
    assert!(matches!(worker.join().unwrap(), Err(ServeError::Corrupt(_))));
}

/// Takes as many milliseconds as its first byte says.
struct Nap;

impl Task<fn(u8) -> u8> for Nap {
    fn run(function: fn(u8) -> u8, work: &mut Work<'_>) -> u8 {
        thread::sleep(Duration::from_millis(function(work.input[0]).into()));
        3
    }
}

#[test]
fn what_was_worked_is_told_and_what_was_waited_for_is_not() {
    let mut pair = Pair::new();
    pair.parent.ask_for_time(1 << 40);
    let nap = |ms: &[u8]| {
        let mut frame = Frame::call(Function::unary::<Nap, u8, u8>(|ms| ms).unwrap(), 1);
        for ms in ms {
            let pushed: Result<(), ItemTooLarge> = frame.push_plain(|out| {
                out.push(*ms);
                Ok(())
            });
            pushed.unwrap();
        }
        frame.sealed()
    };
    pair.send(&nap(&[5, 5]));
    (0..2).for_each(|_| assert_eq!(pair.next().0, 3));
    let first = pair.parent.spent();
    // By two clocks, of which one is estimated.
    assert!(first > Duration::from_millis(9), "{first:?}");
    // It waits for the next message, which is not its work.
    thread::sleep(Duration::from_millis(200));
    let sent = Instant::now();
    pair.send(&nap(&[0]));
    assert_eq!(pair.next().0, 3);
    let (second, took) = (pair.parent.spent() - first, sent.elapsed());
    assert!(second < 2 * took + Duration::from_millis(10), "{second:?} of {took:?}");
    pair.quit();
}
