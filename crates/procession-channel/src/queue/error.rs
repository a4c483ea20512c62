//! Why something was not put or not got.

use std::fmt;
use std::io;

use procession_shm::SegmentError;
use procession_shm::family::FamilyError;

use crate::codec::{DecodeError, EncodeError};

/// The memory of the queue holds what no process of this program writes: one of them has gone wrong.
///
/// ```
/// use procession_channel::queue::RecvError;
///
/// /// Whether another process has overwritten the queue: then there is nothing to try again.
/// fn is_hopeless(error: &RecvError) -> bool {
///     matches!(error, RecvError::Corrupt(procession_channel::queue::Corrupt { .. }))
/// }
///
/// assert!(!is_hopeless(&RecvError::Closed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memory of the queue was overwritten ({0}): make another queue, and find who wrote there"
)]
pub struct Corrupt(pub(super) &'static str);

/// Values that were not put, and why. Handles in them are usable as before.
///
/// ```
/// use procession_channel::queue::{Queue, SendError};
///
/// let queue = Queue::new()?;
/// queue.close();
/// let SendError { kind, value, .. } = queue.put_many([1, 2]).unwrap_err();
/// assert_eq!(value, [1, 2]);                            // the values are back
/// println!("{kind}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(thiserror::Error)]
#[error("{kind}")]
pub struct SendError<T> {
    /// Why.
    #[source]
    pub kind: SendErrorKind,
    /// The value; of [`put_many`](super::Queue::put_many) all values that were not put, in their order.
    pub value: T,
}

/// Without the value, which need not have a `Debug`.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a value was not put.
///
/// ```
/// use procession_channel::queue::{Queue, SendErrorKind};
///
/// let queue = Queue::bounded(1)?;
/// queue.put(1)?;
/// assert!(matches!(queue.try_put(2).unwrap_err().kind, SendErrorKind::Full));
/// queue.close();
/// assert!(matches!(queue.put(2).unwrap_err().kind, SendErrorKind::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// There is no room now.
    #[error("the queue is full: try again later, or use `put`, which waits")]
    Full,
    /// The deadline came before there was room.
    #[error(
        "the queue had no room for the value in time: try again unless those who get are stuck"
    )]
    TimedOut,
    /// Nobody will get it: the queue was closed, or no process has a handle that gets any more.
    #[error("the queue is closed and nobody will get this value: stop putting")]
    Closed,
    /// The value cannot be encoded.
    #[error("the value cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// It is longer than the queue is for.
    #[error(
        "a value of {len} bytes is over the queue's limit of {limit} bytes: raise it with `Queue::builder()` (`max_message`), or put it in parts"
    )]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The handles in it have more file descriptors than one message carries.
    #[error(
        "the handles in the value have {count} file descriptors, and one value carries {limit}: put them in several values"
    )]
    TooManyDescriptors {
        /// How many they have.
        count: usize,
        /// How many one value carries.
        limit: usize,
    },
    /// This process has as many file descriptors under way as a quarter of its limit, or the kernel lets this user have no more.
    #[error(
        "too many file descriptors are under way between processes: let others get some items, or raise RLIMIT_NOFILE (`ulimit -n`)"
    )]
    TooManyInFlight,
    /// This process does not belong to the family that shares the queue.
    #[error("{0}")]
    NotAMember(#[source] Box<FamilyError>),
    /// The memory of the queue is broken.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The system failed: no memory for the value, or a system call.
    #[error("the value could not be put: {0}")]
    Io(#[from] io::Error),
}

/// Why no value was got.
///
/// ```
/// use procession_channel::queue::{Queue, RecvError};
///
/// let queue = Queue::new()?;
/// queue.put(7)?;
/// queue.close();
/// assert_eq!(queue.get()?, 7);
/// assert!(matches!(queue.get(), Err(RecvError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The queue was closed, and all that was put was got.
    #[error("the queue is closed and all that was put was got: stop getting")]
    Closed,
    /// No process and no message has a handle that puts any more, and all that was put was got.
    #[error("nobody is left who could put something, and all that was put was got: stop getting")]
    Disconnected,
    /// The item is no value of this type, or there is no memory to map what is behind a handle in it. It is gone, the next one
    /// can be got.
    #[error("the item cannot be decoded: {0}")]
    Decode(#[source] DecodeError),
    /// The next item has file descriptors, or is so large that it has a file of its own. It is still there.
    #[error(
        "the next item has {descriptors} file descriptors and cannot be offered again, so it cannot be claimed: take it with `get`"
    )]
    NotClaimable {
        /// How many.
        descriptors: u16,
    },
    /// As many items are claimed and not done as can be.
    #[error("{limit} items are claimed and not done, which is the most: let one be done first")]
    TooManyClaims {
        /// How many can be.
        limit: usize,
    },
    /// This process does not belong to the family that shares the queue.
    #[error("{0}")]
    NotAMember(#[source] Box<FamilyError>),
    /// The memory of the queue is broken.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The system failed. If it has no file descriptor left for a handle in the item, the item is still there.
    #[error("the item could not be got: {0}")]
    Io(#[from] io::Error),
}

/// Why a queue could not be made.
///
/// ```
/// use procession_channel::queue::{Queue, QueueError};
///
/// match Queue::<u64>::bounded(0) {
///     Err(QueueError::Option { value, min, .. }) => assert_eq!((value, min), (0, 1)),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The shared memory.
    #[error("no memory for a queue: {0}")]
    Memory(#[from] SegmentError),
    /// The socket.
    #[error(
        "no socket for a queue ({0}): close some descriptors, or raise RLIMIT_NOFILE (`ulimit -n`)"
    )]
    Socket(#[source] io::Error),
    /// The options make no sense.
    #[error("a queue cannot have {option} {value}: it takes {min} to {max}")]
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

/// Why it is not so that all is done.
///
/// ```
/// use procession_channel::queue::{JoinError, Queue};
///
/// let queue = Queue::<u64>::new()?;
/// loop {
///     match queue.join() {
///         Ok(()) => break,
///         // They are lost: whoever put them can put them again.
///         Err(JoinError::OwnerDied { pid, items, .. }) => eprintln!("{pid} died with {items} items"),
///         Err(other) => return Err(other.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A process died that had got items and had not said that they are done. It is told once; the next `join` goes on.
    #[error(
        "{} died with {items} items that it had got and not done: put them again, or join again to wait for the rest",
        Process(*.pid)
    )]
    OwnerDied {
        /// The process that died, as the family's root numbers processes; 0 when that is not known any more.
        pid: u32,
        /// How many items it had.
        items: u32,
    },
    /// This process does not belong to the family that shares the queue.
    #[error("{0}")]
    NotAMember(#[source] Box<FamilyError>),
    /// The memory of the queue is broken.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Why an item was not counted as done.
///
/// ```
/// use procession_channel::queue::{Queue, TaskDoneError};
///
/// let queue = Queue::<u64>::new()?;
/// assert!(matches!(queue.task_done(), Err(TaskDoneError::TooMany)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskDoneError {
    /// This process has said of all items it got that they are done.
    #[error(
        "this process has no item that is not done: call `task_done` once for each item that it got"
    )]
    TooMany,
    /// This process does not belong to the family that shares the queue.
    #[error("{0}")]
    NotAMember(#[source] Box<FamilyError>),
}

struct Process(u32);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("a process"),
            pid => write!(f, "process {pid}"),
        }
    }
}

macro_rules! not_a_member {
    ($($error:ident)+) => { $(
        impl From<FamilyError> for $error {
            fn from(reason: FamilyError) -> Self {
                Self::NotAMember(Box::new(reason))
            }
        }
    )+ };
}

not_a_member!(SendErrorKind RecvError JoinError TaskDoneError);
