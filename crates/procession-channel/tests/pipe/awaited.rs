//! Sends and receives that are awaited, on an executor of a few lines.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use backstage::executor::{block_on, is_send, join, next, poll_once};
use procession_channel::pipe::{self, Receiver, RecvError, SendErrorKind, Sender};
use procession_shm::{Waitable, wait_any};

use crate::stage::{Other, play};

#[test]
fn a_long_message_and_the_end_are_awaited() {
    let (mut sender, mut receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    let sending = thread::spawn(move || {
        block_on(is_send(sender.send_async(vec![7; 100_000]))).unwrap();
        block_on(sender.send_async(vec![8; 10])).unwrap();
    });
    assert!(block_on(is_send(receiver.recv_async())).unwrap() == vec![7; 100_000]);
    assert_eq!(block_on(receiver.recv_async()).unwrap(), [8; 10]);
    assert!(matches!(block_on(receiver.recv_async()), Err(RecvError::Closed)));
    sending.join().unwrap();
}

#[test]
fn hundreds_of_futures_are_awaited_at_once() {
    let pipes: Vec<(Sender<usize>, Receiver<usize>)> =
        (0..300).map(|_| pipe::builder().capacity(1).simplex().unwrap()).collect();
    let (senders, mut receivers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
    let sending = thread::spawn(move || {
        for (n, sender) in senders.iter().enumerate().rev() {
            if n % 50 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            sender.send(n).unwrap();
        }
    });
    let futures = receivers.iter_mut().map(|end| Box::pin(end.recv_async()) as Pin<Box<_>>);
    let received: Result<Vec<usize>, RecvError> =
        join::<Result<usize, RecvError>>(futures.map(|f| f as _).collect()).into_iter().collect();
    assert_eq!(received.unwrap(), (0..300).collect::<Vec<_>>());
    sending.join().unwrap();
}

/// One sleeper takes 127 words: an end must not need two of them.
#[test]
fn a_hundred_futures_have_one_sleeper() {
    let mut pipes: Vec<_> = (0..100).map(|_| pipe::simplex::<u8>().unwrap()).collect();
    let mut futures: Vec<_> = pipes.iter_mut().map(|(_, end)| end.recv_async()).collect();
    assert!(futures.iter_mut().all(|future| poll_once(future, Waker::noop()).is_none()));
    // The tests beside this one have sleepers now and then, this one would all the time, until all are called for their check-up.
    let mut in_a_row = 0;
    let mut looks = (0..600).map(|_| {
        thread::sleep(Duration::from_millis(5));
        in_a_row = if has_further_sleepers() { 0 } else { in_a_row + 1 };
        in_a_row
    });
    assert!(looks.any(|in_a_row| in_a_row == 20));
}

/// Whether a thread was started because the words of a wait are too many for one.
fn has_further_sleepers() -> bool {
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    let mut names =
        std::fs::read_dir("/proc/self/task").unwrap().flatten().filter_map(|it| name(it).ok());
    names.any(|name| name.trim() == "procession-wait")
}

/// It is never dropped.
fn leak<T>(value: T) {
    let _leaked = std::mem::ManuallyDrop::new(value);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("as a waker may");
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let (sender, mut receiver) = pipe::simplex::<u8>().unwrap();
    let (other_sender, mut other) = pipe::simplex::<u8>().unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let mut future = receiver.recv_async();
    assert!(poll_once(&mut future, &Waker::from(Arc::clone(&count))).is_none());
    let waiting = thread::spawn(move || block_on(other.recv_async()).unwrap());
    sender.send(1).unwrap();
    while count.0.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    other_sender.send(2).unwrap();
    assert_eq!(waiting.join().unwrap(), 2);
    assert_eq!(block_on(future).unwrap(), 1);
}

#[test]
fn a_receive_that_is_dropped_loses_nothing_and_a_send_sends_nothing() {
    let (mut sender, mut receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    for round in 0..20 {
        let mut receive = receiver.recv_async();
        assert!(poll_once(&mut receive, Waker::noop()).is_none());
        let mut send = sender.send_async(vec![1; 50_000]);
        assert!(poll_once(&mut send, Waker::noop()).is_none());
        // Some of its parts are taken.
        assert!(poll_once(&mut receive, Waker::noop()).is_none());
        drop(receive);
        if round % 2 == 0 {
            drop(send);
        } else {
            leak(send);
        }
        assert!(receiver.try_recv().unwrap().is_none());
        sender.send(vec![round; 3]).unwrap();
        assert_eq!(receiver.recv().unwrap(), [round; 3]);
    }
}

#[test]
fn a_future_that_is_leaked_does_no_harm() {
    let (sender, mut receiver) = pipe::simplex::<u8>().unwrap();
    let mut receive = receiver.recv_async();
    assert!(poll_once(&mut receive, Waker::noop()).is_none());
    leak(receive);
    sender.send(1).unwrap();
    assert_eq!(receiver.recv().unwrap(), 1);
    drop(receiver);
    assert!(matches!(sender.send(2).unwrap_err().kind, SendErrorKind::Closed));
}

/// Nobody can go on with it: at the next message it is taken back, and so it is when the end goes away.
#[test]
fn an_end_with_a_leaked_send_travels() {
    let (mut sender, receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    let mut send = sender.send_async(vec![1; 50_000]);
    assert!(poll_once(&mut send, Waker::noop()).is_none());
    leak(send);
    let (carrier, carried) = pipe::simplex::<Sender<Vec<u8>>>().unwrap();
    carrier.send(sender).unwrap();
    let sending = thread::spawn(move || carried.recv().unwrap().send(vec![2; 3]).unwrap());
    assert_eq!(receiver.recv().unwrap(), [2; 3]);
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    sending.join().unwrap();
}

#[test]
fn a_death_is_awaited() {
    const TEST: &str = "awaited::a_death_is_awaited";
    play(TEST, |parent: Sender<u8>| {
        parent.send(1).unwrap();
        thread::sleep(Duration::from_secs(60));
    });
    let (sender, mut receiver) = pipe::simplex::<u8>().unwrap();
    let child = Other::start(TEST, sender);
    assert_eq!(block_on(receiver.recv_async()).unwrap(), 1);
    let waiting = thread::spawn(move || block_on(receiver.recv_async()));
    thread::sleep(Duration::from_millis(30));
    child.kill();
    assert!(matches!(waiting.join().unwrap(), Err(RecvError::Closed)));
}

/// Futures that come and go beside threads that block, on the same kind of thing.
#[test]
fn futures_and_blocking_waits_do_not_disturb_each_other() {
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    let (_quiet, mut quiet) = pipe::simplex::<u8>().unwrap();
    let churning = thread::spawn(move || {
        for _ in 0..500 {
            assert!(poll_once(&mut quiet.recv_async(), Waker::noop()).is_none());
        }
    });
    let sending = thread::spawn(move || (0..200_u8).for_each(|n| sender.send(n).unwrap()));
    for n in 0..200 {
        let on: [&dyn Waitable; 1] = [&receiver];
        assert_eq!(wait_any(&on, None).unwrap().len(), 1);
        assert_eq!(receiver.recv().unwrap(), n);
    }
    churning.join().unwrap();
    sending.join().unwrap();
}

#[test]
fn messages_are_a_stream_until_the_end_and_a_connection_answers_them() {
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    let sending = thread::spawn(move || (0..100_u8).for_each(|n| sender.send(n).unwrap()));
    let mut messages = is_send(receiver.stream());
    for n in 0..100 {
        assert_eq!(block_on(next(&mut messages)).unwrap().unwrap(), n);
    }
    assert!(block_on(next(&mut messages)).is_none());
    assert!(block_on(next(&mut messages)).is_none(), "it stays over");
    sending.join().unwrap();

    let (here, there) = pipe::duplex::<u8, u8>().unwrap();
    let doubling = thread::spawn(move || {
        let mut messages = is_send(there.stream());
        while let Some(n) = block_on(next(&mut messages)) {
            block_on(messages.sender_mut().send_async(n.unwrap() * 2)).unwrap();
        }
    });
    here.send(21).unwrap();
    assert_eq!(here.recv().unwrap(), 42);
    drop(here);
    doubling.join().unwrap();
}
