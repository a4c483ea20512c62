//! A value that every process of a line of forks has of its own.
//!
//! What a thread of ours works for does not survive a fork, because the thread does not. A process that finds a value of
//! another generation leaves it where it is, untouched (a lock in it may have been held at the moment of the fork), and makes
//! its own. Nobody waits for anybody: whoever finishes first wins.
//!
//! * **P1** A published value is never freed, so that references to it are `'static`. There is one for each fork in the line.
//!
//! Ordering edge W1: the release half of the exchange publishes the value, the acquire loads receive it.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering}; // tidy: raw atomic: private to this process, and a model has no forks

use super::{generation, is_current};

/// A value that every process of a line of forks makes for itself, at the first use.
///
/// ```
/// use procession_shm::fork::PerProcess;
///
/// static PID: PerProcess<u32> = PerProcess::new();
/// assert!(PID.get().is_none());
/// assert_eq!(*PID.get_or_try_init(|| Ok(std::process::id()))?, std::process::id());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PerProcess<T: 'static>(AtomicPtr<Made<T>>);

#[derive(Debug)]
struct Made<T> {
    generation: u64,
    value: T,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// No process has one.
    ///
    /// ```
    /// static PID: procession_shm::fork::PerProcess<u32> = procession_shm::fork::PerProcess::new();
    ///
    /// assert_eq!(PID.get(), None);
    /// ```
    #[expect(clippy::new_without_default, reason = "it is made in statics")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value of this process, once it has one.
    ///
    /// ```
    /// use procession_shm::fork::PerProcess;
    ///
    /// static PID: PerProcess<u32> = PerProcess::new();
    ///
    /// PID.get_or_try_init(|| Ok(std::process::id()))?;
    /// assert_eq!(PID.get(), Some(&std::process::id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get(&self) -> Option<&'static T> {
        // W1, receiving end.
        Self::of_this_process(self.0.load(Ordering::Acquire))
    }

    /// The value of this process, made by `init` if nobody has finished making it. The losers of a race drop what they made.
    ///
    /// # Errors
    ///
    /// What `init` returns, or what the system says when this process cannot be told from those that it was forked from. The
    /// next call tries again.
    ///
    /// ```
    /// use procession_shm::fork::PerProcess;
    ///
    /// static PID: PerProcess<u32> = PerProcess::new();
    ///
    /// assert!(PID.get_or_try_init(|| Err(std::io::ErrorKind::Other.into())).is_err());
    /// assert_eq!(PID.get_or_try_init(|| Ok(7))?, &7);       // the next call tries again
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_or_try_init(&self, init: impl FnOnce() -> io::Result<T>) -> io::Result<&'static T> {
        // W1, receiving end.
        let seen = self.0.load(Ordering::Acquire);
        if let Some(value) = Self::of_this_process(seen) {
            return Ok(value);
        }
        let made = Box::into_raw(Box::new(Made { generation: generation()?, value: init()? }));
        // W1, publishing end; on failure the receiving one.
        match self.0.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just published, and never freed (P1).
            Ok(_) => Ok(unsafe { &(*made).value }),
            Err(winner) => {
                // SAFETY: it came from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(made) });
                // Whoever was faster is a thread of this process.
                Self::of_this_process(winner).ok_or_else(|| io::ErrorKind::Other.into())
            }
        }
    }

    fn of_this_process(made: *mut Made<T>) -> Option<&'static T> {
        // SAFETY: it is null or was published, and is never freed (P1).
        let made = unsafe { made.cast_const().as_ref() }?;
        is_current(made.generation).then_some(&made.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_a_failure_leaves_nothing() {
        static VALUE: PerProcess<u32> = PerProcess::new();
        assert!(VALUE.get_or_try_init(|| Err(io::ErrorKind::Other.into())).is_err());
        assert!(VALUE.get().is_none());
        let made = VALUE.get_or_try_init(|| Ok(1)).expect("the first to make it");
        let again = VALUE.get_or_try_init(|| Ok(2)).expect("made already");
        assert!(ptr::eq(made, again));
        assert_eq!(VALUE.get(), Some(&1));
    }

    #[test]
    fn one_of_another_generation_is_not_this_processes() {
        static VALUE: PerProcess<u32> = PerProcess::new();
        let inherited = Made { generation: u64::MAX, value: 1 };
        VALUE.0.store(Box::into_raw(Box::new(inherited)), Ordering::Release);
        assert!(VALUE.get().is_none());
        assert_eq!(VALUE.get_or_try_init(|| Ok(2)).expect("this process's own"), &2);
    }
}
