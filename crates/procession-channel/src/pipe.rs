//! Pipes: typed messages from one process to another, in order, through shared memory.
//!
//! [`simplex`] makes a pipe of one direction, [`duplex`] one of two, [`builder`] either with other limits. The ends are
//! messages themselves: a pipe end can be sent through a pipe, or be an argument of a function in another process, and goes on
//! where it was. A pipe is safe against a peer that is not: see *A hostile peer* below.
//!
//! ```
//! use procession_channel::pipe;
//!
//! let (sender, receiver) = pipe::simplex::<String>()?;
//! sender.send("hello".to_owned())?;
//! drop(sender);
//! assert_eq!(receiver.recv()?, "hello");
//! assert!(matches!(receiver.recv(), Err(pipe::RecvError::Closed)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is made of
//!
//! For each direction a [`ring`](crate::ring) in a sealed segment, in which messages lie as frames (`docs/frame-format.md`), and
//! a socketpair beside it. The socket carries the file descriptors of handles inside messages, and it is how the kernel says
//! that nobody has the other end any more. Each end has two file descriptors, a [`Connection`] has four; an end in transit is
//! two descriptors in flight.
//!
//! | file | what |
//! |---|---|
//! | `frame` | the bytes of a frame |
//! | `stream` | messages as frames, parts of long messages, abort |
//! | `packet` | the descriptors of a message |
//! | `line` | waiting, waking, and the end of the peer |
//! | `lookout` | the thread that notices the end of peers |
//! | `ready` | waiting for several ends |
//! | `outlet`, `inlet` | the ends without their types |
//! | `sender`, `receiver`, `connection`, `iter` | the ends |
//! | `view` | bytes that are received in place |
//! | `awaited` | sends and receives as futures |
//! | `end`, `travel` | how an end is moved |
//!
//! # What is guaranteed
//!
//! * One store makes a message real (P2 in `stream`). What was sent is received in order, whole, once, also if its sender
//!   exits right after, or not at all if its receiver dies.
//! * The stream ends when the last holder of the sending end is gone, be that a process or a message under way, after all that was
//!   sent was received. A sleeper notices it at once, be it
//!   a death or an orderly close, and uses no processor until then.
//! * A message that its sender did not finish is never given out: aborted (a deadline) it has never been, and its sender's death in
//!   the middle of it is [`RecvError::Died`].
//! * Memory grows with the bytes of a message as they arrive, up to [`Builder::max_message`] (doubling as it grows).
//!
//! # A hostile peer
//!
//! Unless the pipe was made [`trusting`](Builder::trusting), the peer may be anybody. It can write any byte of the ring at any time, send any packet, and hold on to descriptors. What is read is copied once,
//! checked against private state, and only the copy is used. Its only effect is an error on this pipe, which is then closed:
//! `Corrupt` for what no honest peer does. A value that does not decode is `Decode` and leaves the pipe open, because types
//! may refuse values for reasons of their own. A peer that stops in the middle of a message, or wakes this process all the time,
//! is what deadlines are for, and [`Violation::Restless`]. Handles that are not for untrusted peers are `Untrusted`. What comes
//! beside messages and becomes no handle is closed on a thread of its own, because that can take as long as its sender likes; what
//! does become an [`Fd`](crate::Fd) is its owner's to close.
//!
//! # Coming from Python
//!
//! | `multiprocessing` | here |
//! |---|---|
//! | `Pipe(duplex=False)`, `Pipe()` | [`simplex`], [`duplex`] |
//! | `EOFError`; `OSError` in the middle of a message | [`RecvError::Closed`]; [`RecvError::Died`] |
//! | `BrokenPipeError` | [`SendErrorKind::Closed`], with the value |
//! | two users of one end corrupt it | an end is not `Sync` |
//! | `send_bytes(buffer, offset, size)` | a slice of it |
//! | `recv_bytes(maxlength)` closes on a longer message | [`Builder::max_message`], which the sender keeps too |
//! | `BufferTooShort` carries the message | [`RecvError::BufferTooShort`] leaves it for the next receive |
//! | `poll(timeout)`, also true at the end | [`Receiver::poll`] |
//! | `readable`, `writable` | the type of the end |
//! | `close`, again; use after it is an error | the same; dropping an end closes it |
//! | messages over 2 GiB | up to `max_message`, whose default is 256 MiB |
//! | `fileno` | none: messages do not pass through a descriptor |
//! | `Listener`, `Client`, keys | none: ends are arguments or messages, so nobody else can connect |
//!
//! # Not guaranteed
//!
//! A send to a receiver that was killed is noticed when there is no room, not at once. A process that is stopped holds its end.
//! A process made by a bare `fork` holds copies of the sockets, which delays the notice of a death, not of a close.

mod awaited;
mod connection;
mod end;
mod error;
mod frame;
mod inlet;
mod iter;
mod line;
mod lookout;
#[cfg(all(test, procession_loom))]
mod loom_tests;
mod outlet;
mod pace;
mod packet;
mod ready;
mod receiver;
mod sender;
mod stream;
#[cfg(test)]
#[cfg(not(procession_loom))]
mod tests;
mod travel;
mod view;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use procession_shm::{SegmentError, page_size};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

#[cfg(feature = "stream")]
pub use awaited::{ConnectionStream, MessageStream};
pub use awaited::{RecvAsync, SendAsync};
pub use connection::Connection;
pub use error::{PipeError, RecvError, SendError, SendErrorKind, Violation};
pub use iter::{IntoIter, Iter};
pub use ready::Room;
pub use receiver::Receiver;
pub use sender::Sender;

pub use crate::ring::Corrupt;

use crate::budget::Account;
use crate::ring::{Consumer, Producer, Ring};
use inlet::Inlet;
use line::{Line, Side};
use outlet::Outlet;
use stream::{FrameReader, FrameWriter, Gathered};

/// Of 256 KiB fits the second-level cache of one core, and is more than what is under way in most programs.
const DEFAULT_CAPACITY: usize = 256 << 10;
const CAPACITY_MAX: usize = 64 << 20;

/// 256 MiB.
const DEFAULT_LEN_MAX: usize = 256 << 20;

/// Makes a pipe of one direction, with the limits of [`builder`].
///
/// # Errors
///
/// [`PipeError`]: no memory or no file descriptor left, or not allowed.
///
/// ```
/// use procession_channel::pipe;
///
/// let (sender, receiver) = pipe::simplex()?;
/// sender.send(("Ada".to_owned(), 36))?;
/// assert_eq!(receiver.recv()?, ("Ada".to_owned(), 36));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn simplex<T>() -> Result<(Sender<T>, Receiver<T>), PipeError> {
    builder().simplex()
}

/// Makes a pipe of two directions, with the limits of [`builder`]: what the first end sends, `A`, the second receives.
///
/// # Errors
///
/// [`PipeError`]: no memory or no file descriptor left, or not allowed.
///
/// ```
/// use procession_channel::pipe;
///
/// let (here, there) = pipe::duplex::<u64, String>()?;
/// here.send(7)?;
/// there.send(there.recv()?.to_string())?;
/// assert_eq!(here.recv()?, "7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(clippy::type_complexity, reason = "two ends that mirror each other")]
pub fn duplex<A, B>() -> Result<(Connection<A, B>, Connection<B, A>), PipeError> {
    builder().duplex()
}

/// A pipe with other limits than the default.
///
/// ```
/// use procession_channel::pipe;
///
/// let (sender, _receiver) = pipe::builder().capacity(1 << 20).max_message(4096).simplex::<String>()?;
/// assert!(sender.send("x".repeat(5000)).is_err());
/// # Ok::<(), pipe::PipeError>(())
/// ```
pub fn builder() -> Builder {
    Builder { capacity: DEFAULT_CAPACITY, len_max: DEFAULT_LEN_MAX, is_trusting: false }
}

/// The limits of a pipe. See [`builder`].
///
/// ```
/// use procession_channel::pipe::{self, PipeError};
///
/// let builder: pipe::Builder = pipe::builder().capacity(4096);
/// let (sender, receiver) = builder.simplex()?;
/// sender.send(7)?;
/// assert_eq!(receiver.recv()?, 7);
/// assert!(matches!(pipe::builder().capacity(0).simplex::<u8>(), Err(PipeError::Option { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it makes nothing by itself"]
pub struct Builder {
    capacity: usize,
    len_max: usize,
    is_trusting: bool,
}

impl Builder {
    /// How many bytes each direction's ring holds, 256 KiB unless told; rounded up to a power of two. The memory is claimed
    /// when the pipe is made. Messages may be longer.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (sender, _receiver) = pipe::builder().capacity(4096).simplex()?;
    /// let count = (0..1000).take_while(|n: &u64| sender.try_send(*n).is_ok()).count();
    /// assert!((1..1000).contains(&count), "{count} found room");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// The longest message in bytes, as it is encoded; 256 MiB unless told. It bounds the memory that a sender who is not
    /// trusted can make the receiver take: twice as much for the bytes, and four times as much (at least 1 MiB) for the value.
    ///
    /// An end that arrives from a process that is not trusted receives at most the default, whatever was told here.
    ///
    /// ```
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (sender, _receiver) = pipe::builder().max_message(1000).simplex()?;
    /// let error = sender.send("x".repeat(2000)).unwrap_err();
    /// assert!(matches!(error.kind, SendErrorKind::TooLarge { limit: 1000, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.len_max = bytes;
        self
    }

    /// Trusts whoever has the other end as this process trusts itself. Without it, they may be anybody.
    ///
    /// Trusting handles can then be received: `Shared`, [`Queue`](crate::queue::Queue) and others that would be
    /// [`Untrusted`](RecvError::Untrusted), and a `SharedBuf` without a copy. Bytes can be looked at where they lie
    /// ([`Receiver::recv_with`]). The ends themselves become *trusting* handles: they make whoever gets one a member of the family,
    /// and one that comes from a process that is not trusted is [`Untrusted`](RecvError::Untrusted).
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use procession_channel::pipe;
    /// use procession_shm::Shared;
    ///
    /// let (sender, receiver) = pipe::builder().trusting().simplex::<Shared<AtomicU64>>()?;
    /// let here = Shared::new(AtomicU64::new(7))?;
    /// sender.send(here.clone())?;
    /// receiver.recv()?.store(8, Ordering::Relaxed);
    /// assert_eq!(here.load(Ordering::Relaxed), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trusting(mut self) -> Self {
        self.is_trusting = true;
        self
    }

    /// Makes a pipe of one direction.
    ///
    /// # Errors
    ///
    /// [`PipeError::Option`] for a limit that makes no sense; [`PipeError::Memory`], [`PipeError::Socket`] when the system has
    /// none left or does not allow it.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (sender, receiver) = pipe::builder().capacity(1 << 20).simplex()?;
    /// sender.send([1, 2])?;
    /// assert_eq!(receiver.recv()?, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn simplex<T>(self) -> Result<(Sender<T>, Receiver<T>), PipeError> {
        let (capacity, len_max) = self.checked()?;
        let (ring, segment) = Ring::new(capacity)?;
        let memory = segment.into_fd();
        let again = memory.try_clone().map_err(|_| SegmentError::OutOfDescriptors)?;
        let (from, to) = sockets()?;
        let trust = self.is_trusting;
        let line = Line::new(ring.clone(), memory.into(), from, Side::Writer, trust)?;
        let frames = FrameWriter::new(Producer::new(ring.clone()), 0);
        let (undelivered, account) = (VecDeque::new(), Account::default());
        let outlet = Outlet { line, frames, undelivered, account, len_max };
        let line = Line::new(ring.clone(), again.into(), to, Side::Reader, trust)?;
        let frames = FrameReader::new(Consumer::new(ring), Gathered::default(), len_max);
        Ok((Sender::over(outlet), Receiver::over(Inlet { line, frames })))
    }

    /// Makes a pipe of two directions.
    ///
    /// # Errors
    ///
    /// As [`simplex`](Self::simplex).
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::builder().max_message(1000).duplex::<u64, u64>()?;
    /// here.send(1)?;
    /// there.send(2)?;
    /// assert_eq!((there.recv()?, here.recv()?), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "two ends that mirror each other")]
    pub fn duplex<A, B>(self) -> Result<(Connection<A, B>, Connection<B, A>), PipeError> {
        let (there_to, there_from) = self.simplex()?;
        let (back_to, back_from) = self.simplex()?;
        Ok((Connection::new(there_to, back_from), Connection::new(back_to, there_from)))
    }

    fn checked(self) -> Result<(usize, usize), PipeError> {
        let check = |option, value: usize, min, max| {
            let is_sound = (min..=max).contains(&value);
            if is_sound { Ok(value) } else { Err(PipeError::Option { option, value, min, max }) }
        };
        let capacity = check("a capacity of", self.capacity, 1, CAPACITY_MAX)?;
        let len_max = check("a max_message of", self.len_max, 1, isize::MAX.cast_unsigned())?;
        Ok((capacity.max(page_size()), len_max))
    }
}

/// Packets keep descriptors of different messages apart.
fn sockets() -> Result<(OwnedFd, OwnedFd), PipeError> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| PipeError::Socket(errno.into()))
}
