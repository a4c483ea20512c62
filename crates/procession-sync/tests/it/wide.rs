//! What holds for all of them: size, threads, and what the compiler is to know.

use std::panic::{RefUnwindSafe, UnwindSafe};

use procession_shm::Shareable;
use procession_sync::{
    Barrier, BarrierError, Condvar, Event, LockError, Mutex, MutexGuard, Once, OnceLock, Permit,
    RwLock, Semaphore,
};

fn shared_between_threads<T: Send + Sync>() {}
fn shared_between_processes<T: Shareable + Send + Sync>() {
    assert!(!std::mem::needs_drop::<T>(), "nobody drops what is shared");
}
fn an_error<T: std::error::Error + Send + Sync + 'static>() {
    assert!(size_of::<T>() < 128);
}

#[test]
fn all_can_be_shared() {
    shared_between_processes::<Mutex<u64>>();
    shared_between_processes::<Mutex<std::cell::Cell<u64>>>();
    shared_between_processes::<RwLock<[u64; 4]>>();
    shared_between_processes::<Condvar>();
    shared_between_processes::<Semaphore>();
    shared_between_processes::<Barrier>();
    shared_between_processes::<Event>();
    shared_between_processes::<Once>();
    shared_between_processes::<OnceLock<u64>>();
    shared_between_threads::<Mutex<String>>();
    shared_between_threads::<RwLock<String>>();
    shared_between_threads::<OnceLock<String>>();
    an_error::<LockError>();
    an_error::<BarrierError>();
}

#[test]
fn sizes_in_memory() {
    assert_eq!(size_of::<Mutex<u64>>(), 24);
    assert_eq!(size_of::<Condvar>(), 4);
    assert_eq!(size_of::<Event>(), 4);
    assert_eq!(size_of::<Once>(), 16);
    assert_eq!(size_of::<OnceLock<u64>>(), 32);
    assert_eq!(size_of::<RwLock<u64>>(), 16 + 8 + 64 * 8 + 8);
    assert_eq!(size_of::<Semaphore>(), 16 + 8 + 64 * 8);
    assert_eq!(size_of::<Barrier>(), 16 + 8 + 8 + 64 * 8);
}

trait NotSend<Marker> {
    fn stays_with_its_thread() {}
}
impl<T> NotSend<()> for T {}
struct Sends;
impl<T: Send> NotSend<Sends> for T {}

/// Each of these lines would be ambiguous, and not compile, if the guard were `Send`.
#[test]
fn guards_stay_with_their_thread() {
    MutexGuard::<'_, u64>::stays_with_its_thread();
    procession_sync::RwLockReadGuard::<'_, u64>::stays_with_its_thread();
    procession_sync::RwLockWriteGuard::<'_, u64>::stays_with_its_thread();
    Permit::<'_, 64>::stays_with_its_thread();
}

fn survives_a_panic<T: UnwindSafe + RefUnwindSafe>() {}

/// As in std: what poisons may be looked at after a panic.
#[test]
fn a_panic_can_pass_by() {
    survives_a_panic::<Mutex<std::cell::Cell<u64>>>();
    survives_a_panic::<RwLock<std::cell::Cell<u64>>>();
    survives_a_panic::<OnceLock<u64>>();
}
