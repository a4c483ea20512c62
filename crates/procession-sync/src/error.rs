//! Why a primitive was not had.

use procession_shm::family::{self, FamilyError, Member};

/// Why a lock was not given, or a wait not done. It never holds a guard, so `?` takes it anywhere.
///
/// ```
/// use procession_sync::{LockError, Mutex};
///
/// let mutex = Mutex::new(1);
/// std::thread::scope(|scope| {
///     let careless = || {
///         let _guard = mutex.lock().unwrap();
///         std::panic::resume_unwind(Box::new("while it is locked"));
///     };
///     scope.spawn(careless).join().unwrap_err();
/// });
/// assert!(matches!(mutex.lock(), Err(LockError::Poisoned)));
/// assert_eq!(*mutex.lock_or_reset(|| 0), 0);            // repairs what a panic or a death has left
/// assert_eq!(*mutex.lock()?, 0);
/// # Ok::<(), LockError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// A process died while it could write what the lock guards, and nobody has repaired that since.
    ///
    /// It is so for everybody until somebody comes with [`lock_or_reset`](crate::Mutex::lock_or_reset) or
    /// [`lock_or_keep`](crate::Mutex::lock_or_keep).
    #[error(
        "{} died while it held the lock, and may have left the value half written: repair it with `lock_or_reset` or `lock_or_keep` (on an RwLock `write_or_reset`, `write_or_keep`)",
        Process(*.pid)
    )]
    OwnerDied {
        /// The process that died, as the family's root numbers processes; 0 when nobody asked while that was known.
        pid: u32,
    },
    /// A thread panicked while it held the lock.
    #[error(
        "a thread panicked while it held the lock: check the value and call `clear_poison`, or replace it with `lock_or_reset`"
    )]
    Poisoned,
    /// This process does not belong to the family that shares the lock: a bare `fork` made it, it has left, or the family has
    /// ended with its root, of which one who waits learns at his next check-up.
    #[error("{reason}")]
    NotAMember {
        /// Why not, and what can be done.
        #[source]
        reason: Box<FamilyError>,
    },
    /// As many processes hold a share of this as its table has room for, or this process holds as many shares as can be
    /// counted for one.
    #[error(
        "all {cells} places for holders are taken: wait until one is given back, or make the table larger (its const parameter)"
    )]
    TooManyHolders {
        /// How many places the table has.
        cells: usize,
    },
}

struct Process(u32);

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("a process"),
            pid => write!(f, "process {pid}"),
        }
    }
}

/// Who the caller is.
#[inline]
pub(crate) fn me() -> Result<Member, LockError> {
    family::me().map_err(not_a_member)
}

#[cold]
fn not_a_member(reason: FamilyError) -> LockError {
    LockError::NotAMember { reason: Box::new(reason) }
}
