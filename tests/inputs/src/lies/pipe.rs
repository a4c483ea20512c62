//! Both ends of an untrusting pipe.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use procession_channel::Message;
use procession_channel::codec::{decode, encode};
use procession_channel::pipe::{self, Receiver, Sender};
use procession_shm::transfer::{Trust, receive_scope, send_scope};
use procession_shm::wait_any;

use super::sample::Sample;
use crate::bytes::Bytes;
use crate::codec::LIMITS;

const CAPACITY: usize = 4096;
const LEN_MAX: usize = 1 << 14;
const BRIEF: Duration = Duration::from_micros(200);

/// What all is sent as bytes is made of.
const BYTE: u8 = 0xa5;

/// A pipe whose peer was found out is of no use any more, so there is another one after so many steps.
const STEPS_MAX: usize = 20;

pub(crate) fn run<T: Sample>(program: &mut Bytes<'_>) {
    while !program.is_empty() {
        let builder = pipe::builder().capacity(CAPACITY).max_message(LEN_MAX);
        // Without memory or descriptors there is nothing to try.
        let Ok((sender, receiver)) = builder.simplex::<T>() else { return };
        use_both(program, sender, receiver);
    }
}

fn use_both<T: Sample>(program: &mut Bytes<'_>, mut sender: Sender<T>, mut receiver: Receiver<T>) {
    for _ in 0..STEPS_MAX {
        if program.is_empty() {
            return;
        }
        let step = program.u8();
        match step % 16 {
            13 => match sent_away(sender) {
                Some(end) => sender = end,
                None => return,
            },
            14 => match sent_away(receiver) {
                Some(end) => receiver = end,
                None => return,
            },
            0..=4 => send(step, &sender, program.u8()),
            _ => receive(step, &receiver),
        }
    }
}

/// What cannot be sent is an error, which is as good here as none.
fn send<T: Sample>(step: u8, sender: &Sender<T>, n: u8) {
    match (step % 16, T::of(n)) {
        (0 | 1, Some(value)) => drop(sender.try_send(value)),
        (2, Some(value)) => drop(sender.send_timeout(value, BRIEF)),
        (3, _) => drop(sender.try_send_bytes(&vec![BYTE; n.into()])),
        // Longer than the ring, in parts.
        _ => drop(sender.send_bytes_timeout(&vec![BYTE; 40 * usize::from(n)], BRIEF)),
    }
}

fn receive<T: Sample>(step: u8, receiver: &Receiver<T>) {
    match step % 16 {
        5 | 6 => value(receiver.try_recv().ok().flatten()),
        7 => value(receiver.recv_timeout(BRIEF).ok().flatten()),
        8 | 9 => bytes(receiver.try_recv_bytes().ok().flatten().as_deref()),
        10 => bytes(receiver.recv_bytes_timeout(BRIEF).ok().flatten().as_deref()),
        11 => drop(receiver.try_recv_with(|message| bytes(Some(message)))),
        12 => drop(wait_any(&[receiver], BRIEF)),
        _ => drop(receiver.poll(Duration::ZERO)),
    }
}

/// A value is one of those that were sent, where nobody lies.
fn value<T: Sample>(received: Option<T>) {
    let is_right = received.is_none_or(|value| value.is_one());
    assert!(cfg!(procession_hostile) || is_right, "a value that nobody has sent");
}

fn bytes(received: Option<&[u8]>) {
    let Some(bytes) = received else { return };
    assert!(bytes.len() <= LEN_MAX, "a message of {} bytes", bytes.len());
    // A value may be received as the bytes that encode it.
    std::hint::black_box(bytes.iter().all(|byte| *byte == BYTE));
}

/// As a process gets it that is sent this end in a message.
fn sent_away<E: Message>(end: E) -> Option<E> {
    let mut bytes = Vec::new();
    let ((), outgoing) = send_scope(|| encode(&end, &mut bytes)).ok()?;
    let copies = outgoing.descriptors().map(|fd| fd.as_fd().try_clone_to_owned());
    let descriptors: Vec<OwnedFd> = copies.collect::<Result<_, _>>().ok()?;
    outgoing.commit();
    drop(end);
    let trust = Trust::Untrusting { copy_bytes_max: LEN_MAX };
    receive_scope(descriptors, trust, || decode::<E>(&bytes, &LIMITS)).value.ok()
}
