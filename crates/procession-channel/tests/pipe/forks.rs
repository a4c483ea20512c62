//! A bare `fork` in the middle of things: what goes on in the child is not the pipe's, and the parent goes on as if nothing was.

use std::cell::Cell;
use std::task::Waker;

use backstage::executor::{join, poll_once};
use procession_channel::pipe::{self, RecvError, SendErrorKind, Sender};
use procession_shm::Waitable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const AS_IT_SHOULD: i32 = 41;

thread_local! {
    /// The child of the fork, 0 in that itself.
    static CHILD: Cell<Option<i32>> = const { Cell::new(None) };
}

fn fork() {
    // SAFETY: the child allocates, which glibc allows after a fork, takes no lock that another thread may hold, and ends without
    // destructors.
    CHILD.set(Some(unsafe { libc::fork() }));
}

/// In the child, ends it by whether all `is_so` there; in the parent, that it did.
fn ends_in_the_child(is_so: impl FnOnce() -> bool) {
    let child = CHILD.take().unwrap();
    if child == 0 {
        let code = if is_so() { AS_IT_SHOULD } else { 1 };
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child is ours and `status` is a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == AS_IT_SHOULD, "{status}");
}

/// Forks while it is encoded, or while it is decoded.
#[derive(Debug, PartialEq)]
struct Forks {
    when_sent: bool,
    body: Vec<u8>,
}

impl Serialize for Forks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.when_sent {
            fork();
        }
        (self.when_sent, &self.body).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Forks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (when_sent, body): (bool, Vec<u8>) = Deserialize::deserialize(deserializer)?;
        if !when_sent {
            fork();
        }
        Ok(Self { when_sent, body })
    }
}

fn is_moved<T>(sent: &Result<(), pipe::SendError<T>>) -> bool {
    matches!(sent, Err(error) if matches!(error.kind, SendErrorKind::Moved(_)))
}

/// The end is in the message when the fork comes.
type Load = (Option<Sender<u8>>, Forks);

#[test]
fn a_fork_while_a_value_is_encoded_sends_it_once() {
    let (sender, receiver) = pipe::simplex::<Load>().unwrap();
    for len in [3, 3000] {
        let (inner, answers) = pipe::simplex::<u8>().unwrap();
        let sent = sender.send((Some(inner), Forks { when_sent: true, body: vec![1; len] }));
        ends_in_the_child(|| {
            // Neither end is there, nor the one in the value that came back.
            let is_there = matches!(answers.try_recv(), Ok(_) | Err(RecvError::Closed));
            let inner = sent.as_ref().err().and_then(|error| error.value.0.as_ref());
            is_moved(&sent) && !is_there && inner.is_some_and(|inner| is_moved(&inner.send(1)))
        });
        sent.unwrap();
        let (inner, value) = receiver.recv().unwrap();
        assert_eq!(value.body.len(), len);
        inner.unwrap().send(7).unwrap();
        assert_eq!(answers.recv().unwrap(), 7);
        assert!(matches!(answers.recv(), Err(RecvError::Closed)));
    }
}

#[test]
fn a_fork_while_a_value_is_decoded_receives_it_once() {
    let (sender, receiver) = pipe::simplex::<Load>().unwrap();
    for len in [3, 3000] {
        let (inner, answers) = pipe::simplex::<u8>().unwrap();
        sender.send((Some(inner), Forks { when_sent: false, body: vec![1; len] })).unwrap();
        let received = receiver.recv();
        ends_in_the_child(|| {
            let inner = received.as_ref().ok().and_then(|(inner, _)| inner.as_ref());
            inner.is_some_and(|inner| is_moved(&inner.send(1)))
                && matches!(receiver.recv(), Err(RecvError::Moved(_)))
        });
        let (inner, value) = received.unwrap();
        assert_eq!(value.body.len(), len);
        inner.unwrap().send(7).unwrap();
        assert_eq!(answers.recv().unwrap(), 7);
        assert!(matches!(answers.recv(), Err(RecvError::Closed)));
    }
}

#[test]
fn a_fork_while_futures_wait_leaves_them_to_the_parent() {
    let (mut sender, mut receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    let mut receive = receiver.recv_async();
    assert!(poll_once(&mut receive, Waker::noop()).is_none());
    let mut send = sender.send_async(vec![1; 50_000]);
    assert!(poll_once(&mut send, Waker::noop()).is_none());
    let mut waiting = Some((send, receive));
    fork();
    ends_in_the_child(|| {
        let (_send, receive) = waiting.as_mut().unwrap();
        let polled = poll_once(receive, Waker::noop());
        drop(waiting.take());
        matches!(polled, Some(Err(RecvError::Moved(_))))
    });
    let (send, receive) = waiting.unwrap();
    let sending = Box::pin(async move { send.await.map(|()| Vec::new()).map_err(drop) });
    let receiving = Box::pin(async move { receive.await.map_err(drop) });
    let done: Vec<Result<Vec<u8>, ()>> = join(vec![sending, receiving]);
    assert!(done == [Ok(Vec::new()), Ok(vec![1; 50_000])]);
}

#[test]
fn a_fork_while_bytes_are_looked_at_takes_nothing() {
    let (here, there) = pipe::builder().trusting().duplex::<(), ()>().unwrap();
    for bytes in [&b"one"[..], b"two"] {
        here.send_bytes(bytes).unwrap();
    }
    assert_eq!(there.recv_with(|bytes| (fork(), bytes.len()).1).unwrap(), 3);
    ends_in_the_child(|| there.receiver().is_ready() && there.recv_bytes().is_err());
    assert_eq!(there.recv_bytes().unwrap(), b"two");
    drop(here);
    assert!(matches!(there.recv_bytes(), Err(RecvError::Closed)));
}
