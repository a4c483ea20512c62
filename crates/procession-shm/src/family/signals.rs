//! Keeping signals away from a thread that the program does not know of.

use std::mem::MaybeUninit;

/// Blocks all signals in this thread, for threads started meanwhile to inherit, until the guard is dropped.
pub(super) fn block() -> Blocked {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the call fills the set it is given, and cannot fail for a valid pointer.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::uninit();
    // SAFETY: both pointers are valid, and the first set was filled above. For a valid first argument it cannot fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: the call above has filled it.
    Blocked { before: unsafe { before.assume_init() } }
}

/// Gives this thread its signals back when dropped.
pub(super) struct Blocked {
    before: libc::sigset_t,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the pointer is to a set that the kernel filled; the old mask is not asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut())
        };
    }
}
