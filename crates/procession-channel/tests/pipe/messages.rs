//! Values through a pipe within one process.

use std::thread;
use std::time::Duration;

use backstage::executor::block_on;
use procession_channel::pipe::{
    self, Connection, PipeError, Receiver, RecvError, SendErrorKind, Sender,
};

pub(crate) const SOON: Duration = Duration::from_millis(20);

/// A ring that most messages of these tests do not fit into.
pub(crate) fn small<T>() -> (Sender<T>, Receiver<T>) {
    pipe::builder().capacity(4096).simplex().unwrap()
}

#[test]
fn ends_can_be_given_to_a_thread() {
    fn sendable<T: Send>() {}
    // Whatever the messages are: values stay in their processes.
    sendable::<Sender<std::rc::Rc<u8>>>();
    sendable::<Receiver<std::rc::Rc<u8>>>();
    sendable::<Connection<std::rc::Rc<u8>, u8>>();
}

#[test]
fn messages_arrive_in_order_and_then_the_end() {
    let (sender, receiver) = pipe::simplex::<(u32, String)>().unwrap();
    for n in 0..100 {
        sender.send((n, n.to_string())).unwrap();
    }
    drop(sender);
    for n in 0..100 {
        assert_eq!(receiver.recv().unwrap(), (n, n.to_string()));
    }
    for _ in 0..2 {
        assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
        assert!(matches!(receiver.try_recv(), Err(RecvError::Closed)));
    }
}

#[test]
fn a_loop_ends_with_the_stream() {
    let (sender, receiver) = pipe::simplex::<u32>().unwrap();
    let producer = thread::spawn(move || (0..10).for_each(|n| sender.send(n).unwrap()));
    let firsts: Vec<u32> = (&receiver).into_iter().take(3).map(Result::unwrap).collect();
    let rest: Vec<u32> = receiver.into_iter().map(Result::unwrap).collect();
    assert_eq!((&firsts[..], &rest[..]), (&[0, 1, 2][..], &[3, 4, 5, 6, 7, 8, 9][..]));
    producer.join().unwrap();
}

/// Where a message goes in parts instead of one frame, and where it has no place in the whole ring.
#[test]
fn messages_around_each_length_that_matters_are_whole() {
    const RING: usize = 4096;
    /// A frame has 16 bytes of its own, and 16 are kept for an abort.
    const WHOLE: usize = RING - 32;
    let message = |len: usize| vec![len.to_le_bytes()[0]; len];
    let (mut sender, receiver) = pipe::builder().capacity(1).simplex::<Vec<u8>>().unwrap();
    let (told, lens) = std::sync::mpsc::channel();
    let receiving = thread::spawn(move || {
        for (len, received) in lens.into_iter().zip(&receiver) {
            assert!(received.unwrap() == message(len), "{len}");
        }
        receiver
    });
    for around in [RING / 4 - 16, WHOLE / 2, WHOLE, RING, RING + WHOLE / 2, 3 * (RING / 4 - 16)] {
        for len in around - 9..=around + 9 {
            told.send(len).unwrap();
            sender.send(message(len)).unwrap();
            told.send(len).unwrap();
            block_on(sender.send_async(message(len))).unwrap();
        }
    }
    drop(told);
    let receiver = receiving.join().unwrap();
    for len in WHOLE - 20..WHOLE + 20 {
        let sent = sender.try_send(vec![1; len]);
        if len <= WHOLE {
            sent.unwrap();
            assert!(matches!(sender.try_send(vec![2; 100]).unwrap_err().kind, SendErrorKind::Full));
            assert_eq!(receiver.recv().unwrap().len(), len);
        } else {
            let kind = sent.unwrap_err().kind;
            assert!(matches!(kind, SendErrorKind::TooLarge { limit: WHOLE, .. }), "{kind}");
        }
    }
}

/// Too many wake-ups for nothing are what a hostile peer does.
#[test]
fn a_sleeper_is_not_woken_by_what_is_not_sent() {
    let (sender, receiver) = pipe::builder().max_message(10).simplex::<String>().unwrap();
    let sleeper = thread::spawn(move || receiver.recv());
    for _ in 0..300 {
        let refused = sender.send("far too long".to_owned()).unwrap_err();
        assert!(matches!(refused.kind, SendErrorKind::TooLarge { .. }), "{refused}");
        thread::sleep(Duration::from_millis(1));
    }
    sender.send("short".to_owned()).unwrap();
    assert_eq!(sleeper.join().unwrap().unwrap(), "short");
}

#[test]
fn nothing_yet_is_not_the_end() {
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    assert_eq!(receiver.try_recv().unwrap(), None);
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), None);
    sender.send(7).unwrap();
    assert_eq!(receiver.recv_timeout(None).unwrap(), Some(7));
}

#[test]
fn a_sleeper_is_woken_by_a_message_and_by_the_end() {
    let (sender, receiver) = pipe::simplex::<u8>().unwrap();
    let sleeper = thread::spawn(move || (receiver.recv(), receiver.recv()));
    thread::sleep(SOON);
    sender.send(7).unwrap();
    thread::sleep(SOON);
    sender.close();
    let (message, end) = sleeper.join().unwrap();
    assert_eq!(message.unwrap(), 7);
    assert!(matches!(end, Err(RecvError::Closed)));
}

#[test]
fn nobody_to_send_to_gives_the_value_back() {
    let (sender, receiver) = small::<String>();
    drop(receiver);
    let error = sender.send("lost".to_owned()).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed), "{error}");
    assert_eq!(error.value, "lost");
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_the_end() {
    let (sender, receiver) = small::<Vec<u8>>();
    let sleeper = thread::spawn(move || sender.send(vec![0; 1 << 20]));
    thread::sleep(SOON);
    receiver.close();
    let error = sleeper.join().unwrap().unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed), "{error}");
    assert_eq!(error.value.len(), 1 << 20);
}

#[test]
fn messages_longer_than_the_ring_stream_through_it() {
    let (sender, receiver) = small::<Vec<String>>();
    let long: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    let expected = long.clone();
    let producer = thread::spawn(move || sender.send(long).unwrap());
    assert_eq!(receiver.recv().unwrap(), expected);
    producer.join().unwrap();
}

#[test]
fn a_full_pipe_says_so_to_those_who_do_not_wait() {
    let (sender, receiver) = small::<Vec<u8>>();
    sender.try_send(vec![1; 3000]).unwrap();
    let error = sender.try_send(vec![2; 3000]).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Full), "{error}");
    assert_eq!(error.value, [2; 3000]);
    let error = sender.send_timeout(error.value, SOON).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut), "{error}");
    assert_eq!(receiver.recv().unwrap(), [1; 3000]);
    sender.try_send(error.value).unwrap();
    let error = sender.try_send(vec![3; 5000]).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TooLarge { .. }), "{error}");
}

#[test]
fn a_message_over_the_limit_is_refused_by_the_sender() {
    let (sender, receiver) = pipe::builder().max_message(100).simplex::<Vec<u8>>().unwrap();
    let error = sender.send(vec![0; 101]).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TooLarge { len: 101, limit: 100 }), "{error}");
    sender.send(vec![0; 100]).unwrap();
    assert_eq!(receiver.recv().unwrap().len(), 100);
}

#[test]
fn limits_that_make_no_sense_are_errors() {
    for builder in [pipe::builder().capacity(0), pipe::builder().capacity(1 << 40)] {
        assert!(matches!(builder.simplex::<u8>(), Err(PipeError::Option { .. })));
    }
    assert!(pipe::builder().max_message(0).duplex::<u8, u8>().is_err());
}

#[test]
fn a_receive_that_expires_half_way_goes_on_later() {
    let (sender, receiver) = small::<Vec<u8>>();
    let long: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let expected = long.clone();
    let producer = thread::spawn(move || sender.send(long).unwrap());
    let mut tries = 0;
    let received = loop {
        tries += 1;
        if let Some(message) = receiver.recv_timeout(Duration::from_micros(1)).unwrap() {
            break message;
        }
    };
    assert!(received == expected, "after {tries} tries");
    producer.join().unwrap();
}

#[test]
fn what_cannot_be_encoded_comes_back() {
    let (sender, receiver) = pipe::simplex::<Nested>().unwrap();
    let deep = (0..1000).fold(Nested(None), |inner, _| Nested(Some(Box::new(inner))));
    let error = sender.send(deep).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Encode(_)), "{error}");
    sender.send(Nested(None)).unwrap();
    assert!(receiver.recv().unwrap().0.is_none());
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nested(Option<Box<Nested>>);

#[derive(Debug, PartialEq, serde::Serialize)]
struct Even(u32);

impl<'de> serde::Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number != 13, "unlucky");
        let odd = || serde::de::Error::custom("it is odd");
        (number % 2 == 0).then_some(Self(number)).ok_or_else(odd)
    }
}

#[test]
fn what_does_not_decode_costs_one_message() {
    let (sender, receiver) = pipe::simplex::<Even>().unwrap();
    for number in [1, 2, 13, 4] {
        sender.send(Even(number)).unwrap();
    }
    drop(sender);
    let received: Vec<_> = receiver.into_iter().collect();
    assert!(
        matches!(&received[0], Err(RecvError::Decode(error)) if error.to_string().contains("odd"))
    );
    assert_eq!(received[1].as_ref().unwrap(), &Even(2));
    assert!(matches!(received[2], Err(RecvError::Decode(_))), "a panic is caught");
    assert_eq!(received[3].as_ref().unwrap(), &Even(4));
    assert_eq!(received.len(), 4);
}

#[test]
fn closing_twice_is_closing() {
    let (here, there) = pipe::duplex::<u8, u8>().unwrap();
    here.close();
    here.close();
    assert!(matches!(here.recv(), Err(RecvError::Closed)));
    assert!(matches!(here.send(1).unwrap_err().kind, SendErrorKind::Closed));
    assert!(matches!(there.recv(), Err(RecvError::Closed)));
}

#[test]
fn a_connection_is_two_ends_that_can_go_different_ways() {
    let (here, there) = pipe::duplex::<u8, String>().unwrap();
    let (sender, receiver) = here.split();
    sender.send(7).unwrap();
    drop(sender);
    assert_eq!(there.recv().unwrap(), 7);
    assert!(matches!(there.recv(), Err(RecvError::Closed)));
    there.send("still open".to_owned()).unwrap();
    assert_eq!(receiver.recv().unwrap(), "still open");
}
