//! Ends in messages, within one process.

use std::rc::Rc;
use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Connection, Receiver, RecvError, SendErrorKind, Sender};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::messages::{SOON, small};

/// A value that its owner keeps while it is sent, as `Serialize` cannot prevent.
struct Held<T>(Rc<T>);

impl<T: Serialize> Serialize for Held<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Held<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Rc::new).map(Self)
    }
}

fn travel<T: procession_channel::Message>(value: T) -> T {
    let (sender, receiver) = pipe::simplex::<T>().unwrap();
    sender.send(value).unwrap();
    drop(sender);
    receiver.recv().unwrap()
}

#[test]
fn ends_go_on_where_they_were() {
    let (mut sender, mut receiver) = pipe::simplex::<u32>().unwrap();
    for n in 0..20 {
        sender.send(2 * n).unwrap();
        sender.send(2 * n + 1).unwrap();
        sender = travel(sender);
        assert_eq!(receiver.recv().unwrap(), n, "the rest travels unread");
        receiver = travel(receiver);
    }
    drop(sender);
    let rest: Vec<u32> = receiver.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, (20..40).collect::<Vec<_>>());
}

#[test]
fn both_ends_in_one_message() {
    let (sender, receiver) = travel(pipe::simplex::<String>().unwrap());
    sender.send("through".to_owned()).unwrap();
    assert_eq!(receiver.recv().unwrap(), "through");
    let (here, there) = travel(pipe::duplex::<u8, u8>().unwrap());
    here.send(1).unwrap();
    assert_eq!(there.recv().unwrap(), 1);
}

#[test]
fn parts_of_a_message_travel_along() {
    let (sender, mut receiver) = small::<Vec<u8>>();
    let long: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let expected = long.clone();
    let producer = thread::spawn(move || sender.send(long).unwrap());
    let received = loop {
        let step = receiver.recv_timeout(Duration::from_micros(100)).unwrap();
        if let Some(message) = step {
            break message;
        }
        receiver = travel(receiver);
    };
    assert!(received == expected);
    producer.join().unwrap();
}

#[test]
fn a_message_that_was_polled_travels_along() {
    let (sender, receiver) = pipe::simplex::<(u8, Sender<u8>)>().unwrap();
    let (inner, answers) = pipe::simplex::<u8>().unwrap();
    sender.send((7, inner)).unwrap();
    assert!(receiver.poll(None));
    let (number, inner) = travel(receiver).recv().unwrap();
    inner.send(number).unwrap();
    assert_eq!(answers.recv().unwrap(), 7);
}

#[test]
fn an_end_that_was_sent_is_not_here() {
    let (sender, receiver) = pipe::simplex::<Held<Sender<u8>>>().unwrap();
    let (inner, inner_receiver) = pipe::simplex::<u8>().unwrap();
    let inner = Rc::new(inner);
    sender.send(Held(Rc::clone(&inner))).unwrap();
    assert!(matches!(inner.send(1).unwrap_err().kind, SendErrorKind::Moved(_)));
    inner.close();
    let again = sender.send(Held(inner)).unwrap_err();
    assert!(matches!(again.kind, SendErrorKind::Encode(_)), "{again}");
    receiver.recv().unwrap().0.send(2).unwrap();
    assert_eq!(inner_receiver.recv().unwrap(), 2, "its copy here closed nothing");
}

#[test]
fn an_end_that_is_closed_is_not_sent_and_says_so() {
    let (sender, _receiver) = pipe::simplex::<Sender<u8>>().unwrap();
    let (inner, gone) = pipe::simplex::<u8>().unwrap();
    drop(gone);
    assert!(matches!(inner.send(1).unwrap_err().kind, SendErrorKind::Closed));
    let refused = sender.send(inner).unwrap_err();
    assert!(matches!(refused.kind, SendErrorKind::Encode(_)), "{refused}");
    assert!(refused.to_string().contains("this Sender is closed"), "{refused}");
}

#[test]
fn an_end_that_could_not_be_sent_is_here() {
    let (full, _held) = small::<(Vec<u8>, Sender<u8>)>();
    let (inner, receiver) = pipe::simplex::<u8>().unwrap();
    let error = full.send_timeout((vec![0; 1 << 20], inner), SOON).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
    let (_, inner) = error.value;
    inner.send(1).unwrap();
    drop(inner);
    assert_eq!(receiver.recv().unwrap(), 1);
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)), "and its end is seen");
}

#[test]
fn an_end_cannot_be_sent_through_itself() {
    #[derive(Serialize, Deserialize)]
    struct Me(Held<Sender<Me>>);
    let (sender, receiver) = pipe::simplex::<Me>().unwrap();
    let sender = Rc::new(sender);
    let error = sender.send(Me(Held(Rc::clone(&sender)))).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Moved(_)), "{error}");
    let (other, other_receiver) = pipe::simplex::<Me>().unwrap();
    sender.send(Me(Held(Rc::new(other)))).unwrap();
    let other = receiver.recv().unwrap();
    drop(other);
    assert!(matches!(other_receiver.recv(), Err(RecvError::Closed)));
}

#[test]
fn an_end_lost_on_its_way_is_an_end_of_the_stream() {
    let (carrier, carried) = pipe::simplex::<(Sender<u8>, Receiver<u8>)>().unwrap();
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    let (other_sender, other_receiver) = pipe::simplex::<u8>().unwrap();
    sender.send(1).unwrap();
    carrier.send((sender, other_receiver)).unwrap();
    assert_eq!(receiver.recv().unwrap(), 1);
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), None, "it is under way");
    drop((carrier, carried));
    assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    let full = loop {
        if let Err(error) = other_sender.try_send(0) {
            break error;
        }
    };
    assert!(matches!(full.kind, SendErrorKind::Closed), "{full}");
}

#[test]
fn connections_go_through_connections() {
    let (here, there) = pipe::duplex::<Connection<u8, u8>, ()>().unwrap();
    let doubler = thread::spawn(move || {
        let connection = there.recv().unwrap();
        for n in &connection {
            connection.send(n.unwrap() * 2).unwrap();
        }
    });
    let (near, far) = pipe::duplex::<u8, u8>().unwrap();
    here.send(far).unwrap();
    near.send(21).unwrap();
    assert_eq!(near.recv().unwrap(), 42);
    drop(near);
    doubler.join().unwrap();
}
