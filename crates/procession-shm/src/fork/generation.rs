//! Which process of a chain of forks this is.
//!
//! Threads do not survive a fork, memory does. Everything that relies on a thread of ours
//! remembers the generation it was made in, and a process that finds itself in another one starts
//! afresh. Process ids cannot serve: the init process of a container that forks into a new pid
//! namespace has a child with its own number.
//!
//! The current generation lies on a page that the kernel empties in the child of every fork
//! (MADV_WIPEONFORK), so a raw fork(2) that runs no handlers is noticed too. A zero means that no
//! generation was drawn since; the next number comes from ordinary memory, which the child
//! inherits, so no number appears twice along a line of ancestors.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering}; // tidy: raw atomic: private to this process, and a model has no forks

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::FirstWins;

static LAST: AtomicU64 = AtomicU64::new(0);
static PAGE: FirstWins<WipedPage> = FirstWins::new();

/// The number of this process along its line of forks, drawn when it is asked for the first time.
///
/// # Errors
///
/// What the system says when it gives no page, once, at the first call.
///
/// ```
/// use procession_shm::fork;
///
/// let generation = fork::generation()?;
/// assert!(fork::is_current(generation));                // until somebody forks, and then only here
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn current() -> io::Result<u64> {
    let word = PAGE.get_or_try_init(WipedPage::new)?.word();
    // Relaxed throughout: the word is compared with numbers only and guards no other memory.
    let drawn = word.load(Ordering::Relaxed);
    if drawn != 0 {
        return Ok(drawn);
    }
    let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Ok(fresh),
        Err(winner) => Ok(winner),
    }
}

/// Whether `generation` was drawn in this process and not in one that it was forked from.
///
/// ```
/// use procession_shm::fork;
///
/// let generation = fork::generation()?;
/// assert!(fork::is_current(generation) && !fork::is_current(generation + 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn is_current(generation: u64) -> bool {
    PAGE.get().is_some_and(|page| page.word().load(Ordering::Relaxed) == generation)
}

struct WipedPage(*mut AtomicU64);

// SAFETY: the page is only ever used through a shared reference to an atomic.
unsafe impl Send for WipedPage {}
// SAFETY: as above.
unsafe impl Sync for WipedPage {}

impl WipedPage {
    fn new() -> io::Result<Self> {
        let size = rustix::param::page_size();
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses.
        let page = unsafe { mmap_anonymous(ptr::null_mut(), size, prot, MapFlags::PRIVATE) }?;
        let wiped = Self(page.cast());
        // SAFETY: the range is the mapping made above, and nobody has written to it.
        unsafe { madvise(page, size, Advice::LinuxWipeOnFork) }?;
        Ok(wiped)
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page stays mapped as long as `self` lives, is aligned, and zero bytes are
        // a valid atomic.
        unsafe { &*self.0 }
    }
}

impl Drop for WipedPage {
    fn drop(&mut self) {
        let size = rustix::param::page_size();
        // SAFETY: the mapping was made by `new` with this size and no reference to it is left.
        let unmapped = unsafe { munmap(self.0.cast(), size) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}
