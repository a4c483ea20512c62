//! Threads that the program does not know of. They take no signals: these are for the threads of the program, which may have
//! blocked or be waiting for them.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that takes no signals.
///
/// # Errors
///
/// The system has no thread left.
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let thread = procession_shm::quiet::spawn("worker", move || sender.send(7).unwrap())?;
/// assert_eq!(receiver.recv(), Ok(7));
/// thread.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let _until_it_runs = block();
    Builder::new().name(name.into()).spawn(work)
}

/// Blocks all signals in this thread, for threads started meanwhile to inherit, until the guard is dropped.
pub(crate) fn block() -> Blocked {
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
pub(crate) struct Blocked {
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
