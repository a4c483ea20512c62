//! A link with both ends in one process: the worker's end on a thread.

use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use procession_channel::bell::AT_REST;
use procession_channel::ring::Corrupt;
use procession_shm::{Deadline, wait};

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

fn serve(fds: Vec<OwnedFd>) -> JoinHandle<Result<(), Corrupt>> {
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
    child: JoinHandle<Result<(), Corrupt>>,
}

impl Pair {
    fn new() -> Self {
        let (parent, fds) = ParentLink::new(CAPACITY, 1 << 20).unwrap();
        let mut pair = Self { parent, inbox: Vec::new(), child: serve(fds) };
        assert_eq!(pair.next(), (HELLO, vec![]));
        pair
    }

    fn sleep_until(&mut self, mut over: impl FnMut(&mut ParentLink) -> bool) {
        while !over(&mut self.parent) {
            self.parent.bell().announce(AT_REST);
            if !self.parent.has_news() && !over(&mut self.parent) {
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
fn what_was_not_started_can_be_taken_back() {
    let mut pair = Pair::new();
    // The worker is held up by a result that nobody receives, so the items behind it cannot start.
    pair.send(&call(&[&[255, 100], &[1], &[2]]));
    pair.sleep_until(|parent| parent.started() > 0);
    assert_eq!(pair.parent.revoke(), 1);
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
