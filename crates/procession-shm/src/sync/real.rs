//! The real machine.

#[cfg(not(procession_hostile))]
pub mod atomic {
    //! The standard library's atomics.
    pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

    pub use crate::sync::fences::full_fence_after_rmw;
}

pub mod hint {
    //! What to tell the processor while looking at a word.
    pub use std::hint::spin_loop;
}

pub(crate) mod lock {
    //! The standard library's locks, for what the threads of one process share.
    pub(crate) use std::sync::{Mutex, MutexGuard};
}

pub mod thread {
    //! Threads, for models and for the spin policy.
    pub use std::thread::yield_now;
}

/// The word as the kernel takes it.
///
/// ```
/// use procession_shm::sync::atomic::AtomicU32;
/// use procession_shm::sync::raw;
///
/// let word = AtomicU32::new(7);
/// assert_eq!(raw(&word).load(std::sync::atomic::Ordering::Relaxed), 7);
/// ```
#[cfg(not(procession_hostile))]
pub fn raw(word: &atomic::AtomicU32) -> &atomic::AtomicU32 {
    word
}
