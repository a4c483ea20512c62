//! What can have only one owner, in all processes together.
//!
//! `Serialize` takes `&self`, so the type system cannot move a handle into a message: it is moved at run time.
//!
//! | state | meaning | next |
//! |---|---|---|
//! | `Here` | this handle owns it | `Leaving` by being encoded, `Gone` by being taken |
//! | `Leaving` | it is in a message that may still fail | `Gone` by `commit`, `Here` by `undo` |
//! | `Gone` | somebody else owns it | |
//!
//! * **U1** Only in `Here` can it be used, encoded or taken.
//! * **U2** From `Here` to `Leaving` goes only [`Unique::leave`], which borrows the handle; so it cannot happen while somebody
//!   has borrowed the handle mutably, and what is reached through a mutable borrow cannot leave under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{TransferError, send};

/// It is not here any more: it was sent to another process, or taken.
///
/// ```
/// use procession_shm::transfer::{Moved, Unique};
///
/// let unique = Unique::new(7);
/// assert_eq!(unique.take(), Ok(7));
/// assert_eq!(unique.take(), Err(Moved));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was already sent to another process, use it there")]
pub struct Moved;

#[derive(Debug)]
enum Right<R> {
    Here(R),
    Leaving(R),
    Gone,
}

/// Something that can have only one owner and may travel: at any time in one process, or in one message.
///
/// ```
/// use procession_shm::transfer::{Moved, Unique, send_scope};
///
/// let unique = Unique::new(7);
/// let (_, outgoing) = send_scope(|| unique.leave("key", |_| Ok(()))).unwrap();
/// assert_eq!(unique.with(|n| *n), Err(Moved));          // it is in the message
/// drop(outgoing);                                       // which could not be sent
/// assert_eq!(unique.with(|n| *n), Ok(7));
/// ```
#[derive(Debug)]
pub struct Unique<R> {
    right: Arc<Mutex<Right<R>>>,
}

impl<R: Send + 'static> Unique<R> {
    /// Makes this handle the owner.
    ///
    /// ```
    /// use procession_shm::transfer::Unique;
    ///
    /// assert_eq!(Unique::new(7).take(), Ok(7));
    /// ```
    pub fn new(thing: R) -> Self {
        Self { right: Arc::new(Mutex::new(Right::Here(thing))) }
    }

    /// Looks at the thing.
    ///
    /// # Errors
    ///
    /// [`Moved`] when it has left.
    ///
    /// ```
    /// use procession_shm::transfer::Unique;
    ///
    /// let unique = Unique::new("here".to_owned());
    /// assert_eq!(unique.with(String::len), Ok(4));
    /// ```
    pub fn with<T>(&self, look: impl FnOnce(&R) -> T) -> Result<T, Moved> {
        match &*lock(&self.right) {
            Right::Here(thing) => Ok(look(thing)),
            Right::Leaving(_) | Right::Gone => Err(Moved),
        }
    }

    /// Takes the thing out for good.
    ///
    /// # Errors
    ///
    /// [`Moved`] when it has left.
    ///
    /// ```
    /// use procession_shm::transfer::{Moved, Unique};
    ///
    /// let unique = Unique::new(7);
    /// assert_eq!(unique.take(), Ok(7));
    /// assert_eq!(unique.with(|n| *n), Err(Moved));
    /// ```
    pub fn take(&self) -> Result<R, Moved> {
        let mut right = lock(&self.right);
        match std::mem::replace(&mut *right, Right::Gone) {
            Right::Here(thing) => Ok(thing),
            other => {
                *right = other;
                Err(Moved)
            }
        }
    }

    /// Puts the thing into the message that is being encoded. `write` attaches its descriptors.
    ///
    /// # Errors
    ///
    /// [`NotSending`](TransferError::NotSending) outside of a [`send_scope`](super::send_scope),
    /// [`Moved`](TransferError::Moved) when it has left before, and those of `write`, after which it is still here.
    ///
    /// ```
    /// use procession_shm::transfer::{TransferError, Unique, send_scope};
    ///
    /// let unique = Unique::new(7);
    /// send_scope(|| unique.leave("key", |_| Ok(()))).unwrap().1.commit();
    /// let again = send_scope(|| unique.leave("key", |_| Ok(()))).unwrap_err();
    /// assert!(matches!(again.error, TransferError::Moved { handle: "key" }));
    /// ```
    pub fn leave<T>(
        &self,
        handle: &'static str,
        write: impl FnOnce(&R) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        send::record(self.try_leave(handle, write))
    }

    fn try_leave<T>(
        &self,
        handle: &'static str,
        write: impl FnOnce(&R) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        if !send::is_open() {
            return Err(TransferError::NotSending { handle });
        }
        let mut right = lock(&self.right);
        let Right::Here(thing) = &*right else { return Err(TransferError::Moved { handle }) };
        let written = write(thing)?;
        send::push_leaving(handle, Box::new(Arc::clone(&self.right)))?;
        if let Right::Here(thing) = std::mem::replace(&mut *right, Right::Gone) {
            *right = Right::Leaving(thing);
        }
        Ok(written)
    }
}

/// A handle in a message that may still fail.
pub(super) trait Leaving: Send {
    /// The message is as good as sent: the thing is the receiver's.
    fn commit(&self);
    /// The message failed: the thing stays.
    fn undo(&self);
}

impl<R: Send + 'static> Leaving for Arc<Mutex<Right<R>>> {
    fn commit(&self) {
        let left = std::mem::replace(&mut *lock(self), Right::Gone);
        // After the lock is free: dropping it may be more than a store.
        drop(left);
    }

    fn undo(&self) {
        let mut right = lock(self);
        if let Right::Leaving(thing) = std::mem::replace(&mut *right, Right::Gone) {
            *right = Right::Here(thing);
        }
    }
}

/// A panic while it was locked can only be that of a look, which changes nothing.
fn lock<R>(right: &Mutex<Right<R>>) -> MutexGuard<'_, Right<R>> {
    right.lock().unwrap_or_else(PoisonError::into_inner)
}
