//! Both ends in one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Receiver, RecvError, SendError, SendErrorKind, Sender};
use crate::Message;

/// One side of a [`duplex`](super::duplex) pipe: sends `S` and receives `R`. It is a [`Sender`] and a [`Receiver`], and may be
/// [`split`](Self::split) into them; everything that is said there holds here.
///
/// ```
/// use procession_channel::pipe;
///
/// let (here, there) = pipe::duplex::<u64, u64>()?;
/// let doubler = std::thread::spawn(move || {
///     for n in &there {
///         there.send(n.unwrap() * 2).unwrap();
///     }
/// });
/// here.send(21)?;
/// assert_eq!(here.recv()?, 42);
/// here.close();
/// doubler.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Connection<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

impl<S, R> Connection<S, R> {
    pub(super) fn new(sender: Sender<S>, receiver: Receiver<R>) -> Self {
        Self { sender, receiver }
    }

    /// The two ends, which can go different ways.
    pub fn split(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }

    /// The sending end.
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The receiving end.
    pub fn receiver(&self) -> &Receiver<R> {
        &self.receiver
    }

    /// The sending end, to await it.
    pub fn sender_mut(&mut self) -> &mut Sender<S> {
        &mut self.sender
    }

    /// The receiving end, to await it.
    pub fn receiver_mut(&mut self) -> &mut Receiver<R> {
        &mut self.receiver
    }

    /// Closes both ends, as [`Sender::close`] and [`Receiver::close`] do.
    pub fn close(&self) {
        self.sender.close();
        self.receiver.close();
    }

    /// [`Sender::send_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), SendErrorKind> {
        self.sender.send_bytes(bytes)
    }

    /// [`Receiver::recv_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        self.receiver.recv_bytes()
    }

    /// [`Receiver::recv_bytes_into`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv_bytes_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiver.recv_bytes_into(buffer)
    }

    /// [`Receiver::poll`].
    pub fn poll(&self, timeout: impl Into<Option<Duration>>) -> bool {
        self.receiver.poll(timeout)
    }
}

impl<S: Message, R> Connection<S, R> {
    /// [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn send(&self, value: S) -> Result<(), SendError<S>> {
        self.sender.send(value)
    }

    /// [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn try_send(&self, value: S) -> Result<(), SendError<S>> {
        self.sender.try_send(value)
    }

    /// [`Sender::send_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_timeout(
        &self,
        value: S,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<S>> {
        self.sender.send_timeout(value, timeout)
    }
}

impl<S, R: Message> Connection<S, R> {
    /// [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn recv(&self) -> Result<R, RecvError> {
        self.receiver.recv()
    }

    /// [`Receiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn try_recv(&self) -> Result<Option<R>, RecvError> {
        self.receiver.try_recv()
    }

    /// [`Receiver::recv_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<R>, RecvError> {
        self.receiver.recv_timeout(timeout)
    }
}
