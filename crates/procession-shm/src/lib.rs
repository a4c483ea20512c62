//! Memory that several processes map, and how they wait on it.
//!
//! This is the ground floor of Procession. It knows nothing about messages, functions or pools, only about memory and waiting:
//!
//! * [`Segment`]: anonymous shared memory. It has no name, cannot be resized under its users, and is gone with its last
//!   holder, so a crash leaves nothing behind.
//! * [`wait()`]: the one function through which everything in Procession blocks, on one word or on many, with an absolute
//!   deadline. [`wake_all`] is its counterpart. [`wait_any`] waits in the same way for any of several objects.
//! * [`Spin`]: how long to look at a word before sleeping on it, decided in one place.
//! * [`family`]: which of the processes that share something are alive, and the word that changes when one dies.
//! * [`Shared`], [`SharedBuf`] and [`SharedSlice`]: one value that all use, elements that have one owner, and elements that
//!   nobody can change any more; as handles that go from process to process. [`Shareable`](trait@Shareable) says which values
//!   mean the same everywhere.
//!
//! [`doctor()`] says what this machine offers of all that, and what stands in where it offers less.
//!
//! The atomics of every shared structure come from [`sync`], so that the same source runs on the real machine and, under
//! `--cfg procession_loom`, in the loom model checker.
//!
//! ```
//! use procession_shm::Segment;
//!
//! let segment = Segment::new(4096)?;
//! let here = segment.map()?;
//! let there = segment.map()?; // as another process would, from the same descriptor
//! here.atomic_u32(0).store(7, std::sync::atomic::Ordering::Release);
//! assert_eq!(there.atomic_u32(0).load(std::sync::atomic::Ordering::Acquire), 7);
//! # Ok::<(), procession_shm::SegmentError>(())
//! ```

mod backing;
#[cfg(not(procession_loom))]
mod cores;
#[cfg(not(procession_loom))]
mod crowd;
mod deadline;
pub mod doctor;
mod elements;
pub mod family;
pub mod fork;
#[cfg(not(procession_loom))]
mod futex;
#[doc(hidden)]
pub mod huge;
#[doc(hidden)]
pub mod limit;
mod mapping;
#[doc(hidden)]
pub mod proc;
pub mod quiet;
mod reactor;
mod ready;
mod segment;
mod shareable;
mod shared;
mod shared_buf;
mod shared_slice;
mod spin;
pub mod sync;
pub mod transfer;
mod wait;
mod window;

pub use deadline::Deadline;
pub use doctor::doctor;
pub use mapping::Mapping;
#[cfg(procession_loom)]
pub use reactor::turn_reactor;
pub use reactor::{Registration, UntilReady, until_ready};
pub use ready::{Ready, Waitable, wait_any};
pub use segment::{Segment, SegmentError};
pub use shareable::Shareable;
pub use shared::Shared;
pub use shared_buf::{FreezeError, FreezeErrorKind, SharedBuf, UnsplitError, UnsplitErrorKind};
pub use shared_slice::SharedSlice;
pub use spin::Spin;
pub use wait::{KeptWord, Wake, Watch, tell, wait, wait_and_tell, wake_all, wake_one};

/// The size of a memory page in bytes; every mapping starts at a multiple of it.
///
/// ```
/// assert!(procession_shm::page_size().is_power_of_two());
/// ```
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// `len` rounded up to whole pages, or `None` when that overflows.
///
/// ```
/// use procession_shm::{page_align, page_size};
///
/// assert_eq!(page_align(1), Some(page_size()));
/// assert_eq!(page_align(usize::MAX), None);
/// ```
pub fn page_align(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(page_size())
}

// The program in the page that visitors see first is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
