//! A number of permits, and who has them.
//!
//! # Algorithm
//!
//! How many permits there are stands in one word, who has how many in a table of [`Holders`]; what is free is the
//! difference. To take a permit is to count it in one's cell, and must not happen when none is free: whoever takes one
//! passes through a [`Gate`], which one process holds at a time while it adds up the table. Nothing else is done behind the
//! gate, and what is done there is one store. To give a permit back is one decrement, without the gate.
//!
//! Rejected: a count of free permits beside the table (killed between the two stores, a process takes a permit along).
//! Rejected: to count oneself first, add up, and go away again if that was too much (two who want the last permit see each
//! other and both go without it).
//!
//! # Layout
//!
//! | field | what |
//! |---|---|
//! | `gate` | the [`Gate`] of those who take |
//! | `permits` | u32: how many there are, taken or not |
//! | `news` | the [`Turn`] on which those sleep who want one |
//! | `holders` | a cell for each process that has some |
//!
//! # Invariants
//!
//! * **S1** A cell goes up only behind the gate, when the sum of the cells of the living is below `permits`.
//! * **S2** Whatever makes a permit free is followed by a wake-up: a release, [`add_permits`](Semaphore::add_permits), the end
//!   of [`forget`](Permit::forget), a death (by the family's epoch).
//! * **S3** Who was woken and cannot take the permit that is there wakes somebody else.
//!
//! # Ordering
//!
//! The decrement and the look for sleepers in `RawSemaphore::release`, and the announcement and the look at the table in
//! `RawSemaphore::acquire`, are the two sides of E5.
//!
//! * **E13** `RawSemaphore::forget` takes one off the permits and then off its cell (release); `RawSemaphore::free` loads the
//!   cells (acquire) and then the permits. So who sees that the cell has gone down sees that the permits have.
//!
//! # Crash points
//!
//! | killed | what is true | who repairs |
//! |---|---|---|
//! | behind the gate, before the cell | nothing is taken, the gate has a dead owner | whoever comes next opens it |
//! | behind the gate, after the cell | its cell holds a permit for a dead member | whoever finds too few permits clears it |
//! | while it holds permits | the same | the same; its death wakes all who wait |
//! | in `forget`, between the two stores | the permit is gone for good, as it was to be | the dead cell is cleared |
//! | after a release, before the wake | a permit is free, sleepers sleep | its death wakes all |

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::time::Duration;

use procession_shm::family::{self, Member, is_me};
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::{Deadline, Shareable, Waitable, Watch};

use crate::LockError;
use crate::error::me;
use crate::gate::Gate;
use crate::holders::{Holders, Side};
use crate::patience::{Limit, Nap, Patience};
use crate::turn::Turn;

/// The most permits that a semaphore can have.
///
/// ```
/// use procession_sync::{PERMITS_MAX, Semaphore};
///
/// assert_eq!(Semaphore::new(u32::MAX).available_permits(), PERMITS_MAX);
/// ```
pub const PERMITS_MAX: u32 = i32::MAX.cast_unsigned();

/// A semaphore would have more than [`PERMITS_MAX`] permits.
///
/// ```
/// use procession_sync::{PERMITS_MAX, Semaphore, TooManyPermits};
///
/// let full = Semaphore::new(PERMITS_MAX);
/// assert_eq!(full.add_permits(1), Err(TooManyPermits { permits: PERMITS_MAX, added: 1 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a semaphore with {permits} permits cannot get {added} more, the most is {PERMITS_MAX}: is something given back that was never taken?"
)]
pub struct TooManyPermits {
    /// How many it has, taken or not.
    pub permits: u32,
    /// How many were to be added.
    pub added: u32,
}

#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawSemaphore<const N: usize> {
    gate: Gate,
    permits: AtomicU32,
    news: Turn,
    holders: Holders<N>,
}

/// What came of asking for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The caller has one, counted in this cell.
    Taken(usize),
    /// There was none in time.
    TimedOut,
    /// The table is full.
    Full,
}

impl<const N: usize> RawSemaphore<N> {
    const_fn! {
        pub(crate) fn new(permits: u32) -> Self {
            Self {
                gate: Gate::new(),
                permits: AtomicU32::new(permits),
                news: Turn::new(),
                holders: Holders::new(),
            }
        }
    }

    pub(crate) fn acquire(&self, me: Member, limit: Limit) -> Result<Grant, LockError> {
        let mut patience = Patience::new(limit);
        let mut grant = self.take(me)?;
        while grant == Grant::TimedOut && !patience.is_try() {
            let epoch = family::epoch().load(Ordering::Acquire); // E3
            let news = self.news.announce();
            grant = self.take(me)?;
            if grant != Grant::TimedOut || patience.is_over() {
                break;
            }
            let words = [(self.news.word(), news), (family::epoch(), epoch)];
            if patience.nap(words) == Nap::TimedOut {
                return self.take(me);
            }
        }
        if grant == Grant::Full && patience.has_slept() {
            self.news.wake_one(); // S3
        }
        Ok(grant)
    }

    pub(crate) fn release(&self, cell: usize) {
        self.holders.release(cell);
        self.news.wake_one();
    }

    /// First there is one permit less, then the caller has one less: what is free never grows in between.
    pub(crate) fn forget(&self, cell: usize) {
        if procession_shm::seeded!("forgotten-too-late") {
            self.holders.release(cell);
            self.permits.fetch_sub(1, Ordering::AcqRel);
        } else {
            self.permits.fetch_sub(1, Ordering::AcqRel);
            self.holders.release(cell); // E13
        }
        self.news.wake_one(); // S2: in between, one less was free than should be
    }

    pub(crate) fn add(&self, added: u32) -> Result<(), TooManyPermits> {
        // A guess: the exchange looks again.
        let mut permits = self.permits.load(Ordering::Relaxed);
        loop {
            let sum = permits.checked_add(added).filter(|sum| *sum <= PERMITS_MAX);
            let Some(sum) = sum else { return Err(TooManyPermits { permits, added }) };
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            match self.permits.compare_exchange(permits, sum, order.0, order.1) {
                Ok(_) => break,
                Err(now) => permits = now,
            }
        }
        match added {
            0 => {}
            1 => self.news.wake_one(),
            _ => self.news.wake_all(),
        }
        Ok(())
    }

    /// Takes a permit if there is one.
    fn take(&self, me: Member) -> Result<Grant, LockError> {
        self.gate.pass(me, || {
            if self.has_free() {
                self.holders.claim(me, Side::ONLY).map_or(Grant::Full, Grant::Taken) // S1
            } else {
                Grant::TimedOut
            }
        })
    }

    fn has_free(&self) -> bool {
        self.free() > 0 || (self.holders.bury(Side::ONLY) && self.free() > 0)
    }

    /// What is taken is added up first: while somebody forgets a permit, the old number of permits less the new number of
    /// those taken would be one too many.
    fn free(&self) -> u64 {
        let taken = self.holders.total(Side::ONLY); // E13
        u64::from(self.permits.load(Ordering::Acquire)).saturating_sub(taken)
    }

    pub(crate) fn available(&self) -> u32 {
        self.holders.bury(Side::ONLY);
        u32::try_from(self.free()).unwrap_or(u32::MAX)
    }
}

/// A semaphore that lives in any memory, shared or not, and gets back the permits of processes that die.
///
/// * **A permit belongs to the process that took it,** until the [`Permit`] is dropped. When the process dies, the permit is
///   free again. Waiters are woken.
/// * **Signalling.** A semaphore can also count events: [`add_permits`](Self::add_permits) adds permits that belong to nobody,
///   and [`Permit::forget`] uses one up for good. These outlive the process that added or forgot them.
/// * **Over-release** cannot happen with permits, because each is given back once. It can with `add_permits`: there is no
///   upper bound but [`PERMITS_MAX`], and no bounded variant, since without `add_permits` every semaphore is bounded.
/// * **`HOLDERS`** processes may have permits at once (64 if not said otherwise), as many as 32,767 each. One too many is
///   [`TooManyHolders`](LockError::TooManyHolders).
/// * **Not fair.** Who comes while a permit is free may get it before somebody who was woken for it.
/// * **Stopped processes** keep their permits. One that is stopped in the few instructions in which it takes a permit keeps
///   all others from taking any, even from [`try_acquire`](Self::try_acquire), until it goes on or dies.
/// * **Fork.** The copy of a permit that a bare `fork` makes does nothing when it is dropped.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::Semaphore;
///
/// let seats = Semaphore::new(2);
/// let (one, two) = (seats.acquire()?, seats.acquire()?);
/// assert!(seats.try_acquire()?.is_none());
/// drop(one);
/// assert_eq!(seats.available_permits(), 1);
/// # drop(two);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct Semaphore<const HOLDERS: usize = 64> {
    raw: RawSemaphore<HOLDERS>,
}

// SAFETY: words that mean the same everywhere (members of the one family), no pointers.
unsafe impl<const HOLDERS: usize> Shareable for Semaphore<HOLDERS> {}

impl Semaphore {
    const_fn! {
        /// A semaphore with this many permits, all of them free, and places for 64 processes that have some. More than
        /// [`PERMITS_MAX`] are as many as that.
        ///
        /// ```
        /// use procession_sync::Semaphore;
        ///
        /// static SEATS: Semaphore = Semaphore::new(2);
        ///
        /// let _permit = SEATS.acquire()?;
        /// assert_eq!(SEATS.available_permits(), 1);
        /// # Ok::<(), procession_sync::LockError>(())
        /// ```
        pub fn new(permits: u32) -> Self {
            Self::with_holders(permits)
        }
    }
}

impl<const HOLDERS: usize> Semaphore<HOLDERS> {
    const_fn! {
        /// A semaphore with this many permits, all of them free, and places for `HOLDERS` processes that have some. More than
        /// [`PERMITS_MAX`] are as many as that.
        ///
        /// ```
        /// use procession_sync::Semaphore;
        ///
        /// let seats: Semaphore<256> = Semaphore::with_holders(200); // 256 processes can have permits at once
        /// assert_eq!(seats.available_permits(), 200);
        /// ```
        pub fn with_holders(permits: u32) -> Self {
            let permits = if permits > PERMITS_MAX { PERMITS_MAX } else { permits };
            Self { raw: RawSemaphore::new(permits) }
        }
    }

    /// Takes a permit, waiting until one is free.
    ///
    /// It blocks until somebody gives one back, adds one, or dies with one.
    ///
    /// # Errors
    ///
    /// [`TooManyHolders`](LockError::TooManyHolders) when a permit is free but the table is full,
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more.
    ///
    /// ```
    /// let seats = procession_sync::Semaphore::new(1);
    /// let permit = seats.acquire()?;
    /// assert_eq!(seats.available_permits(), 0);
    /// drop(permit);
    /// assert_eq!(seats.available_permits(), 1);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn acquire(&self) -> Result<Permit<'_, HOLDERS>, LockError> {
        loop {
            if let Some(permit) = self.acquire_within(Limit::NEVER)? {
                return Ok(permit);
            }
        }
    }

    /// Takes a permit if one is free; `None` if there is none. It does not wait for one.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    ///
    /// ```
    /// let seats = procession_sync::Semaphore::new(1);
    /// let permit = seats.try_acquire()?;
    /// assert!(permit.is_some());
    /// assert!(seats.try_acquire()?.is_none());              // not yet
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn try_acquire(&self) -> Result<Option<Permit<'_, HOLDERS>>, LockError> {
        self.acquire_within(Limit::Try)
    }

    /// Takes a permit, waiting no longer than `timeout`; `None` if that was not enough. It tries once even if `timeout` is
    /// zero.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let seats = procession_sync::Semaphore::new(0);
    /// assert!(seats.acquire_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<Permit<'_, HOLDERS>>, LockError> {
        self.acquire_within(Limit::Until(Deadline::after(timeout)))
    }

    /// Adds permits that belong to nobody, and wakes who waits for them. It does not block, and needs no family.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`] when there would be more than [`PERMITS_MAX`]. None are added then.
    ///
    /// ```
    /// let jobs = procession_sync::Semaphore::new(0);
    /// jobs.add_permits(2)?;                                 // to signal: two jobs are there
    /// jobs.acquire()?.forget();
    /// assert_eq!(jobs.available_permits(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_permits(&self, added: u32) -> Result<(), TooManyPermits> {
        self.raw.add(added)
    }

    /// How many permits are free; it may have changed by the time it is returned.
    ///
    /// ```
    /// let seats = procession_sync::Semaphore::new(2);
    /// let _permit = seats.acquire()?;
    /// assert_eq!(seats.available_permits(), 1);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn available_permits(&self) -> u32 {
        self.raw.available()
    }

    fn acquire_within(&self, limit: Limit) -> Result<Option<Permit<'_, HOLDERS>>, LockError> {
        let owner = me()?;
        match self.raw.acquire(owner, limit)? {
            Grant::Taken(cell) => {
                Ok(Some(Permit { semaphore: self, owner, cell, _not_send: PhantomData }))
            }
            Grant::TimedOut => Ok(None),
            Grant::Full => Err(LockError::TooManyHolders { cells: HOLDERS }),
        }
    }
}

/// Ready while a permit is free, which somebody else may take first.
impl<const HOLDERS: usize> Waitable for Semaphore<HOLDERS> {
    fn is_ready(&self) -> bool {
        self.available_permits() > 0
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watches.push(family::watch_deaths());
        watches.push(Watch::shared(self.raw.news.word(), self.raw.news.announce()));
    }

    /// The sleeper may have been woken in place of one who would take the permit (S3).
    fn unwatch(&self) {
        if self.is_ready() {
            self.raw.news.wake_one();
        }
    }
}

impl<const HOLDERS: usize> fmt::Debug for Semaphore<HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.raw.permits.load(Ordering::Relaxed))
            .field("available", &self.available_permits())
            .finish_non_exhaustive()
    }
}

/// A permit of a semaphore, which is given back when this is dropped or its process dies.
///
/// ```
/// use procession_sync::{Permit, Semaphore};
///
/// fn work(_permit: Permit<'_>) {}
///
/// let seats = Semaphore::new(1);
/// work(seats.acquire()?);
/// assert_eq!(seats.available_permits(), 1);             // it was given back
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a, const HOLDERS: usize = 64> {
    semaphore: &'a Semaphore<HOLDERS>,
    owner: Member,
    cell: usize,
    /// A permit is its process's and is never given to another one; that it stays with its thread, too, is as for guards.
    _not_send: PhantomData<*const ()>,
}

impl<const HOLDERS: usize> Permit<'_, HOLDERS> {
    /// Uses the permit up: the semaphore has one less from now on, whatever becomes of this process.
    ///
    /// [`Semaphore::add_permits`] is the counterpart.
    ///
    /// ```
    /// let seats = procession_sync::Semaphore::new(2);
    /// seats.acquire()?.forget();
    /// assert_eq!(seats.available_permits(), 1);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn forget(self) {
        let this = ManuallyDrop::new(self);
        if is_me(this.owner) {
            this.semaphore.raw.forget(this.cell);
        }
    }
}

impl<const HOLDERS: usize> Drop for Permit<'_, HOLDERS> {
    fn drop(&mut self) {
        if is_me(self.owner) {
            self.semaphore.raw.release(self.cell);
        }
    }
}

impl<const HOLDERS: usize> fmt::Debug for Permit<'_, HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
