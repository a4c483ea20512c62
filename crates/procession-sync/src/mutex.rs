//! A mutex around a value.
//!
//! The lock itself is in [`lock`](crate::lock). Here is what it guards, and what becomes of that.
//!
//! # Safety
//!
//! * **M1** A [`MutexGuard`] exists only in a process that holds the lock with `dirty`, or is the copy that a fork made of
//!   one. By L1 nobody else reaches the value. In a forked copy the value's memory is a different one (or none).
//! * **M2** A guard is made only for a lock that was clean, or after the value was written anew, or, where its type takes
//!   every bit pattern, as it is. So no torn value is ever seen as a `T`.
//! * **M3** Only shared memory can hold a torn value: a process that died inside is not this one. Shared memory is never
//!   dropped, so neither is a torn value.

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
use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::Limit;

const WORK: Claim = Claim { dirty: true, repair: false };
const REPAIR: Claim = Claim { dirty: true, repair: true };

/// A mutex that lives in any memory, shared or not, and survives the death of the process that holds it.
///
/// It is what [`std::sync::Mutex`] is for threads, for threads of several processes. Put it into a
/// [`Shared`](procession_shm::Shared) to use it from several processes, or use it as it is within one.
///
/// * **Death of the holder.** When a process dies inside, the value may be half written. [`lock`](Self::lock) is then
///   [`OwnerDied`](LockError::OwnerDied) for everybody, who waits already and who comes, until somebody repairs it:
///   [`lock_or_reset`](Self::lock_or_reset), or [`lock_or_keep`](Self::lock_or_keep) for types that take every bit pattern.
///   A process that is stopped, not dead, holds on to its lock, as a thread would.
/// * **Panic of the holder.** The mutex is poisoned as in std: [`lock`](Self::lock) is [`Poisoned`](LockError::Poisoned).
///   The error holds no guard; [`clear_poison`](Self::clear_poison) makes the mutex usable again.
/// * **Forgotten guards** keep the mutex locked until their process ends, which counts as a death inside.
/// * **Fork.** The copy of a guard that a bare `fork` makes does nothing when it is dropped.
/// * **Not recursive.** A thread that locks twice waits for itself for ever; `try_lock` and `lock_timeout` return. There is
///   no recursive variant, because it could not give out `&mut T`.
/// * **Not fair.** Who comes while the mutex is free may get it before somebody who was woken for it.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::Mutex;
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| *TOTAL.lock().unwrap() += 1);
///     }
/// });
/// assert_eq!(*TOTAL.lock()?, 4);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct Mutex<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: by M1 the value is reached by one thread at a time, so the mutex hands it from thread to thread: `T: Send`.
unsafe impl<T: Send> Sync for Mutex<T> {}

// SAFETY: the lock is words that mean the same everywhere (members of the one family), the value is `Shareable` itself.
unsafe impl<T: Shareable> Shareable for Mutex<T> {}

// What a panic leaves behind is poisoned.
impl<T> UnwindSafe for Mutex<T> {}
impl<T> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn! {
        /// A mutex that nobody holds.
        ///
        /// ```
        /// use procession_sync::Mutex;
        ///
        /// static TOTAL: Mutex<u64> = Mutex::new(0);
        ///
        /// *TOTAL.lock()? += 1;
        /// assert_eq!(*TOTAL.lock()?, 1);
        /// # Ok::<(), procession_sync::LockError>(())
        /// ```
        pub fn new(value: T) -> Self {
            Self { lock: Lock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Locks the mutex, waiting until it is free.
    ///
    /// It blocks until the holder gives the mutex back, or dies.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](LockError::OwnerDied) when a holder has died inside and nobody has repaired the value,
    /// [`Poisoned`](LockError::Poisoned) when a thread has panicked inside, [`NotAMember`](LockError::NotAMember) in a
    /// process that is no member of the family, or is none any more.
    ///
    /// ```
    /// use procession_shm::Shared;
    /// use procession_sync::Mutex;
    ///
    /// let counter = Shared::new(Mutex::new(0_u64))?;        // to be given to other processes
    /// *counter.lock()? += 1;
    /// assert_eq!(*counter.lock()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError> {
        loop {
            if let Some(guard) = self.lock_within(Limit::NEVER)? {
                return Ok(guard);
            }
        }
    }

    /// Locks the mutex if it is free; `None` if it is not. It does not block.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// ```
    /// let mutex = procession_sync::Mutex::new(1);
    /// let guard = mutex.lock()?;
    /// assert!(mutex.try_lock()?.is_none());                 // not yet
    /// drop(guard);
    /// assert!(mutex.try_lock()?.is_some());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<Option<MutexGuard<'_, T>>, LockError> {
        self.lock_within(Limit::Try)
    }

    /// Locks the mutex, waiting no longer than `timeout`; `None` if that was not enough. It tries once even if `timeout` is
    /// zero.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mutex = procession_sync::Mutex::new(1);
    /// let guard = mutex.lock()?;
    /// assert!(mutex.lock_timeout(Duration::from_millis(1))?.is_none());
    /// # drop(guard);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<MutexGuard<'_, T>>, LockError> {
        self.lock_within(Limit::Until(Deadline::after(timeout)))
    }

    /// Locks the mutex, and replaces the value if a death or a panic inside may have broken it.
    ///
    /// `value` runs under the lock, and only if the value has still to be repaired: of many who come after a death, the first
    /// repairs it and the others get what it has made. Of a value that a panic left behind the destructor runs, of a torn one
    /// not. If `value` panics, all is as before. It blocks as [`lock`](Self::lock) does.
    ///
    /// ```
    /// # use procession_sync::{LockError, Mutex};
    /// # let mutex = Mutex::new(1);
    /// # std::thread::scope(|scope| {
    /// #     scope.spawn(|| {
    /// #         let _guard = mutex.lock().unwrap();
    /// #         std::panic::resume_unwind(Box::new("quietly"));
    /// #     }).join().unwrap_err();
    /// # });
    /// let guard = match mutex.lock() {
    ///     Ok(guard) => guard,
    ///     Err(LockError::OwnerDied { .. } | LockError::Poisoned) => mutex.lock_or_reset(|| 0),
    ///     Err(other) => return Err(other),
    /// };
    /// assert_eq!(*guard, 0);
    /// # Ok(())
    /// ```
    ///
    /// # Panics
    ///
    /// In a process that is no member of a family: one that a bare `fork` made, or that has left, or whose family has ended,
    /// also while it waits.
    pub fn lock_or_reset(&self, value: impl FnOnce() -> T) -> MutexGuard<'_, T> {
        let (guard, mark) = self.lock_for_repair();
        if mark.is_clean() {
            return guard;
        }
        let repair = Repair { guard: ManuallyDrop::new(guard), mark };
        let value = value();
        if mark.is_torn() {
            // SAFETY: the guard has the value to itself (M1); nothing of a torn one is read or dropped (M2).
            unsafe { self.value.get().write(value) };
        } else {
            // SAFETY: as above, and a value that is not torn is a `T`, whose destructor may run.
            unsafe { *self.value.get() = value };
        }
        repair.finish()
    }

    /// Locks the mutex, and keeps whatever a death or a panic inside has left there, as it is.
    ///
    /// That is sound for types of which every bit pattern is a value: integers, floats, arrays and structs of them. What the
    /// bytes mean is for the caller to find out. It blocks as [`lock`](Self::lock) does.
    ///
    /// # Panics
    ///
    /// In a process that is no member of a family: one that a bare `fork` made, or that has left, or whose family has ended,
    /// also while it waits.
    ///
    /// ```
    /// use procession_sync::{LockError, Mutex};
    ///
    /// let balance = Mutex::new(1);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         *balance.lock().unwrap() = 2;
    ///         let _guard = balance.lock().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(matches!(balance.lock(), Err(LockError::Poisoned)));
    /// assert_eq!(*balance.lock_or_keep(), 2);
    /// assert!(balance.lock().is_ok());
    /// ```
    pub fn lock_or_keep(&self) -> MutexGuard<'_, T>
    where
        T: AnyBitPattern,
    {
        self.lock_for_repair().0
    }

    /// Whether a thread has panicked inside, and nobody has repaired the value since.
    ///
    /// ```
    /// let mutex = procession_sync::Mutex::new(1);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = mutex.lock().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(mutex.is_poisoned());
    /// mutex.clear_poison();
    /// assert!(!mutex.is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.lock.mark().is_some_and(Mark::is_poisoned)
    }

    /// Forgets that a thread has panicked inside. It does nothing about a death inside.
    ///
    /// ```
    /// let mutex = procession_sync::Mutex::new(1);
    /// std::thread::scope(|scope| {
    ///     let careless = || {
    ///         let _guard = mutex.lock().unwrap();
    ///         std::panic::resume_unwind(Box::new("while it is locked"));
    ///     };
    ///     scope.spawn(careless).join().unwrap_err();
    /// });
    /// assert!(mutex.lock().is_err());
    /// mutex.clear_poison();
    /// assert_eq!(*mutex.lock()?, 1);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn clear_poison(&self) {
        self.lock.clear_poison();
    }

    /// The value, which nobody else can reach.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](LockError::OwnerDied) and [`Poisoned`](LockError::Poisoned), as for [`lock`](Self::lock). A guard that was
    /// forgotten is no hindrance.
    ///
    /// ```
    /// let mut mutex = procession_sync::Mutex::new(1);
    /// *mutex.get_mut()? += 1;
    /// assert_eq!(*mutex.lock()?, 2);
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
    /// let mutex = procession_sync::Mutex::new(vec![1]);
    /// mutex.lock()?.push(2);
    /// assert_eq!(mutex.into_inner()?, [1, 2]);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn into_inner(self) -> Result<T, LockError> {
        self.soundness()?;
        Ok(self.value.into_inner())
    }

    fn soundness(&self) -> Result<(), LockError> {
        match self.lock.mark_without_owner() {
            Mark::CLEAN => Ok(()),
            mark => Err(mark.error()),
        }
    }

    #[inline]
    fn lock_within(&self, limit: Limit) -> Result<Option<MutexGuard<'_, T>>, LockError> {
        let me = me()?;
        if self.lock.claim(me, WORK) {
            return Ok(Some(MutexGuard::new(self, me)));
        }
        self.wait_for_lock(me, limit)
    }

    #[cold]
    fn wait_for_lock(
        &self,
        me: Member,
        limit: Limit,
    ) -> Result<Option<MutexGuard<'_, T>>, LockError> {
        match self.lock.enter(me, WORK, limit) {
            Entry::Taken(_) => Ok(Some(MutexGuard::new(self, me))),
            Entry::Refused(mark) => Err(mark.error()),
            Entry::TimedOut => Ok(None),
        }
    }

    /// The lock in whatever state, and what it was marked with.
    fn lock_for_repair(&self) -> (MutexGuard<'_, T>, Mark) {
        loop {
            let me = family::me().unwrap_or_else(|reason| panic!("{reason}"));
            if let Entry::Taken(mark) = self.lock.enter(me, REPAIR, Limit::NEVER) {
                return (MutexGuard::new(self, me), mark);
            }
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Shows the value if nobody holds the mutex, and never waits.
impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(Some(guard)) => shown.field("value", &*guard),
            Ok(None) => shown.field("value", &format_args!("<locked>")),
            Err(error) => shown.field("error", &error),
        };
        shown.finish_non_exhaustive()
    }
}

/// The mutex is locked while this lives.
///
/// Dropping it unlocks; dropping it in a panic that began after it was made poisons the mutex. The copy of it in a process
/// that a bare `fork` made does nothing when it is dropped.
///
/// ```
/// use procession_sync::{Mutex, MutexGuard};
///
/// fn add(mut total: MutexGuard<'_, u64>) { *total += 1 }
///
/// let total = Mutex::new(1);
/// add(total.lock()?);
/// assert_eq!(*total.lock()?, 2);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    owner: Member,
    panicking: bool,
    /// As in std: who locks is who unlocks.
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out `&T` and nothing else.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T> MutexGuard<'a, T> {
    #[inline]
    fn new(mutex: &'a Mutex<T>, owner: Member) -> Self {
        Self { mutex, owner, panicking: thread::panicking(), _not_send: PhantomData }
    }

    /// The mutex this is the guard of.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: M1 and M2.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: M1 and M2; the guard itself is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !is_me(self.owner) && !procession_shm::seeded!("copied-guard-unlocks") {
            return;
        }
        if !self.panicking && thread::panicking() {
            self.mutex.lock.leave(Mark::POISONED, Call::Everybody);
        } else {
            self.mutex.lock.leave(Mark::CLEAN, Call::Next);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A guard whose value is not sound yet: if making a new one panics, the lock is given back marked as it was.
struct Repair<'a, T> {
    guard: ManuallyDrop<MutexGuard<'a, T>>,
    mark: Mark,
}

impl<'a, T> Repair<'a, T> {
    fn finish(self) -> MutexGuard<'a, T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again, so the guard is taken out once.
        unsafe { ManuallyDrop::take(&mut this.guard) }
    }
}

impl<T> Drop for Repair<'_, T> {
    fn drop(&mut self) {
        if is_me(self.guard.owner) {
            self.guard.mutex.lock.leave(self.mark, Call::Everybody);
        }
    }
}
