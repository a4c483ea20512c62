//! How long somebody waits, and how it passes the time.
//!
//! Every sleep is on two words, the primitive's own and the family's death epoch, and ends by itself after 100 ms, then 1 s,
//! then every 10 s for a *check-up*: the second line, in which the kernel is asked about the owner and the words are looked
//! at again. It is there for what should not happen: a death that the family's root did not see, and the root's own. No
//! algorithm here needs it.

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::AtomicU32;
use procession_shm::{Deadline, Spin, Wake, Watch, wait};

/// How long somebody is ready to wait.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Not at all.
    Try,
    /// Until then; one look is taken even if that is in the past.
    Until(Deadline),
    /// For so many naps: no time passes in a model.
    #[cfg(all(test, procession_loom))]
    Naps(u32),
}

impl Limit {
    /// As long as it takes.
    pub const NEVER: Self = Self::Until(Deadline::NEVER);
}

/// Why a nap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nap {
    /// Something may have changed, or it is time for a check-up.
    Over,
    /// There is no time left.
    TimedOut,
}

/// One caller's waiting for one thing.
pub(crate) struct Patience {
    limit: Limit,
    naps: u32,
    checkups: u32,
    checkup_due: bool,
}

impl Patience {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, naps: 0, checkups: 0, checkup_due: false }
    }

    pub(crate) fn is_try(&self) -> bool {
        matches!(self.limit, Limit::Try)
    }

    /// Whether there is no time left for a nap.
    pub(crate) fn is_over(&self) -> bool {
        match &self.limit {
            Limit::Try => true,
            Limit::Until(deadline) => deadline.is_over(),
            #[cfg(all(test, procession_loom))]
            Limit::Naps(naps) => self.naps >= *naps,
        }
    }

    fn deadline(&self) -> Deadline {
        match self.limit {
            Limit::Until(deadline) => deadline,
            _ => Deadline::NEVER,
        }
    }

    /// Whether the caller has slept, and so may have used up a wake-up.
    pub(crate) fn has_slept(&self) -> bool {
        self.naps > 0
    }

    /// Whether the last nap ended for no other reason than that it is time for a check-up.
    pub(crate) fn checkup_is_due(&self) -> bool {
        self.checkup_due
    }

    /// Before its first nap the caller looks for a while, if another core can make progress meanwhile.
    pub(crate) fn spin(&self, ready: impl FnMut() -> bool) {
        if self.is_try() || self.has_slept() {
            return;
        }
        // Two want to run at the same time: who waits and who is waited for.
        let spin = Spin::for_parties(2);
        // Without a budget there is no look here: the caller's own comes next.
        if spin != Spin::NONE {
            spin.until_backing_off(ready);
        }
    }

    /// Whether `owner` is dead: by the family's table, and if a check-up is due, by the kernel.
    pub(crate) fn finds_dead(&self, owner: Member) -> bool {
        !family::is_alive(owner) || (self.checkup_due && !family::verify(owner))
    }

    /// Sleeps until one of the words is woken or has changed, it is time for a check-up, or time is over.
    pub(crate) fn nap(&mut self, words: [(&AtomicU32, u32); 2]) -> Nap {
        let deadline = self.deadline();
        let words = words.map(|(word, seen)| Watch::shared(word, seen));
        let until = deadline.min(family::recheck_deadline(self.checkups));
        self.naps = self.naps.saturating_add(1);
        self.checkup_due = false;
        match wait(&words, &until) {
            Wake::Woken => Nap::Over,
            Wake::TimedOut if deadline.is_over() => Nap::TimedOut,
            // The family has ended: whoever asks who he is finds out.
            Wake::TimedOut if family_has_ended() => Nap::TimedOut,
            Wake::TimedOut => {
                self.checkups = self.checkups.saturating_add(1);
                self.checkup_due = true;
                Nap::Over
            }
        }
    }
}

#[cfg(not(procession_loom))]
fn family_has_ended() -> bool {
    family::check_root().is_err()
}

/// A model's family ends with the model.
#[cfg(procession_loom)]
fn family_has_ended() -> bool {
    false
}
