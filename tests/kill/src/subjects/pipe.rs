//! `procession_channel::pipe`: ends that send, receive, close, are dropped, and travel.
//!
//! The director makes a pipe and packs both ends, as a channel would that sends them; each actor unpacks the end that it plays
//! with. An end is held by whoever has its descriptors, so everybody gives up those that are not his: nobody would see a
//! hang-up otherwise. What is promised is one store: before it nothing has happened, after it exactly that message.

mod flow;
mod send;
mod take;
mod travel;

use std::fs::File;
use std::io;
use std::time::Duration;

use procession_channel::pipe::{self, Receiver, RecvError, Sender};
use procession_channel::ring::{Memory, Ring};
use procession_channel::{Fd, Message};
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Segment, page_size};

use super::handle;
use super::packed::Packed;
use crate::memory::View;
use crate::scene::Case;

/// What a ring holds here, in bytes: the least.
const CAPACITY: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    [send::cases(), take::cases(), travel::cases(), flow::cases()].into_iter().flatten().collect()
}

/// The memory of a pipe, for somebody who only looks.
fn ring<E: Message>(end: &Packed<E>) -> io::Result<Ring> {
    let segment = Segment::from_fd(end.memory()?, page_size() + CAPACITY);
    Ring::over(&segment.map_err(io::Error::other)?).map_err(io::Error::other)
}

/// A pipe whose two ends are for other processes.
struct Ends<T> {
    sender: Packed<Sender<T>>,
    receiver: Packed<Receiver<T>>,
    /// Mapped in the director, and in no fork of it.
    ring: Ring,
    /// How many bytes had been taken before the scene.
    start: u64,
}

impl<T: Message> Ends<T> {
    /// A pipe through which something was sent already.
    fn after(send: impl FnOnce(&Sender<T>) -> io::Result<()>) -> io::Result<Self> {
        Self::after_both(|sender, _| send(sender))
    }

    /// The same of a pipe from which something was taken as well.
    fn after_both(
        use_both: impl FnOnce(&Sender<T>, &Receiver<T>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (sender, receiver) =
            pipe::builder().capacity(CAPACITY).simplex().map_err(io::Error::other)?;
        use_both(&sender, &receiver)?;
        let (sender, receiver) = (Packed::new(&sender)?, Packed::new(&receiver)?);
        let ring = ring(&sender)?;
        let start = ring.head().load(Ordering::SeqCst);
        Ok(Self { sender, receiver, ring, start })
    }

    fn sender(&self) -> Result<Sender<T>, String> {
        self.receiver.give_up();
        self.sender.unpack()
    }

    fn receiver(&self) -> Result<Receiver<T>, String> {
        self.sender.give_up();
        self.receiver.unpack()
    }

    fn give_up(&self) {
        self.sender.give_up();
        self.receiver.give_up();
    }

    fn view(&self) -> View {
        self.view_of(page_size() + CAPACITY)
    }

    /// The words of the pipe without the bytes.
    fn head_view(&self) -> View {
        self.view_of(page_size())
    }

    fn view_of(&self, len: usize) -> View {
        let start = self.ring.tail().as_ptr().cast_const().cast();
        // SAFETY: the tail is at the start of the mapping of the head page and the bytes, which the ring keeps.
        unsafe { View::new(start, len) }
    }

    fn sent_bytes(&self) -> u64 {
        self.ring.tail().load(Ordering::SeqCst) - self.start
    }

    fn taken_bytes(&self) -> u64 {
        self.ring.head().load(Ordering::SeqCst) - self.start
    }
}

/// A message: its number, a text that follows from it, and perhaps a handle in which the number can be read once.
type Letter = (u64, String, Option<Fd<File>>);

fn letter(number: u64, len: usize, has_handle: bool) -> io::Result<Letter> {
    Ok((number, text(number, len), has_handle.then(|| handle::handle(number)).transpose()?))
}

fn text(number: u64, len: usize) -> String {
    (0..len as u64).map(|at| char::from(b'a' + ((number * 7 + at) % 26).to_le_bytes()[0])).collect()
}

/// Whether it is the letter with this number, whole.
fn check(letter: Letter, number: u64, len: usize, has_handle: bool) -> Result<(), String> {
    let (its, body, fd) = letter;
    if its != number || body != text(number, len) || fd.is_some() != has_handle {
        return Err(format!("letter {number} came as {its} with {} bytes", body.len()));
    }
    let Some(fd) = fd else { return Ok(()) };
    handle::check(fd, number)
}

/// How a stream has ended; anything but an end is an error.
fn end_of<T>(received: Result<T, RecvError>) -> Result<&'static str, String> {
    match received {
        Err(RecvError::Closed) => Ok("closed"),
        Err(RecvError::Died { .. }) => Ok("died"),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("a message too many".to_owned()),
    }
}

/// Waits once, so that what a process finds out at its first wait is known before it is stepped through.
fn warm_up() -> Result<(), String> {
    let (_sender, receiver) = pipe::simplex::<u8>().map_err(|error| error.to_string())?;
    receiver.recv_timeout(Duration::from_millis(1)).map(drop).map_err(|error| error.to_string())
}
