//! Both ends of a queue, and their locks.

use std::ops::Deref;

use procession_shm::family::Member;
use procession_sync::parts::{Call, Claim, Entry, Limit, Lock, Mark};

use super::Corrupt;
use super::control::{Control, Settings};
use super::store::Bytes;

/// A queue without the type of its items: its words, and its bytes. What is done to it stands in `put` and `get`.
#[derive(Debug)]
pub(super) struct Ends<C, B> {
    pub(super) control: C,
    pub(super) bytes: B,
    /// A copy of this process' own: it can be asked where the memory is not, and says what was checked.
    pub(super) settings: Settings,
}

impl<C: Deref<Target = Control>, B: Bytes> Ends<C, B> {
    pub(super) fn new(control: C, bytes: B, settings: Settings) -> Self {
        Self { control, bytes, settings }
    }

    /// The lock of those who get, for as long as the guard lives; what a death under it left is repaired. `None` when somebody
    /// else had it for too long.
    pub(super) fn hold_get(
        &self,
        me: Member,
        limit: impl Into<Limit>,
    ) -> Result<Option<Hold<'_>>, Corrupt> {
        let Some((hold, mark)) = Hold::take(&self.control.get.lock, me, true, limit) else {
            return Ok(None);
        };
        if mark.is_torn() {
            self.repair();
        }
        Ok(Some(hold))
    }
}

/// One of the locks of a queue, held until this is dropped.
pub(super) struct Hold<'a> {
    lock: &'a Lock,
}

impl<'a> Hold<'a> {
    /// Takes the lock, whatever it is marked with. With `is_repaired` the death of who has it is marked.
    #[inline]
    pub(super) fn take(
        lock: &'a Lock,
        me: Member,
        is_repaired: bool,
        limit: impl Into<Limit>,
    ) -> Option<(Self, Mark)> {
        match lock.enter(me, Claim { dirty: is_repaired, repair: true }, limit) {
            Entry::Taken(mark) => Some((Self { lock }, mark)),
            Entry::Refused(_) | Entry::TimedOut => None,
        }
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        // In a model the dead unwind, and leave nothing.
        #[cfg(procession_loom)]
        if std::thread::panicking() {
            return;
        }
        self.lock.leave(Mark::CLEAN, Call::Next);
    }
}
