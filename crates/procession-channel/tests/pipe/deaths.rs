//! Processes that are killed while they send or receive.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use procession_channel::Fd;
use procession_channel::pipe::{self, Receiver, RecvError, SendErrorKind, Sender};

use crate::stage::{Other, play};

/// Enough for any machine that is not stuck. What the docs promise is a thousandth of it.
const HANG: Duration = Duration::from_secs(60);

/// A number, bytes that depend on it and are often more than the ring holds, and now and then a handle.
type Load = (u32, Vec<u8>, Option<Fd<File>>);

fn load(n: u32) -> Load {
    let len = [0, 5, 1000, 3000, 20_000][n as usize % 5];
    let file = n.is_multiple_of(3).then(|| Fd::new(File::open("/dev/null").unwrap()));
    (n, vec![n.to_le_bytes()[0]; len], file)
}

fn assert_is_whole((n, bytes, file): &Load, expected: u32) {
    let (_, whole, handle) = load(expected);
    assert_eq!((*n, bytes.len(), file.is_some()), (expected, whole.len(), handle.is_some()));
    assert!(*bytes == whole);
}

/// A time that differs from round to round, up to 4 ms.
fn delay(round: u64) -> Duration {
    Duration::from_micros(round * 7919 % 4000)
}

#[test]
fn a_killed_sender_has_sent_whole_messages_only() {
    const TEST: &str = "deaths::a_killed_sender_has_sent_whole_messages_only";
    play(TEST, |parent: Sender<Load>| {
        for n in 0.. {
            parent.send(load(n)).unwrap();
        }
    });
    let mut deaths_in_a_message = 0;
    for round in 0..100 {
        let (sender, receiver) = pipe::builder().capacity(4096).simplex::<Load>().unwrap();
        let child = Other::start(TEST, sender);
        let pid = child.pid();
        let mut expected = 0;
        assert_is_whole(&receiver.recv().unwrap(), expected);
        let until = Instant::now() + delay(round);
        while Instant::now() < until {
            expected += 1;
            assert_is_whole(&receiver.recv().unwrap(), expected);
        }
        child.kill();
        for received in receiver {
            match received {
                Ok(message) => {
                    expected += 1;
                    assert_is_whole(&message, expected);
                }
                Err(RecvError::Died { pid: dead }) => {
                    assert_eq!(dead, pid);
                    deaths_in_a_message += 1;
                }
                Err(error) => panic!("round {round}: {error}"),
            }
        }
    }
    assert!(deaths_in_a_message > 0, "no round met a message half sent");
}

#[test]
fn a_killed_receiver_gives_the_value_back() {
    const TEST: &str = "deaths::a_killed_receiver_gives_the_value_back";
    play(TEST, |parent: Receiver<Load>| {
        for (message, expected) in parent.into_iter().zip(0..) {
            assert_is_whole(&message.unwrap(), expected);
        }
    });
    for round in 0..100 {
        let (sender, receiver) = pipe::builder().capacity(4096).simplex::<Load>().unwrap();
        let child = Other::start(TEST, receiver);
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(3) + delay(round));
            child.kill();
        });
        let start = Instant::now();
        let error = (0..).find_map(|n| Some((n, sender.send(load(n)).err()?)));
        let (n, error) = error.unwrap();
        assert!(matches!(error.kind, SendErrorKind::Closed), "round {round}: {error}");
        assert_is_whole(&error.value, n);
        killer.join().unwrap();
        assert!(start.elapsed() < HANG);
    }
}

#[test]
fn a_sleeper_notices_a_death() {
    const TEST: &str = "deaths::a_sleeper_notices_a_death";
    play(TEST, |parent: Sender<u8>| {
        parent.send(1).unwrap();
        thread::sleep(HANG);
    });
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    let child = Other::start(TEST, sender);
    assert_eq!(receiver.recv().unwrap(), 1);
    let sleeper = thread::spawn(move || receiver.recv());
    thread::sleep(Duration::from_millis(100));
    child.kill();
    assert!(matches!(sleeper.join().unwrap(), Err(RecvError::Closed)));
}

#[test]
fn a_message_half_sent_names_the_dead() {
    const TEST: &str = "deaths::a_message_half_sent_names_the_dead";
    play(TEST, |parent: Sender<Vec<u8>>| parent.send(vec![7; 1 << 20]).unwrap());
    let (sender, receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    let child = Other::start(TEST, sender);
    let pid = child.pid();
    // The first parts are there when polling has read them; the rest has no room.
    while !receiver_has_parts(&receiver) {}
    child.kill();
    let died = receiver.recv();
    assert!(matches!(died, Err(RecvError::Died { pid: dead }) if dead == pid), "{died:?}");
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
}

/// Lets the sender get a little further. An end that has nothing yet travels in few bytes.
fn receiver_has_parts(receiver: &Receiver<Vec<u8>>) -> bool {
    assert_eq!(receiver.try_recv().unwrap(), None, "a MiB takes many looks");
    let encoded = procession_shm::transfer::send_scope(|| postcard::to_stdvec(receiver));
    encoded.unwrap().0.len() > 1000
}

/// So many short messages go through a pipe without a pause that both its sides are in a stream.
const BURST: usize = 10_000;

#[test]
fn a_sender_killed_in_a_stream_costs_none_of_what_it_sent() {
    const TEST: &str = "deaths::a_sender_killed_in_a_stream_costs_none_of_what_it_sent";
    play(TEST, |parent: Sender<usize>| {
        for n in 0.. {
            parent.send(n).unwrap();
            if n % BURST == BURST - 1 {
                // Long enough that the reader sleeps.
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    for round in 0..20 {
        let (sender, receiver) = pipe::simplex::<usize>().unwrap();
        let child = Other::start(TEST, sender);
        let mut numbers = receiver.into_iter().zip(0..);
        for (received, expected) in numbers.by_ref().take(BURST) {
            assert_eq!(received.unwrap(), expected);
        }
        let killer = thread::spawn(move || {
            thread::sleep(delay(round));
            child.kill();
        });
        // All that was sent is there, in its order, and then the end.
        numbers.for_each(|(received, expected)| assert_eq!(received.unwrap(), expected));
        killer.join().unwrap();
    }
}

#[test]
fn a_receiver_killed_in_a_stream_is_told_of() {
    const TEST: &str = "deaths::a_receiver_killed_in_a_stream_is_told_of";
    play(TEST, |parent: Receiver<usize>| {
        for (received, expected) in parent.into_iter().zip(0..) {
            assert_eq!(received.unwrap(), expected);
            if expected % BURST == BURST - 1 {
                // Long enough that the sender has filled the ring and sleeps.
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    for round in 0..20 {
        let (sender, receiver) = pipe::builder().capacity(4096).simplex::<usize>().unwrap();
        let child = Other::start(TEST, receiver);
        (0..BURST).for_each(|n| sender.send(n).unwrap());
        let killer = thread::spawn(move || {
            thread::sleep(delay(round));
            child.kill();
        });
        let error = (BURST..).find_map(|n| Some((n, sender.send(n).err()?)));
        let (n, error) = error.unwrap();
        assert!(matches!(error.kind, SendErrorKind::Closed), "round {round}: {error}");
        assert_eq!(error.value, n);
        killer.join().unwrap();
    }
}
