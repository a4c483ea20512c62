//! Something that is done once, by whoever comes first and lives to finish it.
//!
//! # Algorithm
//!
//! A [`Lock`] that the initializer holds, and that is marked as done when it is given back after a success. Whoever comes
//! later finds the mark with one load. An initializer that fails, panics or dies gives the lock back without the mark
//! (its death does not tear anything: what it has half written nobody reads), and the next one starts anew.
//!
//! # Safety
//!
//! * **O1** The value is written only by who holds the lock, before it marks the lock as done, and read only when the lock says
//!   done, which it does for good.
//! * **O2** Only shared memory can hold what a dead initializer has half written, and shared memory is never dropped.
//!
//! # Ordering
//!
//! The swap that marks the lock (release) pairs with [`Lock::mark`] (acquire): E1.
//!
//! # Crash points
//!
//! The commit point is the swap. Before it the lock names a dead owner and whoever comes next opens it; after it all is done,
//! and the death wakes whoever slept.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};

use procession_shm::Shareable;
use procession_shm::family::{FamilyError, Member, is_me};

use crate::LockError;
use crate::error::me;
use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::Limit;

const INITIALIZE: Claim = Claim { dirty: false, repair: false };

/// Something that is done once among all processes that share it. It lives in any memory, shared or not.
///
/// It is what [`std::sync::Once`] is for threads, with one difference: an initializer that panics, like one that dies, does not
/// poison it. The next one to come tries again.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::Once;
///
/// static START: Once = Once::new();
///
/// let mut runs = 0;
/// START.call_once(|| runs += 1)?;
/// START.call_once(|| runs += 1)?;
/// assert_eq!(runs, 1);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct Once {
    lock: Lock,
}

// SAFETY: words that mean the same everywhere (members of the one family), no pointers.
unsafe impl Shareable for Once {}

impl Once {
    const_fn! {
        /// Nothing is done yet.
        ///
        /// ```
        /// static START: procession_sync::Once = procession_sync::Once::new();
        ///
        /// assert!(!START.is_completed());
        /// ```
        pub fn new() -> Self {
            Self { lock: Lock::new() }
        }
    }

    /// Runs `work` if nobody has done so to its end yet. When this returns `Ok`, it is done.
    ///
    /// It blocks while somebody else is at it. If that one panics or dies, one of those who wait takes over. What `work` did
    /// before it died or panicked stays done; it must be of the kind that can be started anew. A `work` that comes here again
    /// waits for itself for ever.
    ///
    /// # Errors
    ///
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more, unless it is
    /// done already. If it ceases to be one while `work` runs, that has run, and nothing says that it is done.
    ///
    /// ```
    /// use procession_sync::Once;
    ///
    /// let (once, mut runs) = (Once::new(), 0);
    /// once.call_once(|| runs += 1)?;
    /// once.call_once(|| runs += 1)?;
    /// assert_eq!(runs, 1);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn call_once(&self, work: impl FnOnce()) -> Result<(), LockError> {
        if self.is_completed() {
            return Ok(());
        }
        match self.enter(Limit::NEVER)? {
            ControlFlow::Break(()) => {}
            ControlFlow::Continue(turn) => {
                work();
                turn.check()?;
                turn.complete();
            }
        }
        Ok(())
    }

    /// Whether it is done. It never blocks.
    ///
    /// ```
    /// let once = procession_sync::Once::new();
    /// assert!(!once.is_completed());
    /// once.call_once(|| ())?;
    /// assert!(once.is_completed());
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.lock.mark().is_some_and(Mark::is_done)
    }

    /// Waits until it is done, or it is the caller's turn to do it.
    pub(crate) fn enter(
        &self,
        limit: Limit,
    ) -> Result<ControlFlow<(), Initializer<'_>>, LockError> {
        loop {
            // Asked again whenever the lock was not had: who waits is no member any more when the family has ended.
            let me = me()?;
            match self.lock.enter(me, INITIALIZE, limit) {
                Entry::Taken(_) => {
                    return Ok(ControlFlow::Continue(Initializer { once: self, me }));
                }
                Entry::Refused(_) => return Ok(ControlFlow::Break(())),
                Entry::TimedOut => {}
            }
        }
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("is_completed", &self.is_completed()).finish()
    }
}

/// Whose turn it is. Dropped without [`complete`](Self::complete), it is the next one's.
pub(crate) struct Initializer<'a> {
    once: &'a Once,
    me: Member,
}

impl Initializer<'_> {
    /// Whether it still is this process' turn: what ran meanwhile may have outlived the family, left it, or forked.
    fn check(&self) -> Result<(), LockError> {
        if is_me(self.me) { Ok(()) } else { Err(nobody_any_more()) }
    }

    /// Says that it is done. Only for whose turn it is: who could have lost it has [asked](Self::check).
    fn complete(self) {
        ManuallyDrop::new(self).once.lock.leave(Mark::DONE, Call::Everybody);
    }

    pub(crate) fn end(&self, mark: Mark, call: Call) {
        if is_me(self.me) {
            self.once.lock.leave(mark, call);
        }
    }
}

/// Of a process that is not the member any more that it was.
#[cold]
fn nobody_any_more() -> LockError {
    let has_left = || FamilyError::Left { pid: std::process::id() };
    // It may be another member by now.
    me().err().unwrap_or_else(|| LockError::NotAMember { reason: Box::new(has_left()) })
}

impl Drop for Initializer<'_> {
    fn drop(&mut self) {
        self.end(Mark::CLEAN, Call::Next);
    }
}

/// A value that is written once among all processes that share it. It lives in any memory, shared or not.
///
/// It is what [`std::sync::OnceLock`] is for threads. An initializer that panics, fails or dies leaves the cell empty, and
/// the next one to come initializes it.
///
/// This is a *trusting* primitive: a process that has the memory can write anything into it.
///
/// ```
/// use procession_sync::OnceLock;
///
/// static SEED: OnceLock<u64> = OnceLock::new();
///
/// assert_eq!(SEED.get(), None);
/// assert_eq!(*SEED.get_or_init(|| 42)?, 42);
/// assert_eq!(*SEED.get_or_init(|| 43)?, 42);
/// # Ok::<(), procession_sync::LockError>(())
/// ```
#[repr(C)]
pub struct OnceLock<T> {
    once: Once,
    /// An option, so that the compiler drops the value of one that is not shared.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: by O1 one thread writes the value, maybe for another one to drop (`T: Send`), and many read it (`T: Sync`).
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

// SAFETY: the lock is words that mean the same everywhere (members of the one family), the value is `Shareable` itself.
unsafe impl<T: Shareable> Shareable for OnceLock<T> {}

// A panic while it is made leaves no value.
impl<T: UnwindSafe + RefUnwindSafe> RefUnwindSafe for OnceLock<T> {}

/// Why a value was not put into a [`OnceLock`]. The value comes back.
///
/// ```
/// use procession_sync::{OnceLock, SetOnceError};
///
/// let cell = OnceLock::new();
/// cell.set(1).unwrap();
/// match cell.set(2) {
///     Err(SetOnceError::AlreadySet { value }) => assert_eq!(value, 2),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SetOnceError<T> {
    /// There is a value already.
    #[error("the cell has a value already and is written only once: read that with `get`")]
    AlreadySet {
        /// The value that was to be set.
        value: T,
    },
    /// This process cannot write it.
    #[error("{error}")]
    Lock {
        /// The value that was to be set.
        value: T,
        /// Why not.
        #[source]
        error: LockError,
    },
}

impl<T> fmt::Debug for SetOnceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadySet { .. } => f.write_str("AlreadySet"),
            Self::Lock { error, .. } => f.debug_tuple("Lock").field(error).finish(),
        }
    }
}

impl<T> OnceLock<T> {
    const_fn! {
        /// An empty cell.
        ///
        /// ```
        /// use procession_sync::OnceLock;
        ///
        /// static LIMIT: OnceLock<u64> = OnceLock::new();
        ///
        /// assert_eq!(LIMIT.get(), None);
        /// ```
        pub fn new() -> Self {
            Self { once: Once::new(), value: UnsafeCell::new(None) }
        }
    }

    /// The value, if there is one. It never blocks, not even while somebody initializes the cell.
    ///
    /// ```
    /// let cell = procession_sync::OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(7).unwrap();
    /// assert_eq!(cell.get(), Some(&7));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: it is done, so the value is written and never changes again (O1).
        unsafe { (*self.value.get()).as_ref() }
    }

    /// The value, made by `value` if there is none.
    ///
    /// It blocks while somebody else makes the value. If that one panics or dies, one of those who wait takes over. A `value`
    /// that comes here again waits for itself for ever.
    ///
    /// # Errors
    ///
    /// [`NotAMember`](LockError::NotAMember) in a process that is no member of the family, or is none any more, unless there is
    /// a value already. If it ceases to be one while `value` runs, what that has made is dropped.
    ///
    /// ```
    /// let cell = procession_sync::OnceLock::new();
    /// assert_eq!(cell.get_or_init(|| 7)?, &7);
    /// assert_eq!(cell.get_or_init(|| 8)?, &7);
    /// # Ok::<(), procession_sync::LockError>(())
    /// ```
    pub fn get_or_init(&self, value: impl FnOnce() -> T) -> Result<&T, LockError> {
        self.get_or_try_init(|| Ok(value()))
    }

    /// The value, made by `value` if there is none. If `value` fails, the cell stays empty.
    ///
    /// # Errors
    ///
    /// That of `value`, and those of [`get_or_init`](Self::get_or_init).
    ///
    /// ```
    /// use procession_sync::{LockError, OnceLock};
    ///
    /// let cell = OnceLock::new();
    /// let parse = |text: &str| -> Result<u64, Box<dyn std::error::Error>> { Ok(text.parse()?) };
    /// assert!(cell.get_or_try_init(|| parse("x")).is_err());
    /// assert_eq!(cell.get_or_try_init(|| parse("7"))?, &7); // it had stayed empty
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_try_init<E: From<LockError>>(
        &self,
        value: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(found) = self.get() {
            return Ok(found);
        }
        if let ControlFlow::Continue(turn) = self.once.enter(Limit::NEVER)? {
            let value = value()?;
            turn.check()?;
            self.fill(turn, value);
        }
        Ok(self.filled())
    }

    /// Puts a value into an empty cell. It blocks while somebody else makes a value.
    ///
    /// # Errors
    ///
    /// [`AlreadySet`](SetOnceError::AlreadySet) when there is one, [`Lock`](SetOnceError::Lock) when this process is no member
    /// of the family. The value comes back.
    ///
    /// ```
    /// let cell = procession_sync::OnceLock::new();
    /// assert!(cell.set(1).is_ok());
    /// assert!(cell.set(2).is_err());
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetOnceError<T>> {
        if self.once.is_completed() {
            return Err(SetOnceError::AlreadySet { value });
        }
        match self.once.enter(Limit::NEVER) {
            Ok(ControlFlow::Continue(turn)) => {
                self.fill(turn, value);
                Ok(())
            }
            Ok(ControlFlow::Break(())) => Err(SetOnceError::AlreadySet { value }),
            Err(error) => Err(SetOnceError::Lock { value, error }),
        }
    }

    /// The value, which nobody else can reach.
    ///
    /// ```
    /// let mut cell = procession_sync::OnceLock::new();
    /// assert!(cell.get_mut().is_none());
    /// cell.set(1).unwrap();
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if self.once.is_completed() { self.value.get_mut().as_mut() } else { None }
    }

    /// Takes the value out.
    ///
    /// ```
    /// use procession_sync::OnceLock;
    ///
    /// assert_eq!(OnceLock::<u64>::new().into_inner(), None);
    /// let cell = OnceLock::new();
    /// cell.set(7).unwrap();
    /// assert_eq!(cell.into_inner(), Some(7));
    /// ```
    pub fn into_inner(self) -> Option<T> {
        if self.once.is_completed() { self.value.into_inner() } else { None }
    }

    fn filled(&self) -> &T {
        self.get().expect("what is done has a value (O1)")
    }

    fn fill(&self, turn: Initializer<'_>, value: T) {
        // SAFETY: the caller has its turn, so nobody else reads or writes (O1). What a dead one left is not dropped.
        unsafe { self.value.get().write(Some(value)) };
        turn.complete();
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<empty>")),
        };
        shown.finish()
    }
}
