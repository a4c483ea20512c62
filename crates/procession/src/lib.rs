//! Process-based parallelism for Rust on Linux: what Python's `multiprocessing` and `concurrent.futures` give Python, with
//! Rust's types, at the price of threads.
//!
//! ```
//! use procession::prelude::*;
//!
//! fn square(n: u64) -> u64 { n * n }
//!
//! fn main() -> procession::Result<()> {
//!     let pool = Pool::new()?;                            // one worker process per core
//!     println!("{:?}", pool.map(square, 0..10)?);         // no hook in main, no macro, no registration
//!     Ok(())
//! }
//! ```
//!
//! A worker that dies costs the item it was on and nothing else. [`Pool`] says what holds, [`TaskError`] what an item can end
//! with.
//!
//! Processes of one's own share a [`Queue`], among other things:
//!
//! ```
//! use procession::prelude::*;
//!
//! fn consumer(jobs: Queue<u64>, squares: Queue<u64>) -> procession::Result<()> {
//!     for n in &jobs {
//!         squares.put(n?.pow(2))?;
//!     }
//!     Ok(())                                              // the queue was closed, and is empty
//! }
//!
//! fn main() -> procession::Result<()> {
//!     let (jobs, squares) = (Queue::new()?, Queue::new()?);
//!     let consumers = [spawn!(consumer(&jobs, &squares))?, spawn!(consumer(&jobs, &squares))?];
//!     jobs.put_many(1..=4)?;
//!     jobs.close();
//!     for consumer in consumers {
//!         consumer.join()?;
//!     }
//!     let mut all = squares.get_many(4)?.collect::<Result<Vec<u64>, _>>()?;
//!     all.sort();
//!     assert_eq!(all, [1, 4, 9, 16]);
//!     Ok(())
//! }
//! ```
//!
//! # When the compiler refuses
//!
//! A function that runs in another process is a plain `fn` pointer. What it gets and returns is owned and can be serialized.
//!
//! | the compiler says | what to do |
//! |---|---|
//! | expected fn pointer, found closure | the closure captures something: put it into the items, or pass it as the context of [`map_with`](Pool::map_with) |
//! | implementation of `Deserialize` is not general enough | the function takes or returns a reference: take and return a `String` for a `&str`; the caller may still pass the `&str` |
//! | `&[T]` cannot be sent to another process | take a `Vec<T>`; the caller may still pass the slice |
//! | cannot be returned from a function that runs in another process | return [`procession::Result<T>`](Result): `?` converts any error |
//! | `Point` cannot be sent to another process | `#[derive(serde::Serialize, serde::Deserialize)]` on `Point` |
//! | incorrect number of function parameters | a function of two arguments is for [`starmap`](Pool::starmap); of more, write `\|(a, b, c)\| f(a, b, c)` and pass tuples |
//! | `i32` cannot be passed for a parameter of type `u64` | numbers are not converted: give the items the type of the parameter |
//! | `&SharedBuf` cannot be passed for a parameter of type `SharedBuf`; use of moved value | what has one owner is passed by value, to one process |
//! | `Result<MutexGuard<..>, LockError>` cannot be dereferenced | `lock()?`: the last holder may have died |
//!
//! This crate only puts the floors of the house under one roof: it has no code of its own.

#![forbid(unsafe_code)]

pub use procession_channel::codec::{DecodeError, EncodeError};
pub use procession_channel::queue::{self, Queue};
pub use procession_channel::{Fd, IntoArg, Message, pipe};
#[cfg(feature = "stream")]
pub use procession_pool::ImapStream;
pub use procession_pool::{
    Attempts, Canceller, Cause, Imap, Insights, IntoPair, ItemTooLarge, Job, Panic, Pool,
    PoolBuilder, PoolError, Share, SlowItem, SubmitError, Task, TaskError, TooManyHandles, task,
};
#[cfg(feature = "sandbox")]
pub use procession_process::Sandbox;
pub use procession_process::{
    Exit, Failure, Limits, Outcome, Process, ProcessBuilder, ProcessError, ProcessHandle, Report,
    SpawnError, StartMethod, Stdio, active_children, cpu_count, current, parent, serve, spawn,
};
pub use procession_shm::family::FamilyError;
pub use procession_shm::transfer::{Moved, TransferError};
pub use procession_shm::{
    FreezeError, FreezeErrorKind, Ready, SegmentError, Shared, SharedBuf, SharedSlice,
    UnsplitError, UnsplitErrorKind, UntilReady, Waitable, Watch, doctor, until_ready,
    wait_any as wait,
};
pub use procession_sync as sync;
pub use shareable::*;

mod shareable {
    //! The trait and its derive macro have one name and are re-exported together: the macro by another name would shadow the
    //! one that comes with the trait, unless a glob brings both.
    pub use procession_shm::Shareable;
}
pub use procession_derive::ShareableInFacade as Shareable;

/// The result of a function that runs in another process, and of a `main` that uses the `?` operator: any error converts into
/// [`Failure`]. It is not in the prelude; write `procession::Result<T>`.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

pub mod prelude {
    //! What most programs need: `use procession::prelude::*`. It has no name that the standard library also has.
    pub use procession_channel::pipe;
    pub use procession_channel::queue::Queue;
    pub use procession_pool::{Pool, Task, TaskError};
    pub use procession_process::{Failure, Process, spawn};
    pub use procession_shm::{Shared, SharedBuf, SharedSlice};

    pub use crate::Shareable;
}

// The programs in the pages are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct RootReadme;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-python.md")]
pub struct ComingFromPython;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/errors.md")]
pub struct Errors;
