//! The sending end.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use procession_shm::Deadline;
use procession_shm::transfer::{self, Outgoing};

use super::end::End;
use super::line::Patience;
use super::outlet::{Outlet, Parcel};
use super::{SendError, SendErrorKind};
use crate::Message;
use crate::codec::{self, Buffer, Limits};

/// The sending end of a pipe. There is one in the world: it can be given to another thread or, in a message or as an argument,
/// to another process, and cannot be cloned or shared.
///
/// While both sides are awake, sending makes no system call. A message whose bytes the ring has no room for waits for the
/// receiver. Dropping the end is the end of the stream; what was sent before can still be received.
///
/// It may be sent to a process that is not trusted, and received from one, unless the pipe is
/// [`trusting`](super::Builder::trusting). In a process that was forked from the one it belongs
/// to (by `fork` itself, not by Procession) it is `Moved`, but holds the pipe open.
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<procession_channel::pipe::Sender<u8>>();
/// ```
///
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<procession_channel::pipe::Sender<u8>>();
/// ```
pub struct Sender<T> {
    pub(super) end: End<Outlet>,
    buffer: Cell<Vec<u8>>,
    _message: PhantomData<fn(T)>,
}

impl<T> Sender<T> {
    pub(super) fn over(outlet: Outlet) -> Self {
        Self { end: End::new(outlet), buffer: Cell::default(), _message: PhantomData }
    }

    /// Sends bytes as they are, to be received by [`recv_bytes`](super::Receiver::recv_bytes). They are copied once.
    ///
    /// An empty message is a message. Blocks as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), without `Encode`.
    ///
    /// ```
    /// let (sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// sender.send_bytes(&[0; 100_000])?;
    /// assert_eq!(receiver.recv_bytes()?.len(), 100_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), SendErrorKind> {
        self.deliver_bytes(bytes, Patience::Until(Deadline::NEVER))
    }

    /// [`send_bytes`](Self::send_bytes) if it can be done at once.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), without `Encode`.
    ///
    /// ```
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (sender, _receiver) = pipe::simplex::<()>()?;
    /// let full = loop {
    ///     if let Err(kind) = sender.try_send_bytes(&[0; 10_000]) { break kind }
    /// };
    /// assert!(matches!(full, SendErrorKind::Full));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send_bytes(&self, bytes: &[u8]) -> Result<(), SendErrorKind> {
        self.deliver_bytes(bytes, Patience::None)
    }

    /// [`send_bytes`](Self::send_bytes) within `timeout`; `None` never ends.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout), without `Encode`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (sender, _receiver) = pipe::simplex::<()>()?;
    /// let late = sender.send_bytes_timeout(&[0; 1 << 20], Duration::from_millis(1)); // nobody makes room
    /// assert!(matches!(late, Err(SendErrorKind::TimedOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_bytes_timeout(
        &self,
        bytes: &[u8],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendErrorKind> {
        self.deliver_bytes(bytes, Patience::Until(timeout.into().into()))
    }

    /// Ends the stream: what was sent can still be received. Does nothing if the end is closed already or not here.
    ///
    /// ```
    /// use procession_channel::pipe::{self, RecvError};
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// sender.send(7)?;
    /// sender.close();
    /// assert!(sender.send(8).is_err());
    /// assert_eq!(receiver.recv()?, 7);
    /// assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.end.close();
    }

    fn deliver_bytes(&self, body: &[u8], patience: Patience) -> Result<(), SendErrorKind> {
        self.deliver_plain(body, true, patience)
    }

    /// Delivers what has no handles: at once if that can be; whatever is in the way of it is found and dealt with by
    /// [`deliver`](Self::deliver).
    #[inline(never)]
    fn deliver_plain(
        &self,
        body: &[u8],
        is_bytes: bool,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        self.deliver_fixed(body, is_bytes, patience)
    }

    /// As [`deliver_plain`](Self::deliver_plain): part of its caller, who knows how long `body` is before the program runs.
    #[inline(always)]
    fn deliver_fixed(
        &self,
        body: &[u8],
        is_bytes: bool,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        let send = |end: &mut Option<Outlet>| {
            end.as_mut().is_some_and(|outlet| outlet.send_at_once(body, is_bytes))
        };
        if self.end.with(send) == Ok(true) {
            return Ok(());
        }
        self.deliver(Parcel { body, is_bytes, outgoing: Outgoing::default() }, patience)
    }

    #[inline(never)]
    fn deliver(&self, parcel: Parcel<'_>, patience: Patience) -> Result<(), SendErrorKind> {
        self.end.with(|end| {
            let outlet = end.as_mut().ok_or(SendErrorKind::Closed)?;
            let sent = outlet.send(parcel, patience);
            if sent.as_ref().is_err_and(Outlet::is_over) {
                *end = None;
            }
            sent
        })?
    }
}

impl<T: Message> Sender<T> {
    /// Sends a value. Blocks while there is no room for it; the receiver's progress, and its end or death, wake it.
    ///
    /// When it returns `Ok`, the message is sent, and is received even if this process dies at once. A receiver that dies before
    /// it has received the message takes it along; it is noticed by a send that finds no room, not by every send.
    ///
    /// # Errors
    ///
    /// The value comes back, its handles usable as before; nothing of it was sent.
    ///
    /// * [`Closed`](SendErrorKind::Closed): the other end was dropped, its process died, or this end was closed.
    /// * [`Encode`](SendErrorKind::Encode): the value cannot be encoded; also a handle in it that is not here any more.
    /// * [`TooLarge`](SendErrorKind::TooLarge), [`TooManyDescriptors`](SendErrorKind::TooManyDescriptors): the message.
    /// * [`TooManyInFlight`](SendErrorKind::TooManyInFlight): too many descriptors are under way, of this process (a
    ///   quarter of `RLIMIT_NOFILE`) or of its user. This is not waited for, because those who could make room may be the receivers of
    ///   other pipes, and nobody wakes this one for it: try again later.
    /// * [`Moved`](SendErrorKind::Moved): this end was sent away.
    /// * [`Corrupt`](SendErrorKind::Corrupt): the other end broke the rules; the pipe is closed.
    /// * [`Io`](SendErrorKind::Io): another system call failed.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// sender.send(vec!["one".to_owned(), "two".to_owned()])?;
    /// assert_eq!(receiver.recv()?, ["one", "two"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_within(value, Patience::Until(Deadline::NEVER))
    }

    /// [`send`](Self::send) if it can be done at once. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Full`](SendErrorKind::Full) when there is no room now, or 64 messages with handles are
    /// under way. A message that has no place in the whole ring is [`TooLarge`](SendErrorKind::TooLarge).
    ///
    /// ```
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (sender, _receiver) = pipe::simplex::<u64>()?;
    /// let full = loop {
    ///     if let Err(error) = sender.try_send(7) { break error }
    /// };
    /// assert!(matches!(full.kind, SendErrorKind::Full) && full.value == 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_within(value, Patience::None)
    }

    /// [`send`](Self::send) within `timeout`, which covers the whole message however many parts it has; `None` never ends.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`TimedOut`](SendErrorKind::TimedOut): nothing was sent, also if a part of the message had
    /// already gone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// let late = sender.send_timeout(vec![0_u8; 1 << 20], Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(late.kind, SendErrorKind::TimedOut)); // it did not fit, and nobody made room
    /// assert_eq!(receiver.try_recv()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_timeout(
        &self,
        value: T,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<T>> {
        self.send_within(value, Patience::Until(timeout.into().into()))
    }

    #[inline]
    fn send_within(&self, value: T, patience: Patience) -> Result<(), SendError<T>> {
        self.encode_and_deliver(&value, patience).map_err(|kind| SendError { kind, value })
    }

    #[inline]
    fn encode_and_deliver(&self, value: &T, patience: Patience) -> Result<(), SendErrorKind> {
        if let Some(body) = codec::as_message(value) {
            return if codec::fixed_len::<T>().is_some() {
                self.deliver_fixed(body, false, patience)
            } else {
                self.deliver_plain(body, false, patience)
            };
        }
        let mut buffer = Buffer::new(&self.buffer);
        // By parts, because what is a message as it is has been dealt with.
        let mut encode = || codec::encode_by_parts(value, &mut buffer, &Limits::DEFAULT);
        if codec::is_plain::<T>() {
            encode()?;
            return self.deliver_plain(buffer.as_slice(), false, patience);
        }
        let ((), outgoing) = transfer::send_scope(encode).map_err(|unsent| unsent.error)?;
        if outgoing.is_empty() {
            return self.deliver_plain(buffer.as_slice(), false, patience);
        }
        self.deliver(Parcel { body: buffer.as_slice(), is_bytes: false, outgoing }, patience)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
