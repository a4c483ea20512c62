//! A lock that many may hold to read, or one to write.
//!
//! The algorithm is in [`raw`]. Here is the value.
//!
//! # Safety
//!
//! * **W1** A [`RwLockWriteGuard`] exists only in a process that holds the lock to write, a [`RwLockReadGuard`] only in one
//!   that is counted as a reader (R1, R2), or it is the copy that a fork made of one.
//! * **W2** Guards are made only for a lock that was clean, or after the value was written anew, or where its type takes
//!   every bit pattern: as for the mutex (M2).

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::thread;
use std::time::Duration;

use bytemuck::AnyBitPattern;
use procession_shm::family::{self, Member, is_me};
use procession_shm::{Deadline, Shareable};

use crate::LockError;
use crate::error::me;
use crate::lock::{Entry, Mark};
use crate::patience::Limit;

pub(crate) mod raw;

use self::raw::{RawRwLock, ReadEntry};

/// A reader-writer lock that lives in any memory, shared or not, and survives the death of those who hold it.
///
/// It is what [`std::sync::RwLock`] is for threads, for threads of several processes.
///
/// * **Death of a reader:** its share is given back; a writer that waits for it goes on.
/// * **Death of a writer:** as for the [`Mutex`](crate::Mutex): [`OwnerDied`](LockError::OwnerDied) for everybody until
///   [`write_or_reset`](Self::write_or_reset) or [`write_or_keep`](Self::write_or_keep). A writer that dies while it still waits
///   for readers has broken nothing.
/// * **Panic of a writer** poisons, a reader's does not.
/// * **Writers first.** A writer that waits keeps new readers out, so readers cannot starve it. For the same reason a thread
///   that reads must not read again before it has dropped its guard: a writer may have come in between, and the two would
///   wait for each other for ever. Writers can starve readers.
/// * **`HOLDERS`** processes may read at once (64 if not said otherwise), as many as 32,767 times each. One too many is
///   [`TooManyHolders`](LockError::TooManyHolders). Threads of one process share its place, but threads that begin to read
///   at the very same time may take one each.
/// * **Fork.** The copy of a guard that a bare `fork` makes does nothing when it is dropped.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::RwLock;
///
/// let settings = RwLock::new([1, 2, 3]);
/// assert_eq!(settings.read()?[2], 3);
/// settings.write()?[2] = 4;
/// assert_eq!(*settings.read()?, [1, 2, 4]);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct RwLock<T, const HOLDERS: usize = 64> {
    raw: RawRwLock<HOLDERS>,
    value: UnsafeCell<T>,
}

// SAFETY: by W1 the value is reached by one writer, or by many readers through `&T`: `T: Send + Sync`.
unsafe impl<T: Send + Sync, const HOLDERS: usize> Sync for RwLock<T, HOLDERS> {}

// SAFETY: the lock is words that mean the same everywhere (members of the one family), the value is `Shareable` itself.
unsafe impl<T: Shareable, const HOLDERS: usize> Shareable for RwLock<T, HOLDERS> {}

// What a panic leaves behind is poisoned.
impl<T, const HOLDERS: usize> UnwindSafe for RwLock<T, HOLDERS> {}
impl<T, const HOLDERS: usize> RefUnwindSafe for RwLock<T, HOLDERS> {}

impl<T> RwLock<T> {
    const_fn! {
        /// A lock that nobody holds, with places for 64 processes that read.
        ///
        /// ```
        /// use procession_sync::RwLock;
        ///
        /// static SETTINGS: RwLock<[u64; 2]> = RwLock::new([1, 2]);
        ///
        /// assert_eq!(SETTINGS.read()?[1], 2);
        /// # Ok::<(), procession_sync::LockError>(())
        /// ```
        pub fn new(value: T) -> Self {
            Self::with_holders(value)
        }
    }
}

impl<T, const HOLDERS: usize> RwLock<T, HOLDERS> {
    const_fn! {
        /// A lock that nobody holds, with places for `HOLDERS` processes that read.
        ///
        /// ```
        /// use procession_sync::RwLock;
        ///
        /// let settings: RwLock<u64, 256> = RwLock::with_holders(7); // 256 processes can read at once
        /// assert_eq!(*settings.read()?, 7);
        /// # Ok::<(), procession_sync::LockError>(())
        /// ```
        pub fn with_holders(value: T) -> Self {
            Self { raw: RawRwLock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Locks to read, waiting until no writer holds the lock or waits for it.
    ///
    /// It blocks until that writer gives the lock back, or dies.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](LockError::OwnerDied) and [`Poisoned`](LockError::Poisoned) when that happened to a writer and nobody has
    /// repaired the value, [`TooManyHolders`](LockError::TooManyHolders) when the table is full,
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// let (one, two) = (settings.read()?, settings.try_read()?);
    /// assert_eq!((*one, *two.unwrap()), (7, 7));            // both at once
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T, HOLDERS>, LockError> {
        loop {
            if let Some(guard) = self.read_within(Limit::NEVER)? {
                return Ok(guard);
            }
        }
    }

    /// Locks to read if no writer holds the lock or waits for it; `None` otherwise. It does not block.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// let writer = settings.write()?;
    /// assert!(settings.try_read()?.is_none());
    /// drop(writer);
    /// assert!(settings.try_read()?.is_some());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn try_read(&self) -> Result<Option<RwLockReadGuard<'_, T, HOLDERS>>, LockError> {
        self.read_within(Limit::Try)
    }

    /// Locks to read, waiting no longer than `timeout`; `None` if that was not enough.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let settings = procession_sync::RwLock::new(7);
    /// let writer = settings.write()?;
    /// assert!(settings.read_timeout(Duration::from_millis(1))?.is_none());
    /// # drop(writer);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<RwLockReadGuard<'_, T, HOLDERS>>, LockError> {
        self.read_within(Limit::Until(Deadline::after(timeout)))
    }

    /// Locks to write, waiting until nobody else holds the lock.
    ///
    /// It blocks until all who hold it give it back, or die. New readers wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](LockError::OwnerDied), [`Poisoned`](LockError::Poisoned) and [`NotAMember`](LockError::NotAMember), as for
    /// [`read`](Self::read).
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// *settings.write()? = 8;
    /// assert_eq!(*settings.read()?, 8);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T, HOLDERS>, LockError> {
        loop {
            if let Some(guard) = self.write_within(Limit::NEVER)? {
                return Ok(guard);
            }
        }
    }

    /// Locks to write if nobody holds the lock; `None` otherwise. It does not block.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// let reader = settings.read()?;
    /// assert!(settings.try_write()?.is_none());
    /// drop(reader);
    /// assert!(settings.try_write()?.is_some());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn try_write(&self) -> Result<Option<RwLockWriteGuard<'_, T, HOLDERS>>, LockError> {
        self.write_within(Limit::Try)
    }

    /// Locks to write, waiting no longer than `timeout`; `None` if that was not enough.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let settings = procession_sync::RwLock::new(7);
    /// let reader = settings.read()?;
    /// assert!(settings.write_timeout(Duration::from_millis(1))?.is_none());
    /// # drop(reader);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<RwLockWriteGuard<'_, T, HOLDERS>>, LockError> {
        self.write_within(Limit::Until(Deadline::after(timeout)))
    }

    /// Locks to write, and replaces the value if a writer's death or panic may have broken it: what
    /// [`Mutex::lock_or_reset`](crate::Mutex::lock_or_reset) does.
    ///
    /// # Panics
    ///
    /// In a process that is no member of a family: one that a bare `fork` made, or that has left, or whose family has ended,
    /// also while it waits.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = settings.write().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(settings.read().is_err());
    /// assert_eq!(*settings.write_or_reset(|| 0), 0);
    /// assert_eq!(*settings.read()?, 0);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn write_or_reset(&self, value: impl FnOnce() -> T) -> RwLockWriteGuard<'_, T, HOLDERS> {
        let (guard, mark) = self.write_for_repair();
        if mark.is_clean() {
            return guard;
        }
        let repair = Repair { guard: ManuallyDrop::new(guard), mark };
        let value = value();
        if mark.is_torn() {
            // SAFETY: the guard has the value to itself (W1); nothing of a torn one is read or dropped (W2).
            unsafe { self.value.get().write(value) };
        } else {
            // SAFETY: as above, and a value that is not torn is a `T`, whose destructor may run.
            unsafe { *self.value.get() = value };
        }
        repair.finish()
    }

    /// Locks to write, and keeps whatever a writer's death or panic has left there: what
    /// [`Mutex::lock_or_keep`](crate::Mutex::lock_or_keep) does.
    ///
    /// # Panics
    ///
    /// In a process that is no member of a family: one that a bare `fork` made, or that has left, or whose family has ended,
    /// also while it waits.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = settings.write().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(settings.read().is_err());
    /// assert_eq!(*settings.write_or_keep(), 7);
    /// assert!(settings.read().is_ok());
    /// ```
    pub fn write_or_keep(&self) -> RwLockWriteGuard<'_, T, HOLDERS>
    where
        T: AnyBitPattern,
    {
        self.write_for_repair().0
    }

    /// Whether a writer has panicked, and nobody has repaired the value since.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = settings.write().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(settings.is_poisoned());
    /// settings.clear_poison();
    /// assert!(!settings.is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.raw.writer.mark().is_some_and(Mark::is_poisoned)
    }

    /// Forgets that a writer has panicked. It does nothing about a death.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = settings.write().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// settings.clear_poison();
    /// assert_eq!(*settings.read()?, 7);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn clear_poison(&self) {
        self.raw.writer.clear_poison();
    }

    /// The value, which nobody else can reach.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](LockError::OwnerDied) and [`Poisoned`](LockError::Poisoned), as for [`read`](Self::read).
    ///
    /// ```
    /// let mut settings = procession_sync::RwLock::new(7);
    /// *settings.get_mut()? += 1;
    /// assert_eq!(*settings.read()?, 8);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn get_mut(&mut self) -> Result<&mut T, LockError> {
        self.soundness()?;
        Ok(self.value.get_mut())
    }

    /// Takes the value out.
    ///
    /// # Errors
    ///
    /// Those of [`get_mut`](Self::get_mut). The value is dropped then.
    ///
    /// ```
    /// let settings = procession_sync::RwLock::new(7);
    /// *settings.write()? += 1;
    /// assert_eq!(settings.into_inner()?, 8);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn into_inner(self) -> Result<T, LockError> {
        self.soundness()?;
        Ok(self.value.into_inner())
    }

    fn soundness(&self) -> Result<(), LockError> {
        match self.raw.writer.mark_without_owner() {
            Mark::CLEAN => Ok(()),
            mark => Err(mark.error()),
        }
    }

    fn read_within(
        &self,
        limit: Limit,
    ) -> Result<Option<RwLockReadGuard<'_, T, HOLDERS>>, LockError> {
        let owner = me()?;
        match self.raw.read(owner, limit) {
            ReadEntry::Taken(cell) => {
                Ok(Some(RwLockReadGuard { lock: self, owner, cell, _not_send: PhantomData }))
            }
            ReadEntry::Refused(mark) => Err(mark.error()),
            ReadEntry::TimedOut => Ok(None),
            ReadEntry::Full => Err(LockError::TooManyHolders { cells: HOLDERS }),
        }
    }

    fn write_within(
        &self,
        limit: Limit,
    ) -> Result<Option<RwLockWriteGuard<'_, T, HOLDERS>>, LockError> {
        let me = me()?;
        match self.raw.write(me, false, limit) {
            Entry::Taken(_) => Ok(Some(RwLockWriteGuard::new(self, me))),
            Entry::Refused(mark) => Err(mark.error()),
            Entry::TimedOut => Ok(None),
        }
    }

    fn write_for_repair(&self) -> (RwLockWriteGuard<'_, T, HOLDERS>, Mark) {
        loop {
            let me = family::me().unwrap_or_else(|reason| panic!("{reason}"));
            if let Entry::Taken(mark) = self.raw.write(me, true, Limit::NEVER) {
                return (RwLockWriteGuard::new(self, me), mark);
            }
        }
    }
}

impl<T: Default, const HOLDERS: usize> Default for RwLock<T, HOLDERS> {
    fn default() -> Self {
        Self::with_holders(T::default())
    }
}

impl<T, const HOLDERS: usize> From<T> for RwLock<T, HOLDERS> {
    fn from(value: T) -> Self {
        Self::with_holders(value)
    }
}

/// Shows the value if no writer holds the lock, and never waits.
impl<T: fmt::Debug, const HOLDERS: usize> fmt::Debug for RwLock<T, HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(Some(guard)) => shown.field("value", &*guard),
            Ok(None) => shown.field("value", &format_args!("<locked>")),
            Err(error) => shown.field("error", &error),
        };
        shown.finish_non_exhaustive()
    }
}

/// The lock is held to read while this lives.
///
/// ```
/// use procession_sync::{RwLock, RwLockReadGuard};
///
/// fn double(n: RwLockReadGuard<'_, u64>) -> u64 { *n * 2 }
///
/// let settings = RwLock::new(7);
/// assert_eq!(double(settings.read()?), 14);
/// assert!(settings.try_write()?.is_some());             // nobody reads any more
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T, const HOLDERS: usize = 64> {
    lock: &'a RwLock<T, HOLDERS>,
    owner: Member,
    cell: usize,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` and nothing else.
unsafe impl<T: Sync, const HOLDERS: usize> Sync for RwLockReadGuard<'_, T, HOLDERS> {}

impl<T, const HOLDERS: usize> Deref for RwLockReadGuard<'_, T, HOLDERS> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: W1 and W2: no writer holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T, const HOLDERS: usize> Drop for RwLockReadGuard<'_, T, HOLDERS> {
    fn drop(&mut self) {
        if is_me(self.owner) {
            self.lock.raw.leave_read(self.cell);
        }
    }
}

impl<T: fmt::Debug, const HOLDERS: usize> fmt::Debug for RwLockReadGuard<'_, T, HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The lock is held to write while this lives. Dropping it in a panic that began after it was made poisons the lock.
///
/// ```
/// use procession_sync::{RwLock, RwLockWriteGuard};
///
/// fn double(mut n: RwLockWriteGuard<'_, u64>) { *n *= 2 }
///
/// let settings = RwLock::new(7);
/// double(settings.write()?);
/// assert_eq!(*settings.read()?, 14);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T, const HOLDERS: usize = 64> {
    lock: &'a RwLock<T, HOLDERS>,
    owner: Member,
    panicking: bool,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` and nothing else.
unsafe impl<T: Sync, const HOLDERS: usize> Sync for RwLockWriteGuard<'_, T, HOLDERS> {}

impl<'a, T, const HOLDERS: usize> RwLockWriteGuard<'a, T, HOLDERS> {
    fn new(lock: &'a RwLock<T, HOLDERS>, owner: Member) -> Self {
        Self { lock, owner, panicking: thread::panicking(), _not_send: PhantomData }
    }
}

impl<T, const HOLDERS: usize> Deref for RwLockWriteGuard<'_, T, HOLDERS> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: W1 and W2.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T, const HOLDERS: usize> DerefMut for RwLockWriteGuard<'_, T, HOLDERS> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: W1 and W2; the guard itself is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T, const HOLDERS: usize> Drop for RwLockWriteGuard<'_, T, HOLDERS> {
    fn drop(&mut self) {
        if is_me(self.owner) {
            let poisons = !self.panicking && thread::panicking();
            self.lock.raw.leave_write(if poisons { Mark::POISONED } else { Mark::CLEAN });
        }
    }
}

impl<T: fmt::Debug, const HOLDERS: usize> fmt::Debug for RwLockWriteGuard<'_, T, HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A guard whose value is not sound yet: if making a new one panics, the lock is given back marked as it was.
struct Repair<'a, T, const HOLDERS: usize> {
    guard: ManuallyDrop<RwLockWriteGuard<'a, T, HOLDERS>>,
    mark: Mark,
}

impl<'a, T, const HOLDERS: usize> Repair<'a, T, HOLDERS> {
    fn finish(self) -> RwLockWriteGuard<'a, T, HOLDERS> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again, so the guard is taken out once.
        unsafe { ManuallyDrop::take(&mut this.guard) }
    }
}

impl<T, const HOLDERS: usize> Drop for Repair<'_, T, HOLDERS> {
    fn drop(&mut self) {
        if is_me(self.guard.owner) {
            self.guard.lock.raw.leave_write(self.mark);
        }
    }
}
