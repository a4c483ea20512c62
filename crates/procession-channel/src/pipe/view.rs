//! Bytes that are received in place, without a copy.
//!
//! # Algorithm
//!
//! A message of bytes that lies in the ring as one frame is shown where it lies, and its room given back afterwards. One that came in
//! parts, or whose sender is not trusted, is copied first, as all other messages are.
//!
//! Rejected: a guard with the bytes. Kept or leaked it would hold up the sender for as long.
//!
//! # Invariants
//!
//! * **V1** Bytes are shown in place only in a pipe that was made trusting, so by the word of its maker the writer does not write
//!   behind the tail (R2 of the ring). No process can raise that flag in an end that it sends to one that does not trust it.
//! * **V2** The view ends before the room is given back: `look` has the bytes only while it runs, and [`Lent`] gives the room
//!   back when that is over, also by a panic.
//! * **V3** While the bytes are shown nobody else has the reading side: it is taken out of its end, which is as good as closed
//!   for `look`.
//!
//! # Crash points
//!
//! The commit is the store of the ring's head in [`Lent`]'s destructor. A process that dies while it looks has received nothing, and
//! takes the end along.

use std::time::Duration;

use procession_shm::Deadline;

use super::end::End;
use super::inlet::Inlet;
use super::line::Patience;
use super::stream::Look;
use super::{Connection, Receiver, RecvError};

/// The reading side while a message is looked at, of which `len` bytes are still in the ring.
struct Lent<'r> {
    end: &'r End<Inlet>,
    inlet: Option<Inlet>,
    len: usize,
}

impl Lent<'_> {
    fn bytes(&self) -> &[u8] {
        let inlet = self.inlet.as_ref().expect("only the destructor takes it");
        assert!(inlet.line.is_trusting(), "no view was promised of this pipe");
        // SAFETY: by V1 nobody writes to the bytes before their room is given back, which is after this borrow by V2.
        unsafe { inlet.frames.view(self.len) }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut inlet) = self.inlet.take() else { return };
        // In a process that `look` has forked, the memory is not mapped.
        if inlet.line.is_here() {
            inlet.frames.pass(self.len);
            inlet.line.ring_peer();
            // An end that is taken out cannot be sent away.
            let _moved = self.end.with(|end| *end = Some(inlet));
        }
    }
}

impl<T> Receiver<T> {
    /// Receives what [`send_bytes`](super::Sender::send_bytes) sent and has `look` look at it. Blocks as [`recv`](Self::recv) does.
    ///
    /// In a [`trusting`](super::Builder::trusting) pipe the bytes are not copied, if they take up at most half of the pipe's capacity:
    /// `look` sees them where the sender wrote them, and their room is the sender's again when it returns. In any other pipe `look`
    /// sees a copy. While it runs, this end is closed for it. If it panics, the message is received.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes).
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (sender, receiver) = pipe::builder().trusting().simplex::<()>()?;
    /// sender.send_bytes(b"abc")?;
    /// let sum: u32 = receiver.recv_with(|bytes| bytes.iter().copied().map(u32::from).sum())?;
    /// assert_eq!(sum, 294);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<R, RecvError> {
        self.look_within(Patience::Until(Deadline::NEVER), look)?.ok_or(RecvError::Closed)
    }

    /// [`recv_with`](Self::recv_with) if it can be done at once; `None` when there is no whole message yet.
    ///
    /// # Errors
    ///
    /// As [`recv_with`](Self::recv_with).
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (sender, receiver) = pipe::builder().trusting().simplex::<()>()?;
    /// assert_eq!(receiver.try_recv_with(<[u8]>::len)?, None);
    /// sender.send_bytes(b"abc")?;
    /// assert_eq!(receiver.try_recv_with(<[u8]>::len)?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv_with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, RecvError> {
        self.look_within(Patience::None, look)
    }

    /// [`recv_with`](Self::recv_with) within `timeout`, which does not cover `look`; `None` when the time is over.
    ///
    /// # Errors
    ///
    /// As [`recv_with`](Self::recv_with).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::pipe;
    ///
    /// let (_sender, receiver) = pipe::builder().trusting().simplex::<()>()?;
    /// assert_eq!(receiver.recv_with_timeout(Duration::from_millis(1), <[u8]>::len)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_with_timeout<R>(
        &self,
        timeout: impl Into<Option<Duration>>,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, RecvError> {
        self.look_within(Patience::Until(timeout.into().into()), look)
    }

    fn look_within<R>(
        &self,
        patience: Patience,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, RecvError> {
        match self.use_inlet(|inlet| inlet.await_view(patience))? {
            Some(Look::Here(len)) => self.lend(len).map(|lent| Some(look(lent.bytes()))),
            Some(_) => Ok(self.bytes_within(Patience::None)?.map(|bytes| look(&bytes))),
            None => Ok(None),
        }
    }

    /// V3
    fn lend(&self, len: usize) -> Result<Lent<'_>, RecvError> {
        let inlet = self.end.with(Option::take)?;
        Ok(Lent { end: &self.end, inlet: Some(inlet.ok_or(RecvError::Closed)?), len })
    }
}

impl<S, R> Connection<S, R> {
    /// [`Receiver::recv_with`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::builder().trusting().duplex::<(), ()>()?;
    /// here.send_bytes(b"abc")?;
    /// assert!(there.recv_with(|bytes| bytes.starts_with(b"ab"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_with<U>(&self, look: impl FnOnce(&[u8]) -> U) -> Result<U, RecvError> {
        self.receiver().recv_with(look)
    }
}
