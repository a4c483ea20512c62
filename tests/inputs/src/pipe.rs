//! A pipe whose peer writes to all memory of it, between any two calls.

use std::os::fd::AsFd;

use procession_channel::pipe::{self, Receiver, Sender};
use procession_shm::sync::atomic::Ordering;
use procession_shm::transfer::send_scope;
use procession_shm::{Mapping, Segment, page_size};

use crate::bytes::Bytes;

const CAPACITY: usize = 4096;
/// Inputs that go on for longer show nothing more.
const CALLS_MAX: usize = 64;
const LEN_MAX: usize = 1 << 16;

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let builder = pipe::builder().capacity(CAPACITY).max_message(LEN_MAX);
    // Without memory or descriptors there is nothing to try.
    let Ok((sender, receiver)) = builder.simplex::<Vec<u16>>() else { return };
    let Some(memory) = memory(&receiver) else { return };
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            return;
        }
        step(&mut input, &sender, &receiver, &memory);
    }
}

/// The memory of the pipe, as the peer has it.
fn memory(receiver: &Receiver<Vec<u16>>) -> Option<Mapping> {
    let mut bytes = Vec::new();
    // The end is not sent, and is here again when this is over.
    let encode = || procession_channel::codec::encode(receiver, &mut bytes);
    let ((), outgoing) = send_scope(encode).ok()?;
    let fd = outgoing.descriptors().next()?.as_fd().try_clone_to_owned().ok()?;
    Segment::from_fd(fd, page_size() + CAPACITY).ok()?.map().ok()
}

fn step(
    input: &mut Bytes<'_>,
    sender: &Sender<Vec<u16>>,
    receiver: &Receiver<Vec<u16>>,
    memory: &Mapping,
) {
    let kind = input.u8();
    match kind % 8 {
        0 => bounded(receiver.try_recv().ok().flatten().map(|value| 2 * value.len())),
        1 => bounded(receiver.try_recv_bytes().ok().flatten().map(|bytes| bytes.len())),
        2 => drop(sender.try_send(vec![7; usize::from(input.u8())])),
        3 => drop(sender.try_send_bytes(input.take(usize::from(kind)))),
        4 => word(memory, input, input_word(kind)),
        5 => {
            let at = memory.len() - 1 - usize::from(input.u16()) % CAPACITY;
            let bytes = input.take((memory.len() - at).min(usize::from(kind)));
            memory.write(at, bytes);
        }
        6 => {
            let at = page_size() + usize::from(input.u8());
            memory.write(at, input.take(32));
        }
        _ => bounded(receiver.poll(std::time::Duration::ZERO).then_some(0)),
    }
}

/// A word of the head page: one that the pipe uses, often.
fn input_word(kind: u8) -> usize {
    const USED: [usize; 7] = [0, 8, 128, 256, 384, 512, 640];
    USED[usize::from(kind >> 3) % USED.len()]
}

fn word(memory: &Mapping, input: &mut Bytes<'_>, at: usize) {
    let value = if input.u8() & 1 == 0 { u64::from(input.u16()) } else { input.u64() };
    memory.atomic_u64(at).store(value, Ordering::SeqCst);
}

fn bounded(len: Option<usize>) {
    assert!(len.is_none_or(|len| len <= LEN_MAX), "a message over the limit: {len:?}");
}
