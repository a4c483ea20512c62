//! A value computed once, in a cell that a fork cannot leave half initialised.
//!
//! `OnceLock` makes others wait for the thread that initialises it. When a program forks at that
//! moment the thread does not exist in the new process and its first caller would wait for ever.
//! Here every caller computes for itself, the first one to finish wins, and nobody waits.
//!
//! Ordering edge W1: the release half of the exchange in `get_or_try_init` publishes the value,
//! the acquire load at its top (and the failure load of the exchange) receives it.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering}; // tidy: raw atomic: private to this process, and a model has no forks

/// A value computed once: whoever finishes computing it first wins, and nobody waits for anybody.
///
/// ```
/// use procession_shm::fork::FirstWins;
///
/// static LIMIT: FirstWins<u32> = FirstWins::new();
/// assert_eq!(LIMIT.get(), None);
/// assert_eq!(LIMIT.get_or_try_init(|| "7".parse())?, &7);
/// assert_eq!(LIMIT.get_or_try_init(|| "8".parse())?, &7);
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Debug)]
pub struct FirstWins<T: 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> FirstWins<T> {
    /// An empty cell.
    ///
    /// ```
    /// static LIMIT: procession_shm::fork::FirstWins<u32> = procession_shm::fork::FirstWins::new();
    ///
    /// assert_eq!(LIMIT.get(), None);
    /// ```
    #[expect(clippy::new_without_default, reason = "it is made in statics")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value, once there is one.
    ///
    /// ```
    /// use procession_shm::fork::FirstWins;
    ///
    /// static LIMIT: FirstWins<u32> = FirstWins::new();
    ///
    /// assert_eq!(LIMIT.get(), None);
    /// LIMIT.get_or_try_init(|| Ok::<_, ()>(7)).unwrap();
    /// assert_eq!(LIMIT.get(), Some(&7));
    /// ```
    pub fn get(&self) -> Option<&'static T> {
        // W1, receiving end.
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: the pointer is null or comes from `Box::into_raw` in `get_or_try_init`, which
        // never frees what it has published.
        unsafe { value.cast_const().as_ref() }
    }

    /// The value, computed by `init` if nobody has finished computing it. The losers of a race
    /// drop what they computed.
    ///
    /// # Errors
    ///
    /// What `init` returns; the cell then stays empty.
    ///
    /// ```
    /// use procession_shm::fork::FirstWins;
    ///
    /// static LIMIT: FirstWins<u32> = FirstWins::new();
    ///
    /// assert!(LIMIT.get_or_try_init(|| "x".parse()).is_err());
    /// assert_eq!(LIMIT.get_or_try_init(|| "7".parse()), Ok(&7)); // it had stayed empty
    /// ```
    pub fn get_or_try_init<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => Ok(self.publish(Box::new(init()?))),
        }
    }

    fn publish(&self, value: Box<T>) -> &'static T {
        let mine = Box::into_raw(value);
        // W1, publishing end; on failure the receiving one.
        let outcome =
            self.0.compare_exchange(ptr::null_mut(), mine, Ordering::AcqRel, Ordering::Acquire);
        match outcome {
            // SAFETY: `mine` is a live box that is now published and never freed.
            Ok(_) => unsafe { &*mine },
            Err(winner) => {
                // SAFETY: `mine` came from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(mine) });
                // SAFETY: a published value is never freed.
                unsafe { &*winner }
            }
        }
    }
}
