//! Which errors are right, and when.
//!
//! When the first process of a program was killed, its family has ended and all are about to die: they may be told whatever it is.
//! In a program in which nobody dies, only errors that say "not now" or "no more" are. Who shares something with the dead may
//! hear of the death, in the words that the error has for it. All else is a complaint.

use std::fmt::{Debug, Display};
use std::sync::atomic::Ordering::SeqCst;

use procession::queue::{self, JoinError};
use procession::sync::LockError;
use procession::{PoolError, ProcessError, SpawnError, SubmitError, TaskError, pipe};

use crate::ledger::{complain, has_anybody_died, ledger};

/// When an error is right.
pub(crate) enum Excuse {
    Always,
    /// When somebody has died.
    Death,
    Never,
}

/// An error that may be right.
pub(crate) trait Excusable: Display + Debug {
    fn excuse(&self) -> Excuse;
}

/// Complains about an error unless it is right.
pub(crate) fn judge(place: &str, error: &impl Excusable) {
    match error.excuse() {
        Excuse::Always => {}
        Excuse::Death if has_anybody_died() => {}
        _ if is_over() => {}
        _ => complain(format_args!("{place}: {error} ({error:?})")),
    }
}

/// What there is unless it is an error, which is judged.
pub(crate) fn judged<T>(place: &str, outcome: Result<T, impl Excusable>) -> Option<T> {
    outcome.map_err(|error| judge(place, &error)).ok()
}

/// What there is unless it is an error, which is never right.
pub(crate) fn must<T>(place: &str, outcome: Result<T, impl Display>) -> Option<T> {
    let told = |error| {
        if !is_over() {
            complain(format_args!("{place}: {error:#}"));
        }
    };
    outcome.map_err(told).ok()
}

fn is_over() -> bool {
    ledger().is_root_dead.load(SeqCst)
}

macro_rules! excuses {
    ($($error:ty { $($arms:tt)* })*) => { $(
        impl Excusable for $error {
            fn excuse(&self) -> Excuse {
                match self {
                    $($arms)*
                    _ => Excuse::Never,
                }
            }
        }
    )* };
}

excuses! {
    queue::SendErrorKind {
        Self::Full | Self::TimedOut | Self::Closed => Excuse::Always,
        Self::TooManyInFlight | Self::TooManyDescriptors { .. } => Excuse::Always,
    }
    queue::RecvError {
        Self::Closed | Self::NotClaimable { .. } | Self::TooManyClaims { .. } => Excuse::Always,
    }
    JoinError { Self::OwnerDied { .. } => Excuse::Death, }
    pipe::SendErrorKind {
        Self::Full | Self::TimedOut | Self::Closed => Excuse::Always,
        Self::TooManyInFlight | Self::TooManyDescriptors { .. } => Excuse::Always,
    }
    pipe::RecvError {
        Self::Closed => Excuse::Always,
        Self::Died { .. } => Excuse::Death,
    }
    LockError {
        Self::OwnerDied { .. } | Self::Poisoned => Excuse::Death,
    }
    // A zygote is replaced when it dies, a few times in a row.
    SpawnError { Self::ZygoteEnded { .. } => Excuse::Death, }
    ProcessError {
        Self::Died { .. } | Self::Panicked { .. } | Self::NotServed { .. } => Excuse::Death,
        Self::Spawn(error) => error.excuse(),
    }
    PoolError {
        Self::TooManyRestarts { .. } => Excuse::Death,
        Self::Spawn(error) => error.excuse(),
    }
    SubmitError { Self::Broken(error) => error.excuse(), }
    TaskError {
        Self::Died { .. } => Excuse::Death,
        Self::Broken(error) => error.excuse(),
    }
}
