//! How somebody waits for a queue.
//!
//! A first attempt, a look without the lock for as long as that is worth it, then: announce, attempt once more, sleep. Each sleep
//! is on a turn of the queue and on the death epoch of the family, so that no death is slept through: whoever was woken for an
//! item and died before it got it, or put an item and died before it woke somebody, wakes all.

use std::time::Duration;

use procession_shm::family::{self, FamilyError};
use procession_shm::sync::atomic::AtomicU32;
use procession_shm::sync::atomic::Ordering::Acquire;
use procession_shm::{Deadline, Spin, Wake, Watch, wait};
use procession_sync::parts::{Limit, Turn};

use super::SendErrorKind;

/// How often somebody looks whether the other half is gone who may have gone with a message.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// How long somebody who must not wait waits for another one who is in the middle of its own operation.
const MOMENT: Duration = Duration::from_millis(20);

/// How long somebody is ready to wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    #[cfg_attr(procession_loom, expect(dead_code, reason = "in a model no time passes"))]
    None,
    Until(Deadline),
}

impl Patience {
    pub(super) const ENDLESS: Self = Self::Until(Deadline::NEVER);

    /// Why nothing was put in time.
    #[cfg_attr(procession_loom, expect(dead_code, reason = "in a model no time passes"))]
    pub(super) fn expired(self) -> SendErrorKind {
        match self {
            Self::None => SendErrorKind::Full,
            Self::Until(_) => SendErrorKind::TimedOut,
        }
    }

    #[cfg(not(procession_loom))]
    pub(super) fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    fn deadline(self) -> Option<Deadline> {
        match self {
            Self::None => None,
            Self::Until(deadline) => Some(deadline),
        }
    }
}

/// How long to wait for a lock, which nobody has for long. It is asked for by who finds the lock taken.
impl From<&Patience> for Limit {
    fn from(patience: &Patience) -> Self {
        match patience {
            Patience::None => Self::Until(Deadline::after(MOMENT)),
            Patience::Until(deadline) => Self::Until(*deadline),
        }
    }
}

/// What came of doing something without waiting for it.
#[cfg(not(procession_loom))]
#[derive(Debug)]
pub(super) enum Attempt<T> {
    Done(T),
    /// It cannot be done now; whoever makes it possible tells.
    Nothing,
    /// Another one was in the middle of an operation for too long. Nobody tells when that ends.
    Busy,
}

#[cfg(not(procession_loom))]
impl<T> Attempt<T> {
    #[inline]
    pub(super) fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Nothing | Self::Busy => None,
        }
    }
}

/// One caller's waiting on one turn.
pub(super) struct Vigil<'a> {
    pub(super) turn: &'a Turn,
    pub(super) patience: &'a Patience,
    /// A word that is not 0 once something may happen of which nobody tells, if there is such a thing.
    pub(super) travels: Option<&'a AtomicU32>,
    /// Whether the other side is in the middle of a stream, and is left alone for a moment before each look: each takes the cache
    /// line from it that it is about to write.
    pub(super) lets_ahead: bool,
}

impl<'a> Vigil<'a> {
    /// On a turn where everything that happens is told, with a first look at once.
    pub(super) fn new(turn: &'a Turn, patience: &'a Patience) -> Self {
        Self { turn, patience, travels: None, lets_ahead: false }
    }

    /// Attempts until there is a result; `None` when the time is over. `looks_ready` says without a lock whether an attempt is
    /// worth it.
    #[inline]
    pub(super) fn keep<T, E: From<FamilyError>>(
        &self,
        looks_ready: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        match attempt()? {
            Some(done) => Ok(Some(done)),
            None => self.keep_on(looks_ready, attempt),
        }
    }

    #[cold]
    fn keep_on<T, E: From<FamilyError>>(
        &self,
        looks_ready: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let Some(deadline) = self.patience.deadline() else { return Ok(None) };
        // Two want to run at the same time: who waits and who is waited for.
        let spin = Spin::for_parties(2);
        let is_ready = if self.lets_ahead {
            spin.until_backing_off(looks_ready)
        } else {
            spin.until(looks_ready)
        };
        if is_ready && let Some(done) = attempt()? {
            return Ok(Some(done));
        }
        for nap in 0.. {
            let epoch = family::epoch().load(Acquire);
            let seen = self.turn.announce();
            match attempt() {
                Ok(None) if deadline.is_over() => return Ok(None),
                Ok(None) => self.sleep([seen, epoch], nap, deadline)?,
                Ok(Some(done)) => return Ok(Some(done)),
                Err(error) => {
                    // Who was woken for something that he leaves behind wakes the next one.
                    self.turn.wake_one();
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn sleep(&self, seen: [u32; 2], nap: u32, deadline: Deadline) -> Result<(), FamilyError> {
        let words =
            [Watch::shared(self.turn.word(), seen[0]), Watch::shared(family::epoch(), seen[1])];
        let checkup = slice(self.travels).unwrap_or_else(|| family::recheck_deadline(nap));
        match wait(&words, &deadline.min(checkup)) {
            Wake::Woken => Ok(()),
            Wake::TimedOut => check_root(),
        }
    }
}

/// When to look again though nobody tells, if that is to be soon. It is asked before each sleep, as a handle may travel meanwhile.
pub(super) fn slice(travels: Option<&AtomicU32>) -> Option<Deadline> {
    let is_sliced = travels.is_some_and(|word| word.load(Acquire) != 0);
    is_sliced.then(|| Deadline::after(SLICE))
}

#[cfg(not(procession_loom))]
fn check_root() -> Result<(), FamilyError> {
    family::check_root()
}

/// A model's family ends with the model.
#[cfg(procession_loom)]
fn check_root() -> Result<(), FamilyError> {
    Ok(())
}
