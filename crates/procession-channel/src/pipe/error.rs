//! Why something was not sent or not received.

use std::fmt;
use std::io;

use procession_shm::SegmentError;
use procession_shm::transfer::{Moved, TransferError};

use crate::codec::{DecodeError, EncodeError};
use crate::ring;

/// What the process at the other end did that no process does which keeps to the rules.
///
/// ```
/// use procession_channel::pipe::{RecvError, Violation};
///
/// fn is_hostile(error: &RecvError) -> bool {
///     matches!(error, RecvError::Corrupt(Violation::Position(_) | Violation::Frame(_)))
/// }
///
/// assert!(is_hostile(&RecvError::Corrupt(Violation::Frame("a length of zero"))));
/// assert!(!is_hostile(&RecvError::Closed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It wrote a position that cannot be.
    #[error(transparent)]
    Position(#[from] ring::Corrupt),
    /// It wrote a frame that cannot be.
    #[error("it wrote a frame that cannot be: {0}")]
    Frame(&'static str),
    /// It sent a longer message than the pipe is for.
    #[error("it sent {len} bytes or more in a message, over the limit of {limit} bytes")]
    TooLarge {
        /// The length in bytes up to where it was read.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file descriptors of a message are not those that it announced.
    #[error("the file descriptors of a message are not those announced: {0}")]
    Descriptors(&'static str),
    /// It woke this process again and again without a reason.
    #[error("it woke this process {0} times in a row for nothing")]
    Restless(u32),
}

/// A value that was not sent, and why. Nothing of it reached the other end; handles in it are usable as before.
///
/// ```
/// use procession_channel::pipe::{self, SendError};
///
/// let (sender, receiver) = pipe::builder().max_message(10).simplex()?;
/// let SendError { kind, value, .. } = sender.send("far too long".to_owned()).unwrap_err();
/// eprintln!("{kind}");
/// sender.send(value[..3].to_owned())?;                  // the value is back
/// assert_eq!(receiver.recv()?, "far");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(thiserror::Error)]
#[error("{kind}")]
pub struct SendError<T> {
    /// Why.
    #[source]
    pub kind: SendErrorKind,
    /// The value.
    pub value: T,
}

/// Without the value, which need not have a `Debug`.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a message was not sent.
///
/// ```
/// use procession_channel::pipe::{self, SendErrorKind};
///
/// let (sender, _receiver) = pipe::builder().max_message(10).simplex()?;
/// match sender.send("far too long".to_owned()).unwrap_err().kind {
///     SendErrorKind::TooLarge { len, limit } => assert!(len > limit),
///     other => return Err(other.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// There is no room now.
    #[error("the pipe is full: try again later, or use `send`, which waits")]
    Full,
    /// The deadline came before there was room for all of it.
    #[error(
        "the pipe had no room for the message in time, and nothing of it was sent: try again unless the receiver is stuck"
    )]
    TimedOut,
    /// Nobody receives: the other end was dropped, its process died, or this end was closed.
    #[error("the pipe is closed and nobody will receive this message: stop sending")]
    Closed,
    /// The value cannot be encoded.
    #[error("the message cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// It is longer than the pipe is for, or than one that may not wait can be.
    #[error(
        "a message of {len} bytes is over the limit of {limit} bytes: raise it with `pipe::builder()` (`max_message`; for `try_send` the `capacity`), or send it in parts"
    )]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The handles in it have more file descriptors than one message carries.
    #[error(
        "the handles in the message have {count} file descriptors, and one message carries {limit}: send them in several messages"
    )]
    TooManyDescriptors {
        /// How many they have.
        count: usize,
        /// How many one message carries.
        limit: usize,
    },
    /// This process has as many file descriptors under way as a quarter of its limit, or the kernel lets this user have no more.
    #[error(
        "too many file descriptors are under way between processes: let the receivers take some, or raise RLIMIT_NOFILE (`ulimit -n`)"
    )]
    TooManyInFlight,
    /// This end was sent to another process, or belongs to the process that this one was forked from.
    #[error("this end of the pipe is not here any more: {0}")]
    Moved(#[from] Moved),
    /// The process at the other end broke the rules; the pipe is closed.
    #[error(
        "the process at the other end of the pipe broke its rules, and the pipe is closed: end that process and make another pipe ({0})"
    )]
    Corrupt(#[from] Violation),
    /// The system failed.
    #[error("the message could not be sent: {0}")]
    Io(#[from] io::Error),
}

/// Why a message was not received.
///
/// ```
/// use procession_channel::pipe::{self, RecvError};
///
/// let (sender, receiver) = pipe::simplex::<String>()?;
/// sender.send_bytes(b"no text")?;
/// drop(sender);
/// assert!(matches!(receiver.recv(), Err(RecvError::Decode(_))));
/// assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing comes any more and all that was sent was received: the other end was dropped, its process died between two
    /// messages, or this end was closed.
    #[error("the pipe is closed and all that was sent was received: stop receiving")]
    Closed,
    /// The sender died in the middle of a message, of which nothing is given out. The next receive is `Closed`.
    #[error(
        "the sender (process {pid}) died in the middle of a message, which is lost: ask for it again"
    )]
    Died {
        /// The sender, by its own account: proof enough for a log, not for a signal. 0 if it never said.
        pid: u32,
    },
    /// The message is no value of this type, or there is no memory to map what is behind a handle in it. It is gone, the next
    /// one can be received.
    #[error("the message cannot be decoded: {0}")]
    Decode(#[source] DecodeError),
    /// The process at the other end broke the rules; the pipe is closed.
    #[error(
        "the process at the other end of the pipe broke its rules, and the pipe is closed: end that process and make another pipe ({0})"
    )]
    Corrupt(#[from] Violation),
    /// The message has a handle that only a trusted process may send. It is gone, the next one can be received.
    #[error("{0}")]
    Untrusted(#[source] TransferError),
    /// This end was sent to another process, or belongs to the process that this one was forked from.
    #[error("this end of the pipe is not here any more: {0}")]
    Moved(#[from] Moved),
    /// The message does not fit into the buffer. It is still there for a larger one.
    #[error(
        "the message has {len} bytes and the buffer {room}: receive it again into a larger one, or with `recv_bytes`"
    )]
    BufferTooShort {
        /// The length of the message in bytes.
        len: usize,
        /// The length of the buffer in bytes.
        room: usize,
    },
    /// The system failed: it has no file descriptor left for a handle in the message, or no memory. Or the sender, who is not
    /// trusted, has sent more file descriptors than it may have open here, a quarter of RLIMIT_NOFILE. The message, if there is
    /// one, is still there.
    #[error("the message could not be received: {0}")]
    Io(#[from] io::Error),
}

impl From<ring::Corrupt> for SendErrorKind {
    fn from(corrupt: ring::Corrupt) -> Self {
        Self::Corrupt(corrupt.into())
    }
}

/// Why a pipe could not be made.
///
/// ```
/// use procession_channel::pipe::{self, PipeError};
///
/// match pipe::builder().max_message(0).simplex::<u64>() {
///     Err(PipeError::Option { value, min, .. }) => assert_eq!((value, min), (0, 1)),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipeError {
    /// The shared memory.
    #[error("no memory for a pipe: {0}")]
    Memory(#[from] SegmentError),
    /// The socket.
    #[error(
        "no socket for a pipe ({0}): close some descriptors, or raise RLIMIT_NOFILE (`ulimit -n`)"
    )]
    Socket(#[source] io::Error),
    /// The options make no sense.
    #[error("a pipe cannot have {option} {value}: it takes {min} to {max} bytes")]
    Option {
        /// Which option.
        option: &'static str,
        /// What was asked for.
        value: usize,
        /// The least it can be.
        min: usize,
        /// The most it can be.
        max: usize,
    },
}
