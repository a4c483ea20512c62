//! A pool of worker processes.
//!
//! [`Pool`] runs functions of this program in other processes, as easily as a thread pool runs closures, and survives what
//! threads do not: a worker that segfaults, aborts, leaks, hangs or is killed costs the one item it was on.
//!
//! ```
//! use procession_pool::{Pool, TaskError};
//!
//! fn careless(n: u32) -> u32 {
//!     if n == 2 { std::process::abort() }
//!     n * 10
//! }
//!
//! let pool = Pool::with_workers(2)?;
//! let results: Vec<_> = pool.imap(careless, 0..4).collect();
//! assert!(matches!(results[2], Err(TaskError::Died { item: 2, .. })));
//! assert_eq!(results.iter().flatten().collect::<Vec<_>>(), [&0, &10, &30]);
//! # Ok::<(), procession_pool::PoolError>(())
//! ```
//!
//! # How it works
//!
//! Each worker has two rings of shared memory, one for tasks and one for results; workers share nothing with each other. There
//! is no scheduler thread: whoever waits for a result drives the pool meanwhile. See the modules below `core` for the
//! details, and [`procession_process::link`] for what a death costs at which instruction.

#![forbid(unsafe_code)]

mod builder;
mod core;
mod error;
mod imap;
mod insights;
mod job;
mod parcel;
mod pool;
mod run;
pub mod task;
#[cfg(feature = "tracing")]
mod trace;
mod worker;

pub use builder::PoolBuilder;
pub use error::{Attempts, Panic, PoolError, SubmitError, TaskError};
pub use imap::Imap;
#[cfg(feature = "stream")]
pub use imap::ImapStream;
pub use insights::{Cause, Insights, Share, SlowItem};
pub use job::Job;
pub use pool::Pool;
pub use procession_process::link::{ItemTooLarge, TooManyHandles};
pub use run::IntoPair;
pub use task::{Canceller, Task};

// The program in the page that visitors see first is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
