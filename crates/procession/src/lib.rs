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
//! This crate only puts the floors of the house under one roof: it has no code of its own.

#![forbid(unsafe_code)]

pub use procession_channel::{IntoArg, Message};
pub use procession_pool::{
    Attempts, Canceller, Imap, Job, Panic, Pool, PoolBuilder, PoolError, SubmitError, Task,
    TaskError,
};
pub use procession_process::{Exit, Failure, Outcome, Report, SpawnError, cpu_count};

/// The result of a function that runs in another process, and of a `main` that uses the `?` operator: any error converts into
/// [`Failure`]. It is not in the prelude; write `procession::Result<T>`.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

pub mod prelude {
    //! What most programs need: `use procession::prelude::*`. It has no name that the standard library also has.
    pub use procession_pool::{Pool, Task, TaskError};
    pub use procession_process::Failure;
}
