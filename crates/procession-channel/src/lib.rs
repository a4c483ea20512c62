//! Bytes between two processes.
//!
//! * [`ring`]: a ring of bytes in sealed shared memory, one producer, one consumer, one store that makes a message real.
//! * [`bell`]: how a side sleeps and the other wakes it, without a system call while both are awake.
//! * [`gate`]: who has an item, the worker that was given it or the parent that takes it back.
//! * [`codec`]: values to bytes, and back from bytes that may be hostile. [`Message`] says which values.

pub mod bell;
pub mod gate;
pub mod ring;

pub mod codec;
mod message;
pub use message::{IntoArg, Message};

#[cfg(all(test, procession_loom))]
mod loom_tests;
