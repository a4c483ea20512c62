//! On which processor the spawner wakes up: on that of whoever asks it for a child, and then sleeps until the child is started.
//!
//! Left alone, the kernel wakes a thread on an idle processor. On a virtual machine that takes 20 to 50 µs, which is what it takes
//! to get a processor out of its idleness, and what runs there finds nothing in the caches. The processor of the one who asks is
//! awake, and about to be free. So he binds the sleeping spawner to it, and the spawner unbinds itself before it starts anything.
//!
//! # Invariants
//!
//! * **K1** No child is started while the spawner is bound: children inherit what the thread is bound to that starts them. The
//!   spawner has the lock from before it unbinds itself until the child was started, and nobody binds it without the lock.
//! * **K2** The spawner gets back the set of processors that it had, which is kept behind the same lock. If that was all that its
//!   cpuset has, it gets them as such: what a thread has asked for by number is all that it, and its children, ever get, however
//!   many the cpuset has later.
//! * **K3** Nobody waits for the lock who asks: if the spawner has it, it is awake.
//! * **K4** It starts with the set of the main thread, and not with that of the thread that has started it: which that was is chance,
//!   and a thread that is bound to one processor would bind all children for the life of the program.
//!
//! # Not guaranteed
//!
//! If somebody else changes what the spawner is bound to in the microseconds in which it is bound to one processor, that change is
//! lost. A set that somebody chose and that is as large as the cpuset grows with it. Where the call is forbidden (seccomp), be it to
//! the spawner or to who asks, the spawner wakes up where the kernel likes.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, getpid};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::error::SpawnError;

/// Where the spawner works.
#[derive(Default)]
pub(crate) struct Desk {
    spawner: OnceLock<Pid>,
    /// What the spawner had before it was bound, as long as it is.
    before: Mutex<Option<CpuSet>>,
}

/// As long as this is there, the spawner is not bound.
pub(crate) type Unbound<'a> = MutexGuard<'a, Option<CpuSet>>;

impl Desk {
    /// The calling thread is the spawner (K4). It is left alone if it could not unbind itself.
    pub(crate) fn take(&self) {
        let main_thread = getpid();
        if sched_getaffinity(Some(main_thread)).and_then(|usual| restore(&usual)).is_ok() {
            self.spawner.get_or_init(gettid);
        }
    }

    /// Binds the spawner, if it sleeps, to the processor of the calling thread, which is about to ask it and to sleep.
    pub(crate) fn call_here(&self) {
        // K3.
        let (Some(spawner), Ok(mut before)) = (self.spawner.get(), self.before.try_lock()) else {
            return;
        };
        if before.is_none() {
            *before = bind(*spawner);
        }
    }

    /// Unbinds the calling thread, which is the spawner.
    pub(crate) fn unbind(&self) -> Result<Unbound<'_>, SpawnError> {
        // Nothing panics while the lock is held but what ends the process.
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usual) = &*before {
            match restore(usual) {
                // None of them may be used any more, so that the kernel has given this thread others.
                Ok(()) | Err(Errno::INVAL) => *before = None,
                Err(error) => return Err(SpawnError::system("set the affinity", error)),
            }
        }
        Ok(before)
    }
}

/// Gives the calling thread this set (K2).
fn restore(usual: &CpuSet) -> Result<(), Errno> {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    sched_setaffinity(None, &all)?;
    if sched_getaffinity(None)? == *usual { Ok(()) } else { sched_setaffinity(None, usual) }
}

/// The set that the thread had, if it could be bound to the processor of this one.
fn bind(spawner: Pid) -> Option<CpuSet> {
    let usual = sched_getaffinity(Some(spawner)).ok()?;
    let here = sched_getcpu();
    if usual.count() < 2 || here >= CpuSet::MAX_CPU || !usual.is_set(here) {
        return None;
    }
    let mut only = CpuSet::new();
    only.set(here);
    sched_setaffinity(Some(spawner), &only).ok().map(|()| usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_processors_back() {
        let on_a_thread = |work: fn()| std::thread::spawn(work).join().unwrap();
        on_a_thread(|| {
            let usual = sched_getaffinity(None).unwrap();
            bind(gettid());
            restore(&usual).unwrap();
            assert!(sched_getaffinity(None).unwrap() == usual);
        });
        on_a_thread(|| {
            let mut one = CpuSet::new();
            one.set(sched_getcpu());
            sched_setaffinity(None, &one).unwrap();
            restore(&one).unwrap();
            assert!(sched_getaffinity(None).unwrap() == one);
        });
    }
}
