//! The lock under the locks: one word that says who holds it, and what its holder's death means.
//!
//! [`Mutex`](crate::Mutex), the writers of [`RwLock`](crate::RwLock), the initializer of [`OnceLock`](crate::OnceLock) and
//! the gates in front of the tables of [`Semaphore`](crate::Semaphore) and [`Barrier`](crate::Barrier) are all this lock.
//!
//! # Algorithm
//!
//! Taking a free lock is one compare-and-swap that writes the taker's name; giving it back is one swap. Whoever finds it
//! taken notes in the word that there are waiters, and sleeps on a second word, the *turn*, and on the family's death epoch.
//! A holder that finds waiters noted when it gives the lock back moves the turn and wakes one. A waiter that gets the lock
//! after it slept takes it with waiters noted, since it cannot know whether it was the last.
//!
//! Rejected: the kernel's robust futexes, that is, `PTHREAD_MUTEX_ROBUST`. A holder that is killed between its unlock and its
//! wake leaves a sleeper asleep on a lock that others take and give back without a wake; the kernel wakes somebody only for
//! a word that names the dead. Here *every* death wakes everybody, who look again. Rejected: to sleep on the lower half of
//! the lock's own word. Rust's memory model has no accesses of different sizes to the same bytes, and a kernel's look at 32
//! bits of a word that others change 64 bits at a time is one; a word of its own costs a contended unlock one increment.
//! Rejected: tickets and queues of waiters (a fair lock hands itself to the next in line, who may be dead or stopped).
//!
//! # Layout
//!
//! | offset | word |
//! |---|---|
//! | 0 | `word`: u64, see below |
//! | 8 | `turn`: u32, moved by each unlock that found waiters; the word waiters sleep on |
//!
//! | bits of `word` | meaning |
//! |---|---|
//! | 0-15 | the slot of the owner, 0 if nobody holds the lock |
//! | 16 `WAITERS` | held only: the owner must move the turn and wake when it gives the lock back |
//! | 17 `DIRTY` | held only: the owner may be writing what the lock guards, so its death tears it |
//! | 18 `POISONED` | open only: a thread panicked while it held the lock |
//! | 19 `TORN` | open only: an owner died while `DIRTY`; bits 32-63 are its pid, 0 if unknown |
//! | 20 `DONE` | open only: an initializer has succeeded |
//! | 32-63 | the generation of the owner |
//!
//! Slot and generation are in one word so that one compare-and-swap claims the lock *and* says for whom: there is no moment at
//! which it is taken by nobody.
//!
//! # Transitions
//!
//! | from | to | by | function |
//! |---|---|---|---|
//! | open | held by me | anybody; if marked, only who comes to repair | [`Lock::enter`] |
//! | held | held, `WAITERS` | a waiter | `Lock::announce` |
//! | held by me | held by me, `DIRTY` | the owner | [`Lock::soil`] |
//! | held by me | open, any mark | the owner | [`Lock::leave`] |
//! | held by a dead member, `DIRTY` | open, `TORN` | anybody | `Lock::bury` |
//! | held by a dead member | open | anybody | `Lock::bury` |
//! | open, `POISONED` | open | anybody | [`Lock::clear_poison`] |
//!
//! # Invariants
//!
//! * **L1** Only the owner changes what the lock guards, and only while the word names it and is `DIRTY`.
//! * **L2** A lock that is marked `TORN` or `POISONED` is given only to who asks for it as such ([`Claim::repair`]), who is
//!   `DIRTY` from the start: if it dies in turn, the lock is torn again.
//! * **L3** Whoever has slept and then goes away without the lock may have used up the one wake-up there was, and somebody
//!   may have taken the lock since without knowing of other sleepers. So it first notes waiters, or, if the lock was marked
//!   meanwhile, wakes them itself, unless L4 has it done already.
//! * **L4** Whoever marks a lock as `TORN` wakes all, whether or not waiters are noted; who sleeps from then on has noted itself
//!   with somebody who came to repair, and who wakes all when he gives the lock back as torn as it was. So of many who wait for
//!   an owner that dies, one wakes the others, and not each of them all.
//!
//! # Ordering
//!
//! * **E1** [`Lock::leave`] (swap, release) and `Lock::bury` pair with the claim in [`Lock::enter`] (compare-and-swap,
//!   acquire): what was written under the lock.
//! * **E2** The look at the turn at the start of a round of `Lock::contend` (acquire) pairs with the move of the turn in
//!   `Lock::wake` (release): a waiter that sees the new turn sees the word as it was after that unlock. With the acquire half
//!   of the swap in [`Lock::leave`], a wake can only be missed by a waiter whose note it did not see, and that one
//!   finds the lock open.
//! * **E3** The epoch is loaded (acquire) before the owner is looked up in the family's table; the family marks the dead
//!   before it moves the epoch. So a death is either seen in the table or ends the sleep.
//! * **E4** The family marks the dead (release) and `family::is_alive` sees it (acquire): what the dead wrote.
//! * **E11** The claim (release) pairs with the look at the word in `Lock::look` (acquire): who reads the owner's name sees in
//!   the family's table that it is a member.
//!
//! # Crash points
//!
//! | the owner is killed | what is true | who repairs |
//! |---|---|---|
//! | before its claim | nothing has happened | |
//! | after its claim | the word names a dead owner | whoever comes next: `bury` |
//! | after its swap, before it moves the turn or wakes | the lock is open, sleepers sleep | its death wakes all |
//!
//! A waiter killed after it was woken has used up a wake-up; its death wakes all. Killed in `bury`: either the
//! compare-and-swap has happened or not, and its own death wakes those whom it would have woken.
//!
//! # Not guaranteed
//!
//! Fairness: who comes while the lock is free may take it before somebody who was woken. A waiter that is stopped between being
//! woken and looking keeps the wake-up; the other sleepers find the lock free when they next check up. A thread that takes a lock twice
//! waits for itself for ever: the word names a process, not a thread, so it cannot be told from waiting for another thread.

use std::fmt;

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::{Shareable, wake_all, wake_one};

mod word;

use self::word::{State, Word};
use crate::patience::{Limit, Nap, Patience};

pub use self::word::Mark;

/// The lock under the locks.
#[repr(C)]
pub struct Lock {
    word: AtomicU64,
    turn: AtomicU32,
}

/// How a lock is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Its owner's death tears what it guards.
    pub dirty: bool,
    /// It is taken even if it is marked.
    pub repair: bool,
}

/// What came of asking for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The caller holds it; it was marked so.
    Taken(Mark),
    /// Nobody gets it, because it is marked so.
    Refused(Mark),
    /// Somebody else held it for too long.
    TimedOut,
}

/// Whom to wake when a lock is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// One of those who want to have it.
    Next,
    /// All: the lock is marked from now on, or there are waiters who do not want to have it.
    Everybody,
}

// SAFETY: words that mean the same everywhere (members of the one family), no pointers.
unsafe impl Shareable for Lock {}

impl Lock {
    const_fn! {
        /// A lock that nobody holds.
        #[expect(clippy::new_without_default, reason = "it is made in statics")]
        pub fn new() -> Self {
            Self { word: AtomicU64::new(0), turn: AtomicU32::new(0) }
        }
    }

    /// Takes the lock in the name of `me`, waiting as long as `limit` says, which only who has to wait asks for.
    #[inline]
    pub fn enter(&self, me: Member, claim: Claim, limit: impl Into<Limit>) -> Entry {
        if self.claim(me, claim) {
            Entry::Taken(Mark::CLEAN)
        } else {
            self.contend(me, claim, limit.into())
        }
    }

    /// Takes the lock if it is free and clean: the one compare-and-swap of a lock that nobody else wants.
    #[inline]
    pub fn claim(&self, me: Member, claim: Claim) -> bool {
        let mine = Word::held(me, claim.dirty, false);
        self.word.compare_exchange(0, mine.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() // E1, E11
    }

    /// Gives the lock back, which says `mark` from then on. Only for its owner: the swap is the commit point.
    #[inline]
    pub fn leave(&self, mark: Mark, call: Call) {
        let was = Word(self.word.swap(mark.0, Ordering::AcqRel)); // E1, E2
        if was.has_waiters() && !procession_shm::seeded!("unlock-without-wake") {
            self.wake(call);
        }
    }

    /// From here on the death of the owner, who is the caller, tears what the lock guards.
    pub(crate) fn soil(&self) {
        self.word.fetch_or(Word::DIRTY_BIT, Ordering::AcqRel);
    }

    /// What the lock is marked with, or `None` while it is held, be it by the living or the dead.
    #[inline]
    pub(crate) fn mark(&self) -> Option<Mark> {
        match Word(self.word.load(Ordering::Acquire)).state() {
            State::Open(mark) => Some(mark),
            State::Held(_) => None,
        }
    }

    /// What the lock is marked with, for a caller who has it to itself: a living owner has forgotten it, a dead one counts as
    /// buried.
    pub(crate) fn mark_without_owner(&self) -> Mark {
        let word = Word(self.word.load(Ordering::Acquire));
        match word.state() {
            State::Open(mark) => mark,
            State::Held(owner) if family::is_alive(owner) => Mark::CLEAN,
            State::Held(owner) => word.after_death_of(owner),
        }
    }

    /// Waits until nobody holds the lock and says what it is marked with, without taking it; `None` if that takes too long.
    /// Who gives back a lock that is used so must call everybody.
    pub(crate) fn await_open(&self, limit: Limit) -> Option<Mark> {
        if let Some(mark) = self.mark() {
            return Some(mark);
        }
        let mut patience = Patience::new(limit);
        loop {
            match self.look(&patience) {
                Seen::Open(mark) => return Some(mark),
                Seen::Held(seen) if !self.sleep(seen, &mut patience) => return None,
                Seen::Held(_) | Seen::Buried => {}
            }
        }
    }

    /// Takes the poison away, and nothing else.
    pub(crate) fn clear_poison(&self) {
        let (from, to) = (Mark::POISONED.0, Mark::CLEAN.0);
        // Whatever else the word says now, it does not say poisoned.
        let _ = self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
    }

    #[cold]
    fn contend(&self, me: Member, claim: Claim, limit: Limit) -> Entry {
        let mut patience = Patience::new(limit);
        loop {
            match self.look(&patience) {
                Seen::Open(mark) if !mark.is_clean() && !claim.repair => {
                    if patience.has_slept() && !mark.is_torn() {
                        self.wake(Call::Everybody); // L3, L4
                    }
                    return Entry::Refused(mark);
                }
                Seen::Open(mark) => {
                    let dirty = claim.dirty || !mark.is_clean(); // L2
                    let note =
                        patience.has_slept() && !procession_shm::seeded!("waiter-forgets-others");
                    let mine = Word::held(me, dirty, note);
                    if self.change(Word(mark.0), mine) {
                        return Entry::Taken(mark); // E1
                    }
                }
                Seen::Held(seen) if !self.sleep(seen, &mut patience) => return Entry::TimedOut,
                Seen::Held(_) | Seen::Buried => {}
            }
        }
    }

    /// Looks at the word, for a while if that is worth it, and takes it from an owner that is dead.
    fn look(&self, patience: &Patience) -> Seen {
        patience.spin(|| {
            // This says only when it is worth looking, which is done below.
            let word = Word(self.word.load(Ordering::Relaxed));
            word.has_waiters() || matches!(word.state(), State::Open(_))
        });
        let turn = self.turn.load(Ordering::Acquire); // E2
        let epoch = family::epoch().load(Ordering::Acquire); // E3
        let word = Word(self.word.load(Ordering::Acquire)); // E11
        match word.state() {
            State::Open(mark) => Seen::Open(mark),
            State::Held(owner)
                if patience.finds_dead(owner) && !procession_shm::seeded!("owner-not-checked") =>
            {
                self.bury(word, owner);
                Seen::Buried
            }
            State::Held(_) => Seen::Held(Sighting { word, turn, epoch }),
        }
    }

    /// Sleeps until what was seen may have changed; says `false` when there is no time left to look again.
    fn sleep(&self, seen: Sighting, patience: &mut Patience) -> bool {
        if patience.is_try() {
            return false;
        }
        if !self.announce(seen.word) {
            return true; // the word has changed, look again
        }
        if patience.is_over() {
            return false; // L3
        }
        let words = [(&self.turn, seen.turn), (family::epoch(), seen.epoch)];
        patience.nap(words) != Nap::TimedOut || self.mark().is_some()
    }

    /// Notes that there are waiters, if the word still is what was seen.
    fn announce(&self, seen: Word) -> bool {
        seen.has_waiters() || self.change(seen, seen.with_waiters())
    }

    /// Takes the lock from a dead owner, if it is still as it was seen, and tells everybody.
    #[cold]
    fn bury(&self, seen: Word, owner: Member) {
        let mark = seen.after_death_of(owner);
        if self.change(seen, Word(mark.0)) && (seen.has_waiters() || mark.is_torn()) {
            self.wake(Call::Everybody); // L4
        }
    }

    fn change(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wake(&self, call: Call) {
        self.turn.fetch_add(1, Ordering::Release); // E2
        match call {
            Call::Next => {
                // Nobody there: whoever noted itself as a waiter finds the turn moved, and does not sleep.
                wake_one(&self.turn, false);
            }
            Call::Everybody => {
                wake_all(&self.turn, false);
            }
        }
    }
}

/// What one look at a lock found.
enum Seen {
    Open(Mark),
    Held(Sighting),
    /// The owner was dead and the lock is open now.
    Buried,
}

/// The words as they were at one look, all of which must still be so for a sleep to begin.
#[derive(Clone, Copy)]
struct Sighting {
    word: Word,
    turn: u32,
    epoch: u32,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Word(self.word.load(Ordering::Relaxed)).fmt(f)
    }
}

#[cfg(all(test, procession_loom))]
impl Lock {
    /// What robust futexes do at a death: wake one if nobody living holds the lock.
    pub(crate) fn wake_as_a_kernel_does(&self) {
        let word = Word(self.word.load(Ordering::Acquire));
        let held = matches!(word.state(), State::Held(owner) if family::is_alive(owner));
        if !held {
            self.wake(Call::Next);
        }
    }
}
