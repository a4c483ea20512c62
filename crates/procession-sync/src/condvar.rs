//! Waiting under a mutex for something to happen.
//!
//! # Algorithm
//!
//! A [`Turn`]. A waiter announces itself while it holds the mutex, gives the mutex back, and sleeps unless the turn has moved
//! since. So a notification that comes after the mutex is free again finds it announced.
//!
//! Rejected: an acknowledgement by each waiter that was woken. The dead do not acknowledge, and whoever notifies waits for
//! them for ever.
//!
//! # Crash points
//!
//! | killed | what the others see |
//! |---|---|
//! | a waiter, asleep | its announcement, which costs one needless system call |
//! | a waiter, after it was woken as the only one | its death wakes all, who look at their condition |
//! | who changed the condition, before it notifies | its death wakes all, who look at their condition |
//! | a waiter, after it got the mutex back | the mutex is torn |

use std::fmt;
use std::time::Duration;

use procession_shm::family;
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Deadline, Shareable};

use crate::patience::{Limit, Nap, Patience};
use crate::turn::Turn;
use crate::{LockError, MutexGuard};

/// A condition variable that lives in any memory, shared or not, and that no waiter's death can block.
///
/// It is what [`std::sync::Condvar`] is for threads, for threads of several processes.
///
/// * **Waits end without a reason**, as in std: look at the condition again, or use [`wait_while`](Self::wait_while). Any
///   death in the family ends all waits, so nobody sleeps on a notification that a process took along when it died, or did
///   not live to give.
/// * **A notification never waits** for those whom it wakes.
/// * **One mutex.** All who wait on it at the same time should do so with the same mutex; nothing checks that.
/// * **Not recursive.** The mutex is given back as a whole, because it can be locked only once.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::{Condvar, Mutex};
///
/// static READY: Mutex<bool> = Mutex::new(false);
/// static CHANGED: Condvar = Condvar::new();
///
/// std::thread::scope(|scope| -> Result<(), procession_sync::LockError> {
///     scope.spawn(|| {
///         *READY.lock().unwrap() = true;
///         CHANGED.notify_one();
///     });
///     let ready = CHANGED.wait_while(READY.lock()?, |ready| !*ready)?;
///     assert!(*ready);
///     Ok(())
/// })?;
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct Condvar {
    news: Turn,
}

// SAFETY: a word that means the same everywhere, no pointers.
unsafe impl Shareable for Condvar {}

/// Whether a wait on a [`Condvar`] ended because time was over.
///
/// ```
/// use std::time::Duration;
/// use procession_sync::{Condvar, Mutex, WaitTimeoutResult};
///
/// let (mutex, condvar) = (Mutex::new(0), Condvar::new());
/// let (_guard, result) = condvar.wait_timeout_while(mutex.lock()?, Duration::from_millis(1), |n| *n == 0)?;
/// let result: WaitTimeoutResult = result;
/// assert!(result.timed_out());
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether time was over.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// let (mutex, condvar) = (Mutex::new(1), Condvar::new());
    /// let (guard, result) = condvar.wait_timeout_while(mutex.lock()?, Duration::from_millis(1), |n| *n == 0)?;
    /// assert!(!result.timed_out() && *guard == 1);          // there was nothing to wait for
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    const_fn! {
        /// A condition variable on which nobody waits.
        ///
        /// ```
        /// use procession_sync::{Condvar, Mutex};
        ///
        /// static STATE: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());
        ///
        /// let (mutex, condvar) = &STATE;
        /// assert_eq!(*condvar.wait_while(mutex.lock()?, |n| *n > 0)?, 0);
        /// # Ok::<(), procession_sync::LockError>(())
        /// ```
        pub fn new() -> Self {
            Self { news: Turn::new() }
        }
    }

    /// Gives the mutex back, waits for a notification, and locks the mutex again.
    ///
    /// It blocks until [`notify_one`](Self::notify_one) or [`notify_all`](Self::notify_all), and may return without. Any
    /// death in the family ends it.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock`](crate::Mutex::lock), when the mutex is locked again: somebody may have died or panicked
    /// inside meanwhile. The mutex is not held then.
    ///
    /// ```
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// static READY: Mutex<bool> = Mutex::new(false);
    /// static CHANGED: Condvar = Condvar::new();
    ///
    /// let other = std::thread::spawn(|| {
    ///     *READY.lock().unwrap() = true;
    ///     CHANGED.notify_one();
    /// });
    /// let mut ready = READY.lock()?;
    /// while !*ready {
    ///     ready = CHANGED.wait(ready)?;
    /// }
    /// # other.join().unwrap();
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, LockError> {
        Ok(self.wait_within(guard, Limit::NEVER)?.0)
    }

    /// Waits as [`wait`](Self::wait) does, but no longer than `timeout`; then the mutex is locked again, however long that
    /// takes.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    /// let (guard, _result) = condvar.wait_timeout(mutex.lock()?, Duration::from_millis(1))?;
    /// assert_eq!(*guard, 0);                                // it is locked again
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError> {
        self.wait_within(guard, Limit::Until(Deadline::after(timeout)))
    }

    /// Waits until `condition` says `false`. It is asked under the mutex, first before any waiting.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// ```
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// static JOBS: Mutex<u64> = Mutex::new(0);
    /// static CHANGED: Condvar = Condvar::new();
    ///
    /// let other = std::thread::spawn(|| {
    ///     *JOBS.lock().unwrap() += 1;
    ///     CHANGED.notify_one();
    /// });
    /// assert_eq!(*CHANGED.wait_while(JOBS.lock()?, |jobs| *jobs == 0)?, 1);
    /// # other.join().unwrap();
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits until `condition` says `false`, but no longer than `timeout` in all. The result is
    /// [`timed_out`](WaitTimeoutResult::timed_out) only if the condition, asked once more, still says `true`.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// let (jobs, changed) = (Mutex::new(0), Condvar::new());
    /// let (jobs, result) = changed.wait_timeout_while(jobs.lock()?, Duration::from_millis(1), |jobs| *jobs == 0)?;
    /// assert!(result.timed_out() && *jobs == 0);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError> {
        let deadline = Deadline::after(timeout);
        while condition(&mut guard) {
            if deadline.is_over() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_within(guard, Limit::Until(deadline))?.0;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Wakes one of those who wait. It never blocks.
    ///
    /// To wake n, call it n times.
    ///
    /// ```
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// static READY: Mutex<bool> = Mutex::new(false);
    /// static CHANGED: Condvar = Condvar::new();
    ///
    /// let waiter = std::thread::spawn(|| CHANGED.wait_while(READY.lock()?, |ready| !*ready).map(drop));
    /// *READY.lock()? = true;
    /// CHANGED.notify_one();
    /// waiter.join().unwrap()?;
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn notify_one(&self) {
        self.news.wake_one();
    }

    /// Wakes all who wait. It never blocks.
    ///
    /// ```
    /// use procession_sync::{Condvar, Mutex};
    ///
    /// static READY: Mutex<bool> = Mutex::new(false);
    /// static CHANGED: Condvar = Condvar::new();
    ///
    /// let wait = || CHANGED.wait_while(READY.lock()?, |ready| !*ready).map(drop);
    /// let waiters = [std::thread::spawn(wait), std::thread::spawn(wait)];
    /// *READY.lock()? = true;
    /// CHANGED.notify_all();
    /// waiters.into_iter().try_for_each(|waiter| waiter.join().unwrap())?;
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn notify_all(&self) {
        self.news.wake_all();
    }

    fn wait_within<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Limit,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError> {
        let mutex = guard.mutex();
        let ticket = self.announce();
        drop(guard);
        let timed_out = !self.doze(ticket, limit);
        Ok((mutex.lock()?, WaitTimeoutResult(timed_out)))
    }

    /// Says that the caller, who holds the mutex, is about to wait.
    pub(crate) fn announce(&self) -> Ticket {
        let epoch = family::epoch().load(Ordering::Acquire); // E3
        Ticket { news: self.news.announce(), epoch }
    }

    /// Waits, without the mutex, until something has happened since the caller announced itself; says `false` when time was
    /// over first.
    pub(crate) fn doze(&self, ticket: Ticket, limit: Limit) -> bool {
        let mut patience = Patience::new(limit);
        let words = [(self.news.word(), ticket.news), (family::epoch(), ticket.epoch)];
        loop {
            match patience.nap(words) {
                Nap::TimedOut => return false,
                Nap::Over if patience.checkup_is_due() => {}
                Nap::Over => return true,
            }
        }
    }
}

/// What a waiter saw before it gave the mutex back.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    news: u32,
    epoch: u32,
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
