//! Who has an item: the worker that was given it, or the parent that takes it back. One word decides.
//!
//! The word is `(started << 1) | revoked`, where `started` counts the items that the worker has ever begun.
//!
//! | transition | who | when |
//! |---|---|---|
//! | `(n, 0) -> (n + 1, 0)` | worker, compare-and-swap | before it begins item `n` |
//! | `(n, 0) -> (n, 1)` | parent, fetch-or | to take back every item that has not been begun |
//! | `(n, 1) -> (n, 0)` | worker, store | when it reads the resume message that the parent sent after that |
//!
//! The compare-and-swap fails exactly when the parent was faster; the worker then passes over everything up to the resume. So an
//! item is begun by the worker or taken back by the parent, never both and never neither. The parent does not revoke again
//! before the worker has resumed: the store of the third row would undo it.
//!
//! # Ordering
//!
//! * **E4** The worker's compare-and-swap also stands in for the fence of a bell that it rings right after: it commits a result,
//!   moves the gate, looks at the bell. The parent announces itself on the bell, looks at the gate with a read-modify-write,
//!   looks for results. The two read-modify-writes of one word have an order: if the parent's is the later one, it sees that
//!   the gate has moved and the result behind it; if the worker's is, it acquires the parent's announcement. So one of them
//!   sees the other. This saves the worker a fence for each item, and is why the parent's look is not a plain load.
//!
//! # Crash points
//!
//! A worker killed before the compare-and-swap has not begun the item, killed after it has. There is no state between.

use procession_shm::sync::atomic::{AtomicU64, Ordering};

const REVOKED: u64 = 1;

/// The word that decides who has an item.
///
/// ```
/// use procession_channel::gate::Gate;
/// use procession_shm::sync::atomic::AtomicU64;
///
/// let word = AtomicU64::new(0);
/// let gate = Gate::new(&word);
/// assert!(gate.begin(0));                               // the worker begins item 0
/// assert_eq!(gate.revoke(), 1);                         // the parent takes back what comes after it
/// assert!(!gate.begin(1) && gate.is_revoked());
/// gate.resume(1);
/// assert!(gate.begin(1));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    word: &'a AtomicU64,
}

impl<'a> Gate<'a> {
    /// The gate in this word, which is 0 at first.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// assert_eq!(Gate::new(&word).started(), 0);
    /// ```
    pub fn new(word: &'a AtomicU64) -> Self {
        Self { word }
    }

    /// The worker begins item `n`; false if the parent has taken it back.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// assert!(gate.begin(0) && gate.begin(1));
    /// gate.revoke();
    /// assert!(!gate.begin(2));
    /// ```
    #[inline]
    pub fn begin(self, n: u64) -> bool {
        let (before, after) = (n << 1, (n + 1) << 1);
        if procession_shm::seeded!("gate-not-asked") {
            self.word.store(after, Ordering::SeqCst);
            return true;
        }
        self.word.compare_exchange(before, after, Ordering::SeqCst, Ordering::SeqCst).is_ok() // E4
    }

    /// The worker, having begun `started` items, goes on after a revocation.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// gate.revoke();
    /// gate.resume(0);
    /// assert!(gate.begin(0));
    /// ```
    pub fn resume(self, started: u64) {
        self.word.store(started << 1, Ordering::SeqCst);
    }

    /// The parent takes back all items that have not been begun, and learns how many were begun.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// assert!(gate.begin(0));
    /// assert_eq!(gate.revoke(), 1);                         // of these nothing is taken back
    /// ```
    pub fn revoke(self) -> u64 {
        self.word.fetch_or(REVOKED, Ordering::SeqCst) >> 1
    }

    /// Whether a revocation has not been answered by a resume yet.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// gate.revoke();
    /// assert!(gate.is_revoked());
    /// gate.resume(0);
    /// assert!(!gate.is_revoked());
    /// ```
    pub fn is_revoked(self) -> bool {
        self.raw() & REVOKED != 0
    }

    /// How many items were begun.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// assert!(gate.begin(0));
    /// assert_eq!(gate.started(), 1);
    /// ```
    pub fn started(self) -> u64 {
        self.raw() >> 1
    }

    /// The parent's look at the word before it sleeps, to see whether it has moved.
    ///
    /// ```
    /// use procession_channel::gate::Gate;
    /// use procession_shm::sync::atomic::AtomicU64;
    ///
    /// let word = AtomicU64::new(0);
    /// let gate = Gate::new(&word);
    /// let before = gate.look();
    /// assert!(gate.begin(0));
    /// assert_ne!(gate.look(), before);
    /// ```
    #[inline]
    pub fn look(self) -> u64 {
        if procession_shm::seeded!("gate-unfenced") {
            return self.word.load(Ordering::Relaxed);
        }
        self.word.fetch_or(0, Ordering::SeqCst) // E4
    }

    fn raw(self) -> u64 {
        self.word.load(Ordering::SeqCst)
    }
}
