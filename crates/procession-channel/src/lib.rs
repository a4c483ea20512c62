//! Bytes between two processes.
//!
//! * [`ring`]: a ring of bytes in sealed shared memory, one producer, one consumer, one store that makes a message real.
//! * [`bell`]: how a side sleeps and the other wakes it, without a system call while both are awake.
//! * [`gate`]: who has an item, the worker that was given it or the parent that takes it back.
//! * [`pipe`]: typed messages through such a ring, between processes that need not trust each other. [`Fd`] puts files and sockets
//!   into them; the ends of pipes are messages themselves.
//! * [`queue`]: typed messages between any number of processes that trust each other.
//! * [`codec`]: values to bytes, and back from bytes that may be hostile. [`Message`] says which values.

pub mod bell;
pub mod gate;
pub mod pipe;
#[cfg(any(test, not(procession_loom)))]
pub mod queue;
pub mod ring;

mod budget;
pub mod codec;
mod fd;
mod message;
mod packet;
pub use fd::Fd;
pub use message::{IntoArg, Message};

#[cfg(all(test, procession_loom))]
mod loom_ring;
#[cfg(all(test, procession_loom))]
mod loom_tests;

// The program in the page that visitors see first is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
