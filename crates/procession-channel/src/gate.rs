//! Who has an item: the worker that was given it, or the parent that takes it back.
//!
//! Two words. `started` counts the items that the worker has ever begun, and only it writes there. The `ruling` says whether it may go
//! on; both write there, each time by compare-and-swap.
//!
//! | ruling | meaning |
//! |---|---|
//! | 0 | open: the worker begins one item after the other |
//! | 1 | asked: the parent wants back what has not begun |
//! | `(n << 2) \| 3` | ruled: the first `n` items are the worker's, the others the parent's |
//! | `(n << 2) \| 2` | shut: the same, for good |
//!
//! | transition | who | when |
//! |---|---|---|
//! | 0 -> 1 | parent | to take back every item that has not been begun |
//! | 1 -> `ruled(n)` | parent | behind a fence, with the `n` that it then finds in `started` |
//! | 1 -> `ruled(n)` | worker | about to begin item `n`, it finds that it was asked: it does not |
//! | 1 -> 0 | parent | the fence was refused: what the worker has begun cannot be known, and nothing is taken back |
//! | `ruled(n)` -> 0 | worker | when it reads the resume message that the parent sent after that |
//! | 1 or `ruled(n)` -> `shut(n)` | parent | it is about to end the worker, who may be about to resume |
//!
//! To begin item `n` the worker stores `n + 1` to `started`, *fence*, then looks at the ruling. The parent asks, *fence*, then looks at
//! `started`. So a worker that does not see the question has told of the item before the parent looks, and the item is the worker's. If
//! each sees the other, the ruling decides, and whoever comes second accepts what is there: a worker whose item is before the `n` that
//! the parent has ruled runs it, and is done then. So an item is begun by the worker or taken back by the parent, never both and never
//! neither. Nobody waits for anybody. The parent does not ask again before the worker has resumed.
//!
//! Rejected: one word that the worker moves by compare-and-swap for each item. It decides the same without a second word, and waits
//! each time until the result before has reached a cache line that the parent has: two fifths of a worker's time for short items.
//!
//! # Ordering
//!
//! * **E4** The store of `started` and the load of the ruling, against the store of the question and the load of `started`: a full fence
//!   on each side, or one of the parent's that counts for both ([`one_sided`](procession_shm::sync::one_sided)), because the
//!   worker does this for each item and the parent hardly ever.
//! * The same fence of the worker stands between a result that it has committed and its look at the bell of a parent that wants to be
//!   woken for each piece of news. The parent announces that, *the same fence of its own*, then looks for results: E3 of
//!   [`bell`](crate::bell). This saves the worker a fence for each item.
//!
//! # Crash points
//!
//! A worker killed before its store of `started` has not begun the item, killed after it has, unless there is a ruling that says
//! otherwise. One that is killed while it is asked leaves the ruling to the parent, who never waits for it.

use procession_shm::sync::atomic::{AtomicU64, Ordering};
use procession_shm::sync::one_sided::Fences;

const OPEN: u64 = 0;
const ASKED: u64 = 1;

/// The ruling that the first `n` items are the worker's.
const fn ruled(n: u64) -> u64 {
    n << 2 | 3
}

/// The same for good.
const fn shut(n: u64) -> u64 {
    n << 2 | 2
}

/// How many items are the worker's, if that is ruled.
const fn share(ruling: u64) -> Option<u64> {
    if ruling & 2 == 2 { Some(ruling >> 2) } else { None }
}

/// The words that decide who has an item.
///
/// ```
/// use procession_channel::gate::Gate;
/// use procession_shm::sync::atomic::AtomicU64;
/// use procession_shm::sync::one_sided::Fences;
///
/// let words = [const { AtomicU64::new(0) }; 2];
/// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
/// assert!(gate.begin(0));                               // the worker begins item 0
/// assert_eq!(gate.revoke(), Some(1));                   // the parent takes back what comes after it
/// assert!(!gate.begin(1) && gate.is_revoked());
/// gate.resume();
/// assert!(gate.begin(1));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    started: &'a AtomicU64,
    ruling: &'a AtomicU64,
    fences: Fences,
}

impl<'a> Gate<'a> {
    /// The gate in these words, which are 0 at first.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// assert_eq!(Gate::new(&words[0], &words[1], Fences::Mutual).started(), 0);
    /// ```
    #[inline]
    pub fn new(started: &'a AtomicU64, ruling: &'a AtomicU64, fences: Fences) -> Self {
        Self { started, ruling, fences }
    }

    /// The worker begins item `n`; false if the parent has taken it back.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// assert!(gate.begin(0) && gate.begin(1));
    /// gate.revoke();
    /// assert!(!gate.begin(2));
    /// ```
    #[inline]
    pub fn begin(self, n: u64) -> bool {
        self.started.store(n + 1, Ordering::Release);
        if !procession_shm::seeded!("gate-unfenced") {
            self.fences.frequent(); // E4
        }
        if procession_shm::seeded!("gate-not-asked") {
            return true;
        }
        self.ruling.load(Ordering::Acquire) == OPEN || self.is_mine(n)
    }

    /// Whether item `n`, which was about to begin, is the worker's although it is asked for.
    #[cold]
    fn is_mine(self, n: u64) -> bool {
        let decided =
            self.ruling.compare_exchange(ASKED, ruled(n), Ordering::SeqCst, Ordering::SeqCst);
        let is_mine = match decided {
            Ok(_) => false,
            Err(before) => share(before).is_none_or(|share| n < share),
        };
        if !is_mine {
            self.started.store(n, Ordering::Release);
        }
        is_mine
    }

    /// The worker goes on after a revocation.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// gate.revoke();
    /// gate.resume();
    /// assert!(gate.begin(0));
    /// ```
    pub fn resume(self) {
        let ruling = self.ruling.load(Ordering::SeqCst);
        // What was shut stays so.
        if ruling & 3 == 3 {
            // If it is not that any more, it was shut.
            let _shut =
                self.ruling.compare_exchange(ruling, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// The parent takes back all items that have not been begun, and learns how many were begun. `None` if that cannot be known: then
    /// nothing was taken back.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// assert!(gate.begin(0));
    /// assert_eq!(gate.revoke(), Some(1));                   // of these nothing is taken back
    /// ```
    pub fn revoke(self) -> Option<u64> {
        self.rule(ruled).or_else(|| self.withdraw())
    }

    /// As [`revoke`](Self::revoke), but the worker never begins anything again: neither where that cannot be known, nor when it reads
    /// a resume message that was sent before.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// assert_eq!(gate.revoke(), Some(0));
    /// assert_eq!(gate.close(), Some(0));
    /// gate.resume();
    /// assert!(!gate.begin(0));
    /// ```
    pub fn close(self) -> Option<u64> {
        let share = self.rule(shut)?;
        if self.shut_ruled(share) {
            return Some(share);
        }
        // That was an earlier ruling, and the worker has just resumed, which it does once.
        let share = self.rule(shut)?;
        self.shut_ruled(share);
        Some(share)
    }

    /// Makes a ruling one for good; false if the gate is open by now.
    fn shut_ruled(self, share: u64) -> bool {
        let (before, after) = (ruled(share), shut(share));
        let was = self.ruling.compare_exchange(before, after, Ordering::SeqCst, Ordering::SeqCst);
        was != Err(OPEN)
    }

    /// Asks, and rules unless the worker does, or that was done before.
    fn rule(self, verdict: fn(u64) -> u64) -> Option<u64> {
        let asked = self.ruling.compare_exchange(OPEN, ASKED, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(share) = asked.err().and_then(share) {
            return Some(share);
        }
        if !self.fences.rare() {
            return None; // E4 is not there.
        }
        let started = self.started.load(Ordering::SeqCst);
        let decided = self.ruling.compare_exchange(
            ASKED,
            verdict(started),
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        Some(decided.err().and_then(share).unwrap_or(started))
    }

    /// The parent does not want anything back any more, unless the worker has ruled.
    #[cold]
    fn withdraw(self) -> Option<u64> {
        let open = self.ruling.compare_exchange(ASKED, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        open.err().and_then(share)
    }

    /// Whether a revocation has not been answered by a resume yet.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// gate.revoke();
    /// assert!(gate.is_revoked());
    /// gate.resume();
    /// assert!(!gate.is_revoked());
    /// ```
    pub fn is_revoked(self) -> bool {
        self.ruling.load(Ordering::SeqCst) != OPEN
    }

    /// How many items were begun. Of a worker that lives it may be one that is just being decided.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let words = [const { AtomicU64::new(0) }; 2];
    /// let gate = Gate::new(&words[0], &words[1], Fences::Mutual);
    /// assert!(gate.begin(0));
    /// assert_eq!(gate.started(), 1);
    /// ```
    pub fn started(self) -> u64 {
        // A worker that was killed before it accepted a ruling has told of an item that it has not begun.
        let ruling = self.ruling.load(Ordering::SeqCst);
        let started = self.started.load(Ordering::SeqCst);
        share(ruling).map_or(started, |share| share.min(started))
    }
}
