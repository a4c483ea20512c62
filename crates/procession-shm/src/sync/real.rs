//! The real machine.

pub mod atomic {
    //! The standard library's atomics.
    pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

pub mod hint {
    //! What to tell the processor while looking at a word.
    pub use std::hint::spin_loop;
}

pub mod thread {
    //! Threads, for models and for the spin policy.
    pub use std::thread::yield_now;
}
