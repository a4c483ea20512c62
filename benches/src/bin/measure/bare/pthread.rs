//! The C library's mutex between processes: the plain one, and the robust one, which survives its owner's death.

use std::io;

use procession_bench_harness::words::Words;

/// A mutex and the number that it guards, for this process and its twins.
///
/// Invariant P1: place 0 holds a mutex that was initialised once and is never moved or destroyed while somebody can use it.
pub(crate) struct Mutex {
    words: Words,
}

impl Mutex {
    pub(crate) fn new(is_robust: bool) -> io::Result<Self> {
        let mutex = Self { words: Words::new()? };
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: the room is for attributes, and they are initialised only here.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes have been initialised.
        check(unsafe {
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
        })?;
        if is_robust {
            // SAFETY: the attributes have been initialised.
            check(unsafe {
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
            })?;
        }
        // SAFETY: a place has room for a mutex, is aligned, and holds none yet.
        check(unsafe { libc::pthread_mutex_init(mutex.raw(), attributes) })?;
        Ok(mutex)
    }

    fn raw(&self) -> *mut libc::pthread_mutex_t {
        const { assert!(size_of::<libc::pthread_mutex_t>() <= 128) };
        self.words.place(0).cast()
    }

    fn number(&self) -> *mut u64 {
        self.words.place(1).cast()
    }

    /// Adds one under the lock and returns the sum.
    #[inline]
    pub(crate) fn increment(&self) -> io::Result<u64> {
        // SAFETY: P1.
        check(unsafe { libc::pthread_mutex_lock(self.raw()) })?;
        // SAFETY: the lock is held, so nobody else accesses the number.
        let sum = unsafe { self.number().read() } + 1;
        // SAFETY: as above.
        unsafe { self.number().write(sum) };
        // SAFETY: P1, and this thread holds it.
        check(unsafe { libc::pthread_mutex_unlock(self.raw()) })?;
        Ok(sum)
    }
}

#[inline]
fn check(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
