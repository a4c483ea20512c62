//! A place where a number of threads wait for each other.
//!
//! # Algorithm
//!
//! Rounds. Who arrives counts itself in a table of [`Holders`]; who finds that all have arrived moves the *round* on, which is
//! the one store that opens the barrier, and wakes the others. Arrivals pass through a [`Gate`], which one process
//! holds at a time while it adds up the table. What is counted for a round is counted on one *side*, odd or even, so moving
//! the round on makes all cells worth nothing at once.
//!
//! A round that cannot end well is *broken*: somebody in it died or ran out of time, found no cell left to be counted in, or
//! called [`abort`](Barrier::abort). It stays so, for who is in it and for who comes, until a reset moves the round on. Whether a round ended well or was broken is
//! noted beside it for the last 63 rounds, so that one who wakes up late learns the truth about its own; if it is later than
//! that, it is told that its round was broken.
//!
//! Rejected: a count of arrivals (a dead one is counted for ever). Rejected: to make all who arrived leave before the next
//! round begins (the dead and the stopped do not leave). Rejected: to refuse more parties than there are cells (parties are
//! threads, cells are processes, and nobody knows beforehand how many threads will come from how many processes).
//!
//! # Layout
//!
//! | field | what |
//! |---|---|
//! | `gate` | the [`Gate`] of those who arrive, break or reset |
//! | `round` | u32: bit 0 `BROKEN`, the others count rounds; the word waiters sleep on |
//! | `outcomes` | u64: bit n is set if the last round to end that is n modulo 64 was broken |
//! | `parties` | u32: how many must arrive |
//! | `arrivals` | a cell for each process of which some have arrived |
//!
//! # Invariants
//!
//! * **B1** `round`, `outcomes` and the table's counts of the present side change only behind the gate. Who is there sees them as they are (E1).
//! * **B2** The outcome of a round is noted before the round moves on, so who sees the next round sees it.
//! * **B3** When a round begins, no cell counts on its side: what the round before the last has left there is cleared before
//!   the round moves on.
//!
//! # Ordering
//!
//! * **E10** The store of `round` (release) pairs with the waiter's look at it (acquire): B2, and all that was done before the
//!   others arrived, which the opener saw through the gate (E1).
//!
//! # Crash points
//!
//! | killed | what is true | who repairs |
//! |---|---|---|
//! | before it is counted | it has not arrived; a gate with a dead owner is opened by who comes next | |
//! | counted, before the round moves on | a dead member has arrived: the round is broken | who waits, or comes next |
//! | after the round moved on | all have arrived; who sleeps is woken by the death | |

use std::fmt;
use std::time::Duration;

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::{Deadline, Shareable, wake_all};

use crate::LockError;
use crate::error::me;
use crate::gate::Gate;
use crate::holders::{COUNT_MAX, Holders, Side};
use crate::patience::{Limit, Nap, Patience};

const BROKEN: u32 = 1;
const ONE_ROUND: u32 = 2;
const OUTCOMES: u32 = 64;

/// Why a wait at a [`Barrier`] did not end with all of them there.
///
/// ```
/// use std::time::Duration;
/// use procession_sync::{Barrier, BarrierError};
///
/// let barrier = Barrier::new(2);
/// let alone = barrier.wait_timeout(Duration::from_millis(1));
/// assert!(matches!(alone, Err(BarrierError::TimedOut)));
/// assert!(matches!(barrier.wait(), Err(BarrierError::Broken)));
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// One of those who had arrived died or ran out of time, one who came was of more processes than there are places for,
    /// or somebody aborted or reset the barrier.
    #[error(
        "the barrier is broken: one who had arrived died or ran out of time, more processes came than it has places for, or it was aborted or reset; call `reset` to use it again"
    )]
    Broken,
    /// The others did not come in time. The barrier is broken now.
    #[error(
        "the others did not arrive at the barrier in time, and it is broken now; call `reset` to use it again"
    )]
    TimedOut,
    /// The caller could not be counted.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Who was who at a [`Barrier`].
///
/// ```
/// use procession_sync::{Barrier, BarrierWaitResult};
///
/// let result: BarrierWaitResult = Barrier::new(1).wait()?;
/// assert!(result.index() == 0 && result.is_leader());
/// # Ok::<(), procession_sync::BarrierError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u32,
    is_leader: bool,
}

impl BarrierWaitResult {
    /// When the caller arrived: 0 for the first, `parties - 1` for the last. No two in a round have the same.
    ///
    /// ```
    /// use procession_sync::Barrier;
    ///
    /// static BARRIER: Barrier = Barrier::new(2);
    ///
    /// let other = std::thread::spawn(|| BARRIER.wait());
    /// let indices = [BARRIER.wait()?.index(), other.join().unwrap()?.index()];
    /// assert!(indices == [0, 1] || indices == [1, 0]);
    /// # Ok::<(), procession_sync::BarrierError>(())
    /// ```
    pub fn index(self) -> u32 {
        self.index
    }

    /// Whether the caller arrived last, and so is the one of them to do what has to be done once.
    ///
    /// ```
    /// use procession_sync::Barrier;
    ///
    /// static BARRIER: Barrier = Barrier::new(2);
    ///
    /// let other = std::thread::spawn(|| BARRIER.wait());
    /// let leads = BARRIER.wait()?.is_leader();
    /// assert_ne!(leads, other.join().unwrap()?.is_leader());
    /// # Ok::<(), procession_sync::BarrierError>(())
    /// ```
    pub fn is_leader(self) -> bool {
        self.is_leader
    }
}

/// A barrier that lives in any memory, shared or not, and that a death breaks instead of blocking it.
///
/// It is what [`std::sync::Barrier`] is for threads, for threads of several processes, with errors instead of endless waits:
///
/// * **Death** of a process of which a thread had arrived breaks the barrier: all others get
///   [`Broken`](BarrierError::Broken). A process that dies before it arrives is one that never comes; nobody can tell it from
///   one that is late. [`wait_timeout`](Self::wait_timeout) is for that.
/// * **Broken** it stays, for all who wait and all who come, until [`reset`](Self::reset).
/// * **Reusable.** As soon as all have arrived the next round begins.
/// * **Work to be done once** is the leader's, after its `wait` has returned. If the others must wait for that work, let all
///   wait a second time. There is no action that runs inside the barrier: it could panic or die there.
/// * **Stopped processes** have arrived, or not, as they stand. One that is stopped in the few instructions in which it arrives
///   keeps all others from arriving, also those with a timeout, until it goes on or dies.
/// * **Zero parties** are as good as one: nobody waits.
/// * **`HOLDERS`** processes may wait at once (64 if not said otherwise), as many as 32,767 threads of each. One process more
///   gets [`TooManyHolders`](LockError::TooManyHolders) and breaks the barrier: without it the others would wait for ever.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::Barrier;
///
/// let barrier = Barrier::new(3);
/// let leaders = std::thread::scope(|scope| {
///     let wait = || barrier.wait().is_ok_and(|result| result.is_leader());
///     let threads = [(); 3].map(|()| scope.spawn(wait));
///     threads.map(|thread| thread.join().unwrap()).into_iter().filter(|leads| *leads).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
#[repr(C)]
pub struct Barrier<const HOLDERS: usize = 64> {
    gate: Gate,
    round: AtomicU32,
    parties: u32,
    outcomes: AtomicU64,
    arrivals: Holders<HOLDERS>,
}

// SAFETY: words that mean the same everywhere (members of the one family), no pointers.
unsafe impl<const HOLDERS: usize> Shareable for Barrier<HOLDERS> {}

impl Barrier {
    const_fn! {
        /// A barrier that lets `parties` threads through at a time, with places for 64 processes that wait.
        ///
        /// The parties may be more than 64, as long as the processes they belong to are not: where more processes are to
        /// meet, use [`with_holders`](Self::with_holders). If one process too many comes all the same, it gets
        /// [`TooManyHolders`](LockError::TooManyHolders) and the others [`Broken`](BarrierError::Broken); nobody waits for ever.
        ///
        /// # Panics
        ///
        /// If `parties` is over 2,097,088, which is more than 64 processes can ever count.
        ///
        /// ```
        /// use procession_sync::Barrier;
        ///
        /// assert_eq!(Barrier::new(3).parties(), 3);
        /// assert_eq!(Barrier::new(0).parties(), 1);
        /// ```
        pub fn new(parties: u32) -> Self {
            Self::with_holders(parties)
        }
    }
}

impl<const HOLDERS: usize> Barrier<HOLDERS> {
    const_fn! {
        /// A barrier that lets `parties` threads through at a time, with places for `HOLDERS` processes that wait; the
        /// process that comes when these are taken breaks it.
        ///
        /// ```
        /// use procession_sync::Barrier;
        ///
        /// let barrier: Barrier<256> = Barrier::with_holders(200); // 200 processes can meet here
        /// assert_eq!(barrier.parties(), 200);
        /// ```
        ///
        /// # Panics
        ///
        /// If `parties` is over 32,767 times `HOLDERS`, which are more than can ever be counted.
        pub fn with_holders(parties: u32) -> Self {
            let can_all_be_counted = parties as u64 <= HOLDERS as u64 * COUNT_MAX;
            assert!(can_all_be_counted, "more parties than a barrier with so few holders can count");
            Self {
                gate: Gate::new(),
                round: AtomicU32::new(0),
                parties: if parties == 0 { 1 } else { parties },
                outcomes: AtomicU64::new(0),
                arrivals: Holders::new(),
            }
        }
    }

    /// Waits until as many as there are parties have arrived, the caller included.
    ///
    /// It blocks until the last of them comes, or the barrier breaks.
    ///
    /// # Errors
    ///
    /// [`Broken`](BarrierError::Broken) when the barrier is broken or breaks, or is reset meanwhile;
    /// [`Lock`](BarrierError::Lock) with [`TooManyHolders`](LockError::TooManyHolders) when the table is full, with which the
    /// barrier is broken for the others, or with [`NotAMember`](LockError::NotAMember) in a process that is no member of the
    /// family, or is none any more.
    ///
    /// ```
    /// use procession_sync::Barrier;
    ///
    /// static BARRIER: Barrier = Barrier::new(2);
    ///
    /// let other = std::thread::spawn(|| BARRIER.wait());
    /// BARRIER.wait()?;                                      // both are here
    /// assert!(other.join().unwrap().is_ok());
    /// # Ok::<(), procession_sync::BarrierError>(())
    /// ```
    pub fn wait(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::NEVER)
    }

    /// Waits as [`wait`](Self::wait) does, but no longer than `timeout`; then it breaks the barrier, for the others can never
    /// be complete without the caller.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait), and [`TimedOut`](BarrierError::TimedOut) for the caller whose time was over.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_sync::{Barrier, BarrierError};
    ///
    /// let barrier = Barrier::new(2);
    /// let alone = barrier.wait_timeout(Duration::from_millis(1));
    /// assert!(matches!(alone, Err(BarrierError::TimedOut)) && barrier.is_broken());
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::Until(Deadline::after(timeout)))
    }

    /// Breaks the barrier: all who wait and all who come get [`Broken`](BarrierError::Broken), until a reset.
    ///
    /// # Errors
    ///
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more.
    ///
    /// ```
    /// use procession_sync::{Barrier, BarrierError};
    ///
    /// let barrier = Barrier::new(2);
    /// barrier.abort()?;
    /// assert!(matches!(barrier.wait(), Err(BarrierError::Broken)));
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn abort(&self) -> Result<(), LockError> {
        self.gate.pass(me()?, || {
            let round = self.round.load(Ordering::Relaxed); // B1
            self.break_round(round);
        })
    }

    /// Makes the barrier as good as new. Who waits meanwhile gets [`Broken`](BarrierError::Broken).
    ///
    /// # Errors
    ///
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more.
    ///
    /// ```
    /// use procession_sync::Barrier;
    ///
    /// let barrier = Barrier::new(1);
    /// barrier.abort()?;
    /// barrier.reset()?;
    /// assert!(barrier.wait().is_ok());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn reset(&self) -> Result<(), LockError> {
        self.gate.pass(me()?, || {
            let round = self.round.load(Ordering::Relaxed); // B1
            self.end_round(round, BROKEN);
        })
    }

    /// How many must arrive.
    ///
    /// ```
    /// assert_eq!(procession_sync::Barrier::new(4).parties(), 4);
    /// ```
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// How many have arrived and wait; it may have changed by the time it is returned.
    ///
    /// ```
    /// use procession_sync::Barrier;
    ///
    /// static BARRIER: Barrier = Barrier::new(2);
    ///
    /// assert_eq!(BARRIER.waiting(), 0);
    /// let other = std::thread::spawn(|| BARRIER.wait());
    /// while BARRIER.waiting() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// BARRIER.wait()?;
    /// # other.join().unwrap()?;
    /// # Ok::<(), procession_sync::BarrierError>(())
    /// ```
    pub fn waiting(&self) -> u32 {
        let round = self.round.load(Ordering::Acquire);
        let arrived = if is_broken(round) { 0 } else { self.arrivals.total(side_of(round)) };
        u32::try_from(arrived).unwrap_or(u32::MAX)
    }

    /// Whether the barrier is broken, as far as anybody has noticed.
    ///
    /// ```
    /// let barrier = procession_sync::Barrier::new(2);
    /// assert!(!barrier.is_broken());
    /// barrier.abort()?;
    /// assert!(barrier.is_broken());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn is_broken(&self) -> bool {
        is_broken(self.round.load(Ordering::Acquire))
    }

    fn wait_within(&self, limit: Limit) -> Result<BarrierWaitResult, BarrierError> {
        let me = me()?;
        let (round, index) = self.gate.pass(me, || self.arrive(me))??;
        let is_leader = index + 1 == self.parties;
        if !is_leader {
            self.await_others(round, limit)?;
        }
        Ok(BarrierWaitResult { index, is_leader })
    }

    /// Counts the caller, and opens the barrier if it is the last. Behind the gate.
    fn arrive(&self, me: Member) -> Result<(u32, u32), BarrierError> {
        let round = self.round.load(Ordering::Relaxed); // B1
        if is_broken(round) {
            return Err(BarrierError::Broken);
        }
        let side = side_of(round);
        if self.arrivals.has_dead_holder(side) {
            self.break_round(round);
            return Err(BarrierError::Broken);
        }
        let index = u32::try_from(self.arrivals.total(side)).unwrap_or(u32::MAX);
        if self.arrivals.claim_beside_the_dead(me, side).is_err() {
            // The others count on the caller, who cannot be counted. Who has died since that look stays counted, so that all who
            // wait see it.
            self.break_round(round);
            return Err(LockError::TooManyHolders { cells: HOLDERS }.into());
        }
        if index + 1 >= self.parties {
            self.end_round(round, 0);
        }
        Ok((round, index))
    }

    fn await_others(&self, round: u32, limit: Limit) -> Result<(), BarrierError> {
        let mut patience = Patience::new(limit);
        patience.spin(|| self.round.load(Ordering::Relaxed) != round);
        loop {
            let epoch = family::epoch().load(Ordering::Acquire); // E3
            if self.round.load(Ordering::Acquire) != round {
                return self.outcome(round);
            }
            if self.arrivals.dead_holder(side_of(round), &patience).is_some() {
                self.give_up(round)?;
                return self.outcome(round);
            }
            let words = [(&self.round, round), (family::epoch(), epoch)];
            if patience.is_over() || patience.nap(words) == Nap::TimedOut {
                let was_mine = self.give_up(round)?;
                return if was_mine { Err(BarrierError::TimedOut) } else { self.outcome(round) };
            }
        }
    }

    /// Breaks the round if it still lasts, and says whether it did. Who is no member any more because the family has ended
    /// learns that, and leaves it to the others to learn it, too.
    fn give_up(&self, round: u32) -> Result<bool, LockError> {
        self.gate.pass(me()?, || {
            let lasts = self.round.load(Ordering::Relaxed) == round; // B1
            if lasts {
                self.break_round(round);
            }
            lasts
        })
    }

    /// What became of a round that does not last any more. Its bit may be the present round's from the 64th on.
    fn outcome(&self, round: u32) -> Result<(), BarrierError> {
        let outcomes = self.outcomes.load(Ordering::Acquire);
        let now = self.round.load(Ordering::Acquire); // E10
        let since = (now / ONE_ROUND).wrapping_sub(round / ONE_ROUND) % (u32::MAX / ONE_ROUND + 1);
        let was_broken = since == 0 || since >= OUTCOMES || outcomes & outcome_bit(round) != 0;
        if was_broken { Err(BarrierError::Broken) } else { Ok(()) }
    }

    /// Lets nobody through in this round any more. Behind the gate.
    fn break_round(&self, round: u32) {
        self.round.store(round | BROKEN, Ordering::Release);
        wake_all(&self.round, false);
    }

    /// Begins the next round; the store of the round is the commit point. Behind the gate.
    fn end_round(&self, round: u32, outcome: u32) {
        self.arrivals.keep_only(side_of(round)); // B3
        let bit = outcome_bit(round);
        if outcome == BROKEN {
            self.outcomes.fetch_or(bit, Ordering::AcqRel);
        } else {
            self.outcomes.fetch_and(!bit, Ordering::AcqRel);
        }
        let next = (round & !BROKEN).wrapping_add(ONE_ROUND);
        self.round.store(next, Ordering::Release); // B2, E10
        wake_all(&self.round, false);
    }
}

fn is_broken(round: u32) -> bool {
    round & BROKEN != 0
}

fn side_of(round: u32) -> Side {
    Side::of_round(round / ONE_ROUND)
}

fn outcome_bit(round: u32) -> u64 {
    1 << (round / ONE_ROUND % OUTCOMES)
}

impl<const HOLDERS: usize> fmt::Debug for Barrier<HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish()
    }
}

#[cfg(all(test, procession_loom))]
impl<const HOLDERS: usize> Barrier<HOLDERS> {
    /// Counts `me`, who does not wait.
    pub(crate) fn only_arrive(&self, me: Member) {
        self.gate.pass(me, || self.arrive(me)).unwrap().unwrap();
    }

    /// Whether a dead member has arrived in the present round, or the first round is over.
    pub(crate) fn the_dead_had_arrived(&self) -> bool {
        let round = self.round.load(Ordering::Acquire);
        round != 0 || self.arrivals.has_dead_holder(side_of(round))
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use super::*;

    fn barrier_in_round(round: u32, outcomes: u64) -> Barrier<2> {
        let barrier = Barrier::with_holders(2);
        barrier.round.store(round * ONE_ROUND, Ordering::Relaxed);
        barrier.outcomes.store(outcomes, Ordering::Relaxed);
        barrier
    }

    #[test]
    fn the_outcomes_of_the_last_rounds_are_known() {
        let barrier = barrier_in_round(OUTCOMES - 1, 1 << 3);
        let was_broken = |round: u32| barrier.outcome(round * ONE_ROUND).is_err();
        assert!((0..OUTCOMES - 1).all(|round| was_broken(round) == (round == 3)));
    }

    /// Round 0 was broken. Round 64 is about to end well, and has noted so in the same bit.
    #[test]
    fn a_round_whose_bit_may_be_anothers_counts_as_broken() {
        let barrier = barrier_in_round(OUTCOMES, 0);
        assert!(matches!(barrier.outcome(0), Err(BarrierError::Broken)));
    }

    #[test]
    fn rounds_are_counted_beyond_the_end_of_their_word() {
        let barrier = barrier_in_round(0, 0);
        let last = u32::MAX / ONE_ROUND * ONE_ROUND;
        assert!(barrier.outcome(last).is_ok());
        assert!(barrier.outcome(last - OUTCOMES * ONE_ROUND).is_err());
    }
}
