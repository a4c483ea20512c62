//! Words that a process and its twin both see, each in cache lines of its own.

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Processors fetch cache lines in pairs.
const STRIDE: usize = 128;
const COUNT: usize = 32;

/// Zeroed memory that stays shared across [`fork`](crate::twin::fork): 32 places of 128 bytes.
///
/// Invariant W1: the mapping is readable and writable, `STRIDE * COUNT` bytes long, starts at a page, and lives as long as this.
#[derive(Debug)]
pub struct Words {
    start: *mut c_void,
}

// SAFETY: by W1 all that is handed out are atomics and addresses into a mapping that belongs to no thread.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// # Errors
    ///
    /// When there is no memory.
    pub fn new() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so the kernel gives one that nothing uses.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), STRIDE * COUNT, access, MapFlags::SHARED) }?;
        Ok(Self { start })
    }

    /// The 128 bytes at `index`, for what is no word.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn place(&self, index: usize) -> *mut c_void {
        assert!(index < COUNT, "there are {COUNT} places");
        // SAFETY: within the mapping, by W1 and the assertion.
        unsafe { self.start.byte_add(index * STRIDE) }
    }

    /// A word of 32 bits. It must not be mixed with other uses of its place.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn u32(&self, index: usize) -> &AtomicU32 {
        // SAFETY: W1: aligned, live as long as `self`, and everybody accesses it as an atomic.
        unsafe { AtomicU32::from_ptr(self.place(index).cast()) }
    }

    /// A word of 64 bits. It must not be mixed with other uses of its place.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn u64(&self, index: usize) -> &AtomicU64 {
        // SAFETY: as for `u32`.
        unsafe { AtomicU64::from_ptr(self.place(index).cast()) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: W1; nothing that was handed out outlives `self`, or is used after it where it is a bare address.
        let unmapped = unsafe { munmap(self.start, STRIDE * COUNT) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_begin_at_zero_and_are_apart() {
        let words = Words::new().unwrap();
        words.u64(1).store(u64::MAX, Ordering::Relaxed);
        assert_eq!(words.u64(0).load(Ordering::Relaxed), 0);
        assert_eq!(words.u32(2).load(Ordering::Relaxed), 0);
    }

    #[test]
    #[should_panic(expected = "32 places")]
    fn there_is_no_more_than_there_is() {
        Words::new().unwrap().place(COUNT);
    }
}
