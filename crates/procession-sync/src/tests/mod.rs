//! Models for loom, and what needs to look inside.

#[cfg(procession_loom)]
mod loom_barrier;
#[cfg(procession_loom)]
mod loom_condvar;
#[cfg(procession_loom)]
mod loom_event;
#[cfg(procession_loom)]
mod loom_mutex;
#[cfg(procession_loom)]
mod loom_once;
#[cfg(procession_loom)]
mod loom_rwlock;
#[cfg(procession_loom)]
mod loom_semaphore;
#[cfg(procession_loom)]
mod pair;
