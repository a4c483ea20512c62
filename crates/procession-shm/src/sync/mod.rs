//! The atomics, fences and sleeps of every shared structure, in one place.
//!
//! On the real machine these are the standard library's atomics and the kernel's futex. Under `--cfg procession_loom` they
//! are loom's atomics and a model of the futex, so that loom runs the very source that ships through every interleaving
//! that its bounds allow. Nothing outside this module may name `std::sync::atomic` for a word that two parties share.
//!
//! This module is public because the floors above build on it. It is not part of the crate's stable interface.

#[cfg(procession_loom)]
mod model;
#[cfg(procession_loom)]
pub mod mortal;
#[cfg(not(procession_loom))]
mod real;

#[cfg(procession_loom)]
pub use model::{atomic, hint, thread};
#[cfg(not(procession_loom))]
pub use real::{atomic, hint, thread};

#[cfg(procession_loom)]
pub(crate) use model::{sleep, wake};
