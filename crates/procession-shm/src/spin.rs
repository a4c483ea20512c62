//! How long to look at a word before sleeping on it.
//!
//! Waking a sleeper on another core costs 30 to 40 µs on a virtual machine and 5 µs on bare metal; looking costs 0.1 µs and
//! the core. So a short look pays, but only while whoever is to change the word can run at the same time: on a machine whose
//! cores are all busy, spinning takes the time slice away from the very process that is waited for. The policy is therefore
//! told how many parties want a core, and gives no time at all when they are more than the cores this process may use. How many
//! these are is counted when the first one asks; an affinity that has become wider is noticed by who sleeps, within about a second.

use std::time::{Duration, Instant};

use crate::sync::hint::spin_loop;

/// How many pauses are made between two looks at the clock, which costs as much as a dozen of them.
const PAUSES_PER_CLOCK: u32 = 32;

/// The distance of two looks at a word that others keep writing: 0.5 to 2 µs, by what a pause is on the processor.
const PAUSES_BACKING_OFF: u32 = 32;

const HOLD_OFF: Duration = Duration::from_micros(1);

/// A budget of time for looking at a word before sleeping on it.
///
/// ```
/// use procession_shm::Spin;
///
/// let mut looks = 0;
/// let found = Spin::BRIEF.until(|| { looks += 1; looks == 3 });
/// assert!(found && looks == 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spin {
    budget: Duration,
}

impl Spin {
    /// Do not spin: look once, then sleep.
    ///
    /// ```
    /// use procession_shm::Spin;
    ///
    /// let mut looks = 0;
    /// assert!(!Spin::NONE.until(|| { looks += 1; false }));
    /// assert_eq!(looks, 1);
    /// ```
    pub const NONE: Self = Self { budget: Duration::ZERO };

    /// About what a sleep and a wake-up across cores cost: nobody loses more by looking than sleeping would have cost him.
    ///
    /// ```
    /// use procession_shm::Spin;
    ///
    /// let mut looks = 0;
    /// assert!(!Spin::BRIEF.until(|| { looks += 1; false }));
    /// assert!(looks > 1);
    /// ```
    pub const BRIEF: Self = Self { budget: Duration::from_micros(40) };

    /// [`BRIEF`](Self::BRIEF) if `parties` that want to run at the same time, this one included, can all have a core of those
    /// that this process may use, else [`NONE`](Self::NONE).
    ///
    /// The cores are those of its CPU affinity, or as many as the quotas of its cgroup allow if these are fewer. They are
    /// counted at the first call, or [learned](Self::learn_cores) before; a process whose affinity changes goes by the new one when
    /// it sleeps in [`wait`](crate::wait()) a second later or more. A quota that changes later is not noticed by itself.
    ///
    /// ```
    /// use procession_shm::Spin;
    ///
    /// assert_eq!(Spin::for_parties(1), Spin::BRIEF);
    /// assert_eq!(Spin::for_parties(usize::MAX), Spin::NONE);
    /// ```
    #[cfg(not(procession_loom))]
    pub fn for_parties(parties: usize) -> Self {
        Self::on_cores(parties, crate::cores::cores())
    }

    /// A look in a model is as good as any number of them.
    #[cfg(procession_loom)]
    pub fn for_parties(_parties: usize) -> Self {
        Self::NONE
    }

    /// How many cores this process believes it can use at a time: what [`for_parties`](Self::for_parties) goes by, and what a
    /// process tells those that it starts.
    ///
    /// ```
    /// assert!(procession_shm::Spin::cores() >= 1);
    /// ```
    #[cfg(not(procession_loom))]
    #[must_use]
    pub fn cores() -> usize {
        crate::cores::cores()
    }

    /// Believes in at least `cores` cores, because whoever has started this process can use them: a process that is confined
    /// to one core still has peers on the others. For the first moments of a process; it saves the look into the files of the
    /// cgroup, which a sandbox may forbid.
    ///
    /// ```
    /// use procession_shm::Spin;
    ///
    /// Spin::learn_cores(4);
    /// assert!(Spin::cores() >= 4);
    /// assert_eq!(Spin::for_parties(4), Spin::BRIEF);
    /// ```
    #[cfg(not(procession_loom))]
    pub fn learn_cores(cores: usize) {
        crate::cores::learn(cores);
    }

    #[cfg(not(procession_loom))]
    fn on_cores(parties: usize, cores: usize) -> Self {
        if parties <= cores { Self::BRIEF } else { Self::NONE }
    }

    /// Looks until `ready` says true or the budget is used up, and returns what it said last.
    ///
    /// ```
    /// use procession_shm::Spin;
    /// use procession_shm::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let ready = AtomicU32::new(1);
    /// if !Spin::for_parties(2).until(|| ready.load(Ordering::Acquire) == 1) {
    ///     unreachable!("here one would sleep");
    /// }
    /// ```
    #[inline]
    pub fn until(self, mut ready: impl FnMut() -> bool) -> bool {
        ready() || (self != Self::NONE && self.look_on(ready))
    }

    /// Like [`until`](Self::until), for a word at which the caller has just looked and which those who are waited for keep
    /// writing, such as a lock's. Each look takes the cache line from them in the middle of what they do, and who keeps it does
    /// many things in a row without waiting. So looks are about a microsecond apart, also the first from the call. From the
    /// second look on others are offered this core before: whoever is waited for may be waiting for it.
    ///
    /// ```
    /// use procession_shm::Spin;
    ///
    /// assert!(Spin::BRIEF.until_backing_off(|| true));
    /// assert!(!Spin::NONE.until_backing_off(|| false));
    /// ```
    pub fn until_backing_off(self, mut ready: impl FnMut() -> bool) -> bool {
        if self == Self::NONE {
            return ready();
        }
        let start = Instant::now();
        loop {
            (0..PAUSES_BACKING_OFF).for_each(|_| spin_loop());
            if ready() {
                return true;
            }
            if start.elapsed() >= self.budget {
                return false;
            }
            std::thread::yield_now();
        }
    }

    /// Does not look for about a microsecond, in which another core can do a good many small things undisturbed. Does nothing
    /// where there is no budget.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use procession_shm::Spin;
    ///
    /// let start = Instant::now();
    /// Spin::BRIEF.hold_off();
    /// assert!(start.elapsed() >= Duration::from_micros(1));
    /// Spin::NONE.hold_off();                                // does nothing
    /// ```
    pub fn hold_off(self) {
        if self == Self::NONE {
            return;
        }
        let start = Instant::now();
        while start.elapsed() < HOLD_OFF {
            spin_loop();
        }
    }

    fn look_on(self, mut ready: impl FnMut() -> bool) -> bool {
        let mut looks = 0;
        let mut start = None;
        loop {
            if ready() {
                return true;
            }
            spin_loop();
            looks += 1;
            // Most waits that end soon end before the first look at the clock.
            if looks % PAUSES_PER_CLOCK == 0
                && start.get_or_insert_with(Instant::now).elapsed() >= self.budget
            {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_budget_looks_once() {
        let mut looks = 0;
        assert!(!Spin::NONE.until(|| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
    }

    #[test]
    fn a_budget_ends() {
        assert!(!Spin::BRIEF.until(|| false));
        assert!(!Spin::BRIEF.until_backing_off(|| false));
    }

    #[test]
    #[cfg(not(procession_loom))]
    fn more_parties_than_cores_do_not_spin() {
        assert_eq!(Spin::on_cores(2, 2), Spin::BRIEF);
        assert_eq!(Spin::on_cores(3, 2), Spin::NONE);
    }
}
