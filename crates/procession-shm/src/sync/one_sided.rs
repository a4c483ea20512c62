//! Fences of which the rare side pays for both.
//!
//! Two parties that each store to one word and then load another need a full fence between the two on *both* sides, or neither may see
//! what the other has stored. Where one side does this for every item of work and the other a few times a second, the first can leave
//! its fence out if the second makes the kernel put one into whatever the first is doing: `membarrier` with `GLOBAL_EXPEDITED`, which
//! interrupts the processors on which processes that have [enlisted](enlist) are running. Those that do not run pass a fence on their
//! way off the processor and back.
//!
//! Rejected: `MEMBARRIER_CMD_GLOBAL`, which takes milliseconds; a signal, which disturbs the function that is running.
//!
//! # Not guaranteed
//!
//! The language's memory model knows nothing of this. What is relied upon is the kernel's promise, and that a compiler moves no access
//! across a `compiler_fence`. Models have full fences on both sides.

#[cfg(not(procession_loom))]
use std::sync::atomic::{AtomicBool, compiler_fence};

#[cfg(not(procession_loom))]
use rustix::thread::{MembarrierCommand, membarrier};

use super::atomic::{Ordering, fence};

/// How two sides are kept from missing each other. Where the frequent side goes by [`OneSided`](Self::OneSided), the rare one must.
/// The greater one is right for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fences {
    /// Each side has its own fence.
    Mutual,
    /// The rare side sees to both. The frequent one must have [enlisted](enlist).
    OneSided,
}

impl Fences {
    /// What this process can offer as the rare side. It tries, each time: a filter for system calls may be put up later.
    #[cfg(not(procession_loom))]
    pub fn offer() -> Self {
        if Self::OneSided.rare() { Self::OneSided } else { Self::Mutual }
    }

    /// In a model, a fence on each side.
    #[cfg(procession_loom)]
    pub fn offer() -> Self {
        Self::Mutual
    }

    /// Between the store and the load of the side that does this often.
    #[inline]
    pub fn frequent(self) {
        match self {
            Self::Mutual => fence(Ordering::SeqCst),
            #[cfg(not(procession_loom))]
            Self::OneSided => compiler_fence(Ordering::SeqCst),
            #[cfg(procession_loom)]
            Self::OneSided => fence(Ordering::SeqCst),
        }
    }

    /// Between the store and the load of the side that does this rarely. False if the kernel has refused, as it does when a filter for
    /// system calls was put up since the [offer](Self::offer): nothing is known of the other side then.
    #[must_use]
    pub fn rare(self) -> bool {
        fence(Ordering::SeqCst);
        #[cfg(not(procession_loom))]
        if self == Self::OneSided {
            return membarrier(MembarrierCommand::GlobalExpedited).is_ok();
        }
        true
    }
}

/// From now on this process may leave out its [fences](Fences::frequent). False if the kernel does not know how, or must not do it.
#[cfg(not(procession_loom))]
#[must_use]
pub fn enlist() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Whether this process has [enlisted](enlist) by now, for a caller who can go on with fences until then. The first call has a thread
/// see to it: the kernel takes milliseconds, in which it waits for all processors, when a process has several threads.
///
/// A process that was forked has enlisted if the one it was forked from had. Where no thread can be started, or one was lost in a fork,
/// the fences stay.
#[cfg(not(procession_loom))]
#[cold]
pub fn has_enlisted() -> bool {
    static HAS_ASKED: AtomicBool = AtomicBool::new(false);
    static HAS_ENLISTED: AtomicBool = AtomicBool::new(false);
    if !HAS_ASKED.swap(true, Ordering::Relaxed) {
        let enlisted = || HAS_ENLISTED.store(enlist(), Ordering::Release);
        let _thread = crate::quiet::spawn("procession-enlist", enlisted);
    }
    HAS_ENLISTED.load(Ordering::Acquire)
}

/// In a model there is nobody who could refuse.
#[cfg(procession_loom)]
pub fn has_enlisted() -> bool {
    true
}
