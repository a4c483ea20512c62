//! Processes of this program, started as easily as threads.
//!
//! [`Launcher`] starts the running program again as a child process that calls one function of
//! yours instead of `main`, with bytes and descriptors that you give it. There is nothing to
//! register and no call to place at the top of `main`: a start-up hook, linked into the program
//! with this crate, decides before `main` whether the process is a child.
//!
//! ```no_run
//! use procession_process::{Exit, Launcher, Start};
//!
//! fn work(start: Start) {
//!     assert_eq!(start.payload, b"input");
//!     std::process::exit(3);
//! }
//!
//! fn main() -> Result<(), procession_process::SpawnError> {
//!     let child = Launcher::new(work).payload(b"input".to_vec()).launch()?;
//!     assert_eq!(child.wait(), Exit::Code(3));
//!     Ok(())
//! }
//! ```
//!
//! # What can be relied on
//!
//! - A child never runs `main`, whatever goes wrong; it exits with a code of [`refusal`] instead.
//!   A program whose children could run `main` cannot launch any ([`SpawnError`]).
//! - When a process ends, however it ends, its children are killed, and theirs.
//! - Every child is reaped, also if its handle was dropped: there are no zombies.
//! - A child inherits the standard descriptors, those it was given, and no others.
//! - [`Child::kill`] can never hit another process.
//!
//! # What a child is not
//!
//! - `std::env::args` in a child are those of its parent.
//! - Constructors of the program (`.init_array`, C++ global objects) run in a child as in any
//!   process. They must not launch.
//! - Threads that your code starts in a child have no handler that names a stack overflow; such an
//!   overflow is a plain SIGSEGV.
//! - A process started through bare fork(2) may launch children of its own, but not handle those of
//!   the process it was forked from.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("procession runs on 64-bit Linux only");

pub mod answer;
mod bootstrap;
mod builder;
mod child;
mod command;
mod cpu;
mod environment;
mod errand;
mod error;
mod exit;
mod exit_cell;
mod failure;
pub mod function;
mod grip;
mod handle;
mod hook;
mod household;
pub mod image;
mod launcher;
mod limits;
mod lineage;
pub mod link;
mod offices;
mod outbox;
mod outcome;
mod overflow;
pub mod panics;
mod process;
mod process_error;
mod reaper;
pub mod refusal;
mod restart;
mod serve;
mod settings;
mod spawner;
mod standard;
mod stderr;
mod stdio;
#[doc(hidden)]
pub mod sugar;

pub use builder::ProcessBuilder;
pub use child::Child;
pub use cpu::cpu_count;
pub use error::SpawnError;
pub use exit::Exit;
pub use failure::{Failure, Report};
pub use handle::ProcessHandle;
pub use hook::{DEPTH_MAX, depth, is_child};
pub use household::active_children;
pub use launcher::{Launcher, Start};
pub use limits::Limits;
pub use lineage::{current, parent};
pub use outcome::{Fallible, Outcome, Plain};
pub use process::Process;
pub use process_error::ProcessError;
pub use stdio::Stdio;

/// The example of the README is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
