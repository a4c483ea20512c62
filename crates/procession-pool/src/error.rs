//! What can go wrong with a task, and with the pool itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use procession_channel::codec::{DecodeError, EncodeError};
use procession_process::link::{ItemTooLarge, TooManyHandles};
use procession_process::{Exit, Report, SpawnError, refusal};
use procession_shm::SegmentError;
use procession_shm::transfer::TransferError;

/// Why one item of a call, or one submitted task, has no result. All other items are untouched by it.
///
/// `item` is the index of the item in the input, from 0; of a submitted task it is 0. Errors are data: match on them.
///
/// ```
/// use procession_pool::{Pool, TaskError};
///
/// fn careless(n: u32) -> u32 {
///     if n == 2 { std::process::abort() }
///     n * 10
/// }
///
/// let pool = Pool::with_workers(2)?;
/// for result in pool.imap(careless, 0..4) {
///     match result {
///         Ok(n) => assert_ne!(n, 20),
///         Err(TaskError::Died { item, exit, .. }) => {
///             assert_eq!((item, exit.to_string()), (2, "SIGABRT (aborted)".to_owned()));
///         }
///         Err(other) => return Err(other.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TaskError {
    /// The function returned a [`Failure`](procession_process::Failure).
    #[non_exhaustive]
    Failed {
        /// Index of the item.
        item: usize,
        /// What the function reported.
        report: Report,
        /// What happened in earlier tries.
        attempts: Attempts,
    },
    /// The function panicked. The worker lives on.
    #[non_exhaustive]
    Panicked {
        /// Index of the item.
        item: usize,
        /// What happened.
        panic: Arc<Panic>,
        /// What happened in earlier tries.
        attempts: Attempts,
    },
    /// The worker died while it was on this item: a signal, an exit, the memory killer. It was replaced.
    #[non_exhaustive]
    Died {
        /// Index of the item.
        item: usize,
        /// The worker that died.
        pid: u32,
        /// How it died.
        exit: Exit,
        /// What happened in earlier tries.
        attempts: Attempts,
    },
    /// The item took longer than its timeout. The worker was killed and replaced.
    #[non_exhaustive]
    TimedOut {
        /// Index of the item.
        item: usize,
        /// The worker that was killed.
        pid: u32,
        /// The timeout.
        after: Duration,
        /// What happened in earlier tries.
        attempts: Attempts,
    },
    /// The worker wrote into the shared memory what no worker writes, while it was on this item: a bug in the code that it
    /// runs overwrote the memory, or an attacker did. It was killed and replaced.
    #[non_exhaustive]
    Corrupt {
        /// Index of the item.
        item: usize,
        /// The worker that was killed.
        pid: u32,
        /// What it wrote.
        reason: Arc<str>,
        /// What happened in earlier tries.
        attempts: Attempts,
    },
    /// The task was cancelled, or its pool was terminated.
    #[non_exhaustive]
    Cancelled {
        /// Index of the item.
        item: usize,
    },
    /// The argument could not be encoded in the caller, or the result in the worker.
    #[non_exhaustive]
    Encode {
        /// Index of the item.
        item: usize,
        /// Why.
        reason: Arc<str>,
    },
    /// The argument could not be decoded in the worker, or the result in the caller.
    #[non_exhaustive]
    Decode {
        /// Index of the item.
        item: usize,
        /// Why.
        reason: Arc<str>,
    },
    /// The result holds a trusting handle (memory with locks in it), and the pool does not trust its workers.
    #[non_exhaustive]
    Untrusted {
        /// Index of the item.
        item: usize,
    },
    /// The result was given out before: by `try_get`, `get_timeout` or an earlier poll of the future.
    Taken,
    /// The pool was closed before the item got in.
    Closed,
    /// The pool cannot work any more. If the item ran, its worker was killed.
    Broken(Arc<PoolError>),
}

/// A panic in another process.
///
/// ```
/// use procession_pool::{Pool, TaskError};
///
/// let pool = Pool::with_workers(1)?;
/// let Err(TaskError::Panicked { panic, .. }) = pool.apply(|n: u32| 1 / n, 0) else { panic!("it should have panicked") };
/// assert_eq!(panic.message, "attempt to divide by zero");
/// assert!(panic.location.contains(".rs:"), "{}", panic.location);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panic {
    /// The panic message.
    pub message: String,
    /// File, line and column, when known.
    pub location: String,
    /// The backtrace, when `RUST_BACKTRACE` asks for one.
    pub backtrace: String,
}

/// The errors of the earlier tries of an item that was retried, oldest first.
pub type Attempts = Arc<[TaskError]>;

impl TaskError {
    /// The index of the item in the input, unless the error is about the pool as a whole.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let error = pool.map(|n: u32| 10 / n, [5, 2, 0]).unwrap_err();
    /// assert_eq!(error.item(), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn item(&self) -> Option<usize> {
        match self {
            Self::Failed { item, .. }
            | Self::Panicked { item, .. }
            | Self::Died { item, .. }
            | Self::TimedOut { item, .. }
            | Self::Corrupt { item, .. }
            | Self::Cancelled { item }
            | Self::Encode { item, .. }
            | Self::Decode { item, .. }
            | Self::Untrusted { item } => Some(*item),
            Self::Taken | Self::Closed | Self::Broken(_) => None,
        }
    }

    /// The errors of the earlier tries, oldest first; empty when there was only one.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let error = pool.job().retries(1).apply(|n: u32| 1 / n, 0).unwrap_err();
    /// assert!(matches!(error.attempts(), [TaskError::Panicked { .. }]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attempts(&self) -> &[Self] {
        match self {
            Self::Failed { attempts, .. }
            | Self::Panicked { attempts, .. }
            | Self::Died { attempts, .. }
            | Self::TimedOut { attempts, .. }
            | Self::Corrupt { attempts, .. } => attempts,
            _ => &[],
        }
    }

    pub(crate) fn with_attempts(mut self, earlier: Vec<Self>) -> Self {
        if let Self::Failed { attempts, .. }
        | Self::Panicked { attempts, .. }
        | Self::Died { attempts, .. }
        | Self::TimedOut { attempts, .. }
        | Self::Corrupt { attempts, .. } = &mut self
        {
            *attempts = earlier.into();
        }
        self
    }

    /// Whether another try may end differently: what cannot be encoded or decoded never can.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Panicked { .. }
                | Self::Died { .. }
                | Self::TimedOut { .. }
                | Self::Corrupt { .. }
        )
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { report, .. } => Some(report),
            Self::Broken(error) => Some(&**error),
            _ => None,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { item, report, .. } => write!(f, "item {item} failed: {report:#}")?,
            Self::Panicked { item, panic, .. } => write!(f, "item {item} panicked: {panic}")?,
            Self::Died { item, pid, exit, .. } => {
                write!(f, "item {item}: worker {pid} died: {exit}")?;
            }
            Self::TimedOut { item, pid, after, .. } => {
                write!(f, "item {item} took longer than {after:?} and worker {pid} was killed: raise the timeout unless it was stuck")?;
            }
            Self::Corrupt { item, pid, reason, .. } => {
                write!(f, "item {item}: worker {pid} was killed: {reason}")?;
            }
            Self::Cancelled { item } => write!(f, "item {item} was cancelled")?,
            Self::Encode { item, reason } => write!(f, "item {item} cannot be encoded: {reason}")?,
            Self::Decode { item, reason } => write!(f, "item {item} cannot be decoded: {reason}")?,
            Self::Untrusted { item } => write!(
                f,
                "item {item} returned a handle that only a trusted worker may send: build the pool with `.trusting()` if you trust the code that it runs"
            )?,
            Self::Taken => f.write_str("the result of this task was taken before: keep what was given out the first time")?,
            Self::Closed => f.write_str("the pool is closed and takes no more tasks: submit before `close`, or make another pool")?,
            Self::Broken(error) => write!(f, "the pool cannot work any more: {error}")?,
        }
        match self.attempts().len() {
            0 => Ok(()),
            earlier => write!(f, " (try {} of {0})", earlier + 1),
        }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.location.is_empty() { Ok(()) } else { write!(f, " at {}", self.location) }
    }
}

/// Why a pool could not be made, or cannot go on.
///
/// ```
/// use procession_pool::{Pool, PoolError, TaskError};
///
/// assert!(matches!(Pool::with_workers(0), Err(PoolError::NoWorkers)));
///
/// let pool = Pool::builder().workers(1).initializer(|| -> () { panic!("no model") }).build()?;
/// let Err(TaskError::Broken(error)) = pool.apply(|n: u64| n, 1) else { panic!("it should be broken") };
/// assert!(matches!(&*error, PoolError::Init(_)), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A pool without workers was asked for.
    #[error(
        "a pool needs at least 1 worker: ask for 1 or more, or use `Pool::new` for one per core"
    )]
    NoWorkers,
    /// A worker process could not be started.
    #[error("a worker process could not be started: {0}")]
    Spawn(#[from] SpawnError),
    /// There is no shared memory for a worker.
    #[error("no shared memory for a worker: {0}")]
    Memory(#[from] SegmentError),
    /// The initializer failed in several workers in a row: it returned an error, panicked, or its worker died.
    #[error("the initializer of the workers failed again and again, the last time: {0}")]
    Init(#[source] Box<TaskError>),
    /// The argument of the initializer cannot be sent.
    #[error("the argument of the initializer cannot be sent: {0}")]
    Argument(#[source] Arc<SubmitError>),
    /// Workers were started and died before they were ready, again and again, or more of them died than
    /// [`restart_intensity`](crate::PoolBuilder::restart_intensity) allows.
    #[error("{}", too_many_restarts(*starts, *within, *pid, *exit))]
    #[non_exhaustive]
    TooManyRestarts {
        /// How many died.
        starts: u32,
        /// Within which time that is too many; `None` if they died in a row before they were ready.
        within: Option<Duration>,
        /// The last one.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// The background thread that finishes submitted tasks could not be started.
    #[error(
        "the background thread of the pool could not be started ({0}): allow more threads (`ulimit -u`, pids.max)"
    )]
    Thread(Arc<std::io::Error>),
    /// The pool was inherited through `fork`: it and its workers belong to the parent process.
    #[error("this pool belongs to process {owner}, which forked this one: make a pool here")]
    #[non_exhaustive]
    Forked {
        /// The process that made the pool.
        owner: u32,
    },
}

fn too_many_restarts(starts: u32, within: Option<Duration>, pid: u32, exit: Exit) -> String {
    match within {
        Some(within) => format!(
            "{starts} workers died within {within:?}, the last one (process {pid}): {exit}; look at what the items do, or raise `restart_intensity` of the builder"
        ),
        None => format!(
            "{starts} workers in a row died before they were ready, the last one (process {pid}): {exit}; {}",
            cure_of_failed_start(exit)
        ),
    }
}

fn cure_of_failed_start(exit: Exit) -> String {
    let refusal = if let Exit::Code(code) = exit { refusal::meaning(code) } else { None };
    match refusal {
        Some(why) => format!("{why}, and said more on its standard error"),
        None => "look at what runs before `main` (constructors, statics) and at the limits of this process".to_owned(),
    }
}

/// Why a task was not submitted.
///
/// ```
/// use procession_pool::{Pool, SubmitError};
///
/// let pool = Pool::with_workers(1)?;
/// pool.close();
/// assert!(matches!(pool.submit(|n: u64| n, 1), Err(SubmitError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The argument cannot be encoded.
    #[error("the argument cannot be encoded: {0}")]
    Encode(#[source] EncodeError),
    /// A handle in the argument cannot be sent.
    #[error("a handle in the argument cannot be sent: {0}")]
    Handle(#[source] TransferError),
    /// The context, which every worker gets, holds a handle that can have only one owner.
    #[error(
        "what all items share holds a handle that can have only one owner: pass it as the argument of one task, or share a `SharedSlice` or `Shared` instead"
    )]
    SharedMove,
    /// The argument has too many handles.
    #[error(transparent)]
    TooManyHandles(#[from] TooManyHandles),
    /// The encoded argument is too long.
    #[error(transparent)]
    TooLarge(#[from] ItemTooLarge),
    /// As many tasks wait as [`backlog`](crate::PoolBuilder::backlog) allows.
    #[error(
        "the pool's backlog of {limit} tasks is full: wait for some of them, or raise `PoolBuilder::backlog`"
    )]
    #[non_exhaustive]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The pool was closed.
    #[error(
        "the pool is closed and takes no more tasks: submit before `close`, or make another pool"
    )]
    Closed,
    /// The pool cannot work any more.
    #[error("the pool cannot work any more: {0}")]
    Broken(#[source] Arc<PoolError>),
}

impl SubmitError {
    pub(crate) fn too_large(len: usize) -> Self {
        Self::TooLarge(ItemTooLarge { len })
    }
}

impl From<EncodeError> for SubmitError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl TaskError {
    /// Why the item with this index did not get into the pool.
    pub(crate) fn refused(item: usize, error: SubmitError) -> Self {
        match error {
            SubmitError::Closed => Self::Closed,
            SubmitError::Broken(error) => Self::Broken(error),
            SubmitError::Encode(error) => Self::Encode { item, reason: error.to_string().into() },
            other => Self::Encode { item, reason: other.to_string().into() },
        }
    }

    pub(crate) fn decode(item: usize, error: &DecodeError) -> Self {
        Self::Decode { item, reason: error.to_string().into() }
    }
}
