//! A lock behind which nobody stays: a few instructions that one process does at a time.
//!
//! What is done behind it is real with one store, so a death there leaves nothing to repair, and the gate is simply open again.

use procession_shm::family::Member;

use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::Limit;
use crate::{LockError, error};

const PASS: Claim = Claim { dirty: false, repair: false };

/// A lock behind which nobody stays.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Gate {
    lock: Lock,
}

impl Gate {
    const_fn! {
        /// A gate that is open.
        pub(crate) fn new() -> Self {
            Self { lock: Lock::new() }
        }
    }

    /// Does `work` behind the gate in the name of `me`, however long it takes to get there. It is an error when the family has
    /// ended meanwhile: of a death after that nobody is told.
    pub(crate) fn pass<R>(&self, me: Member, work: impl FnOnce() -> R) -> Result<R, LockError> {
        while !matches!(self.lock.enter(me, PASS, Limit::NEVER), Entry::Taken(_)) {
            error::me()?;
        }
        let result = work();
        self.lock.leave(Mark::CLEAN, Call::Next);
        Ok(result)
    }
}
