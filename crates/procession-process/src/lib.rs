//! Processes of this program, started as easily as threads.
//!
//! [`Process`] runs one function in a process of its own and gives its value, as `std::thread` does with threads. Below it,
//! [`Launcher`] starts the running program again as a child process that calls a function with bytes and descriptors. There is
//! nothing to register and no call to place at the top of `main`: a start-up hook, linked into the program with this crate,
//! decides before `main` whether the process is a child.
//!
//! ```
//! use procession_process::{Exit, Process, ProcessError, spawn};
//!
//! fn power(base: u64, exponent: u32) -> u64 {
//!     base.pow(exponent)
//! }
//!
//! fn crash(address: usize) -> u8 {
//!     // SAFETY: not sound at all, which costs this process and no other.
//!     unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
//! }
//!
//! fn main() -> Result<(), ProcessError> {
//!     let process = spawn!(power(2, 10))?;
//!     assert_eq!(process.join()?, 1024);
//!     match Process::spawn(crash, 8)?.join() {
//!         Err(ProcessError::Died { exit, .. }) => assert_eq!(exit.to_string(), "SIGSEGV (segmentation fault)"),
//!         other => panic!("{other:?}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! | Python's multiprocessing | here |
//! |---|---|
//! | `Process(target=f, args=(a, b))`, `start` | [`spawn!(f(a, b))`](spawn), [`Process::spawn`] |
//! | `name`, `daemon` | [`ProcessBuilder::name`], [`ProcessBuilder::daemon`] |
//! | `join`, `exitcode`, `sentinel` | [`Process::join`], [`ProcessHandle::exit_status`], [`ProcessHandle::wait`], `.await` |
//! | `terminate`, `kill`, `interrupt` | the same of [`ProcessHandle`] |
//! | `current_process`, `parent_process`, `active_children` | [`current`], [`parent`], [`active_children`] |
//! | `cpu_count` | [`cpu_count`] |
//!
//! # What can be relied on
//!
//! - A child never runs `main`, whatever goes wrong; it exits with a code of [`refusal`] instead.
//!   A program whose children could run `main` cannot launch any ([`SpawnError`]).
//! - When a process ends, however it ends, its children are killed, and theirs. Before it exits by itself it waits for those
//!   that were started by [`Process`] and are no daemons. A child that changes its user or group loses this, as the kernel wants it;
//!   it has it back when it asks again, by `prctl(PR_SET_PDEATHSIG, SIGKILL)`, after the change.
//! - Every child is reaped, also if its handle was dropped: there are no zombies.
//! - A child inherits the standard descriptors, those it was given, and no others.
//! - [`ProcessHandle::kill`] and [`Child::kill`] can never hit another process.
//!
//! # What a child is not
//!
//! - `std::env::args` in a child are those of its parent.
//! - The function runs on the child's main thread. std has no name for it, since `main` does not run: [`current`] has the name of
//!   the process, which also stands in front of what is printed about a panic. Destructors of its thread-locals run where the
//!   C library runs those of a main thread (glibc does).
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
mod c_strings;
mod cgroup;
mod child;
mod command;
mod cpu;
mod desk;
mod ending;
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
mod inline;
mod launcher;
mod launching;
mod limits;
mod lineage;
pub mod link;
mod offices;
#[doc(hidden)]
pub mod outbox;
mod outcome;
mod overflow;
mod packet;
pub mod panics;
mod process;
mod process_error;
mod program;
mod reaper;
pub mod refusal;
mod restart;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod settings;
mod spawner;
mod standard;
mod start_method;
mod stat;
mod stderr;
mod stdio;
#[doc(hidden)]
pub mod sugar;
mod threads;
mod usage;
mod zygote;

#[doc(hidden)]
pub use bootstrap::{reads_bootstrap_message, reads_bootstrap_variable};
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
pub use launching::Launching;
pub use limits::Limits;
pub use lineage::{current, parent};
pub use outcome::{Fallible, Outcome, Plain};
pub use process::Process;
pub use process_error::ProcessError;
#[cfg(feature = "sandbox")]
pub use sandbox::Sandbox;
pub use serve::serve;
pub use start_method::StartMethod;
pub use stdio::Stdio;
pub use usage::Usage;

/// The example of the README is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
