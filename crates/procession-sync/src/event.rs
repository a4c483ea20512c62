//! Something that has happened, or not yet.
//!
//! # Algorithm
//!
//! One word: whether the event is set, whether somebody may sleep, and how often it was set. A waiter that finds it not
//! set remembers how often it was set until then, and is done as soon as it is set *or was set meanwhile*. So an event that
//! is set and cleared again while a waiter falls asleep is not missed.
//!
//! Rejected: a lock inside. An event that is set in a signal handler while the same thread waits on it would wait for itself.
//!
//! # Layout
//!
//! | bits | meaning |
//! |---|---|
//! | 0 `SET` | the event is set |
//! | 1 `SLEEPERS` | somebody may sleep; only while not set |
//! | 2-31 | how often it was set, modulo 2^30 |
//!
//! # Ordering
//!
//! * **E9** [`Event::set`] (compare-and-swap, release) pairs with the looks of [`Event::is_set`] and [`Event::wait`]
//!   (acquire): what was done before the event.
//!
//! Everything that matters is in one word, so a waiter's note that it is about to sleep and a setter's look at that note
//! cannot miss each other.
//!
//! # Crash points
//!
//! Killed before its compare-and-swap, a setter has not set the event; killed after it and before it wakes, it has, and its
//! death wakes all who sleep. A dead waiter costs one needless wake.
//!
//! # Not guaranteed
//!
//! 2^30 times set and cleared while one waiter is between two instructions would be missed by that waiter.

use std::fmt;
use std::time::Duration;

use procession_shm::family;
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::{Deadline, Shareable, Waitable, Watch, wake_all};

use crate::LockError;
use crate::error::me;
use crate::patience::{Limit, Nap, Patience};

const SET: u32 = 1;
const SLEEPERS: u32 = 2;
const ONE_SET: u32 = 4;

/// A flag that processes can wait for. It lives in any memory, shared or not.
///
/// Once set it stays set until it is [cleared](Self::clear), also when the process that set it dies. A waiter that waits
/// when the event is set is woken even if the event is cleared before the waiter can look.
///
/// [`set`](Self::set), [`clear`](Self::clear) and [`is_set`](Self::is_set) take no lock; a signal handler may call them at any
/// time.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::Event;
///
/// static STARTED: Event = Event::new();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| STARTED.set());
///     STARTED.wait()
/// })?;
/// assert!(STARTED.is_set());
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct Event {
    word: AtomicU32,
}

// SAFETY: a word that means the same everywhere, no pointers.
unsafe impl Shareable for Event {}

impl Event {
    const_fn! {
        /// An event that is not set.
        ///
        /// ```
        /// static STOP: procession_sync::Event = procession_sync::Event::new();
        ///
        /// assert!(!STOP.is_set());
        /// ```
        pub fn new() -> Self {
            Self { word: AtomicU32::new(0) }
        }
    }

    /// Sets the event and wakes all who wait for it. It does nothing if the event is set already. It never blocks, and
    /// needs no family.
    ///
    /// ```
    /// use procession_sync::Event;
    ///
    /// static STOP: Event = Event::new();
    ///
    /// let worker = std::thread::spawn(|| STOP.wait());
    /// STOP.set();
    /// worker.join().unwrap()?;
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn set(&self) {
        let set = |seen: u32| (seen & !SLEEPERS | SET).wrapping_add(ONE_SET);
        let was = self.change(|seen| if seen & SET == 0 { Some(set(seen)) } else { None });
        if was & SLEEPERS != 0 {
            wake_all(&self.word, false);
        }
    }

    /// Takes the event back. Who waited when it was set is woken all the same. It never blocks, and needs no family.
    ///
    /// ```
    /// let event = procession_sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.word.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Whether the event is set.
    ///
    /// ```
    /// let event = procession_sync::Event::new();
    /// assert!(!event.is_set());
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.word.load(Ordering::Acquire) & SET != 0 // E9
    }

    /// Waits until the event is set.
    ///
    /// It blocks until somebody calls [`set`](Self::set). If nobody lives who could, it waits for ever:
    /// [`wait_timeout`](Self::wait_timeout) does not.
    ///
    /// # Errors
    ///
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more.
    ///
    /// ```
    /// use procession_sync::Event;
    ///
    /// static STARTED: Event = Event::new();
    ///
    /// let worker = std::thread::spawn(|| STARTED.set());
    /// STARTED.wait()?;
    /// assert!(STARTED.is_set());
    /// # worker.join().unwrap();
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait(&self) -> Result<(), LockError> {
        while !self.wait_within(Limit::NEVER)? {}
        Ok(())
    }

    /// Waits until the event is set, but no longer than `timeout`, and says whether it was.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let event = procession_sync::Event::new();
    /// assert!(!event.wait_timeout(Duration::from_millis(1))?);
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO)?);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, LockError> {
        self.wait_within(Limit::Until(Deadline::after(timeout)))
    }

    fn wait_within(&self, limit: Limit) -> Result<bool, LockError> {
        let since = self.look();
        if since & SET != 0 {
            return Ok(true);
        }
        me()?;
        Ok(self.wait_since(since, limit))
    }

    /// The word as it is now, for [`wait_since`](Self::wait_since).
    pub(crate) fn look(&self) -> u32 {
        self.word.load(Ordering::Acquire) // E9
    }

    /// Waits until the event is set, or was set since the word was `since`; says whether that was in time.
    pub(crate) fn wait_since(&self, since: u32, limit: Limit) -> bool {
        let mut patience = Patience::new(limit);
        patience.spin(|| has_come(self.word.load(Ordering::Relaxed), since));
        loop {
            let epoch = family::epoch().load(Ordering::Acquire); // E3
            let announce = |seen| if has_come(seen, since) { None } else { Some(seen | SLEEPERS) };
            let seen = self.change(announce);
            if has_come(seen, since) {
                return true;
            }
            let words = [(&self.word, seen | SLEEPERS), (family::epoch(), epoch)];
            if patience.is_over() || patience.nap(words) == Nap::TimedOut {
                return has_come(self.look(), since);
            }
        }
    }

    /// Changes the word as `change` says, unless that says `None`, and returns what it was.
    fn change(&self, change: impl Fn(u32) -> Option<u32>) -> u32 {
        let mut seen = self.word.load(Ordering::Acquire); // E9
        while let Some(next) = change(seen).filter(|next| *next != seen) {
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.word.compare_exchange(seen, next, order.0, order.1) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        seen
    }
}

/// Ready while it is set. One that is set and cleared again while somebody waits for several things may be missed, other than
/// by [`wait`](Event::wait).
impl Waitable for Event {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let announce = |seen| if seen & SET == 0 { Some(seen | SLEEPERS) } else { None };
        let seen = self.change(announce);
        watches.push(family::watch_deaths());
        watches.push(Watch::shared(&self.word, announce(seen).unwrap_or(seen)));
    }

    /// Others may sleep, too: whoever sets the event finds out.
    fn unwatch(&self) {}
}

/// Whether the event is set now, or was since the word was `since`.
fn has_come(now: u32, since: u32) -> bool {
    now & SET != 0 || now / ONE_SET != since / ONE_SET
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}
