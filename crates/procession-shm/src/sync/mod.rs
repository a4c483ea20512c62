//! The atomics, fences and sleeps of every shared structure, in one place.
//!
//! On the real machine these are the standard library's atomics and the kernel's futex. Under `--cfg procession_loom` they
//! are loom's atomics and a model of the futex, so that loom runs the very source that ships through every interleaving
//! that its bounds allow. Under `--cfg procession_hostile` they are the real machine, but what is loaded from a ring may be
//! false, as if its peer had just written it: see `lies`. `--cfg procession_bugs` adds bugs that the proofs must find: see
//! `bugs`. Nothing outside this module may name `std::sync::atomic` for a word that two parties share.
//!
//! This module is public because the floors above build on it. It is not part of the crate's stable interface.

#[cfg(procession_bugs)]
pub mod bugs;
#[cfg(not(procession_loom))]
mod fences;
#[cfg(procession_hostile)]
mod hostile;
#[cfg(procession_hostile)]
pub mod lies;
#[cfg(procession_loom)]
mod model;
#[cfg(procession_loom)]
pub mod mortal;
pub mod one_sided;
#[cfg(not(procession_loom))]
mod real;
#[cfg(procession_loom)]
pub mod stage;

#[cfg(procession_hostile)]
pub use hostile::{atomic, hint, raw, thread};
#[cfg(procession_loom)]
pub use model::{atomic, hint, thread};
#[cfg(not(any(procession_loom, procession_hostile)))]
pub use real::{atomic, hint, raw, thread};

#[cfg(procession_loom)]
pub(crate) use model::{lock, sleep, wake};
#[cfg(not(procession_loom))]
pub(crate) use real::lock;

/// Whether this process has the seeded bug of this name, which no build has but that of `--cfg procession_bugs`.
#[cfg(procession_bugs)]
#[doc(hidden)]
#[macro_export]
macro_rules! seeded {
    ($bug:literal) => {
        $crate::sync::bugs::is_seeded($bug)
    };
}

/// No bug is there on purpose, see `--cfg procession_bugs`.
#[cfg(not(procession_bugs))]
#[doc(hidden)]
#[macro_export]
macro_rules! seeded {
    ($bug:literal) => {
        false
    };
}
