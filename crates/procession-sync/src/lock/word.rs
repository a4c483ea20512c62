//! What the word of a lock says.

use std::fmt;

use procession_shm::family::{self, Member};

use crate::LockError;

const SLOT: u64 = 0xffff;
const WAITERS: u64 = 1 << 16;
const DIRTY: u64 = 1 << 17;
const POISONED: u64 = 1 << 18;
const TORN: u64 = 1 << 19;
const DONE: u64 = 1 << 20;
const OWNER: u64 = SLOT | (0xffff_ffff << 32);

/// A lock's word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// What a word means.
pub(super) enum State {
    /// Nobody holds the lock.
    Open(Mark),
    /// This member holds it.
    Held(Member),
}

impl Word {
    /// The word of a lock that `owner` holds.
    pub(super) const fn held(owner: Member, dirty: bool, waiters: bool) -> Self {
        let dirty = if dirty { DIRTY } else { 0 };
        let waiters = if waiters { WAITERS } else { 0 };
        Self(owner.to_bits() | dirty | waiters)
    }

    pub(super) fn state(self) -> State {
        match Member::from_bits(self.0 & OWNER) {
            Some(owner) => State::Held(owner),
            None => State::Open(Mark(self.0)),
        }
    }

    pub(super) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    pub(super) fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    pub(super) const DIRTY_BIT: u64 = DIRTY;

    /// What the lock is to say after the death of `owner`, who held it as this word tells.
    pub(super) fn after_death_of(self, owner: Member) -> Mark {
        if self.0 & DIRTY == 0 { Mark::CLEAN } else { Mark::torn(family::pid_of(owner)) }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({:#x})", self.0)
    }
}

/// What a lock that nobody holds says about what it guards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub(super) u64);

impl Mark {
    /// All is well: the lock is for whoever comes.
    pub const CLEAN: Self = Self(0);
    /// A thread panicked while it held the lock.
    pub(crate) const POISONED: Self = Self(POISONED);
    /// What there was to do under this lock is done once and for all.
    pub(crate) const DONE: Self = Self(DONE);

    /// The owner, of this pid if that is still known, died while it wrote.
    fn torn(pid: Option<u32>) -> Self {
        Self(TORN | u64::from(pid.unwrap_or(0)) << 32)
    }

    /// Whether all is well.
    pub fn is_clean(self) -> bool {
        self == Self::CLEAN
    }

    /// Whether an owner died while it wrote.
    pub fn is_torn(self) -> bool {
        self.0 & TORN != 0
    }

    pub(crate) fn is_poisoned(self) -> bool {
        self.0 & POISONED != 0
    }

    pub(crate) fn is_done(self) -> bool {
        self.0 & DONE != 0
    }

    /// The error of whoever wanted what a marked lock guards.
    pub(crate) fn error(self) -> LockError {
        if self.is_torn() {
            LockError::OwnerDied { pid: (self.0 >> 32) as u32 }
        } else {
            LockError::Poisoned
        }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({:#x})", self.0)
    }
}
