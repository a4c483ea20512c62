//! Locks for several processes, which survive the death of whoever holds them.
//!
//! [`Mutex`], [`RwLock`], [`Condvar`], [`Semaphore`], [`Barrier`], [`Event`], [`Once`] and [`OnceLock`] are plain values, as in
//! std. Put one, or a struct of several, into a [`Shared`](procession_shm::Shared), and it works between the processes of a
//! family; use it in a `static` or on the stack, and it works between the threads of one.
//!
//! ```
//! use procession_shm::{Shareable, Shared};
//! use procession_sync::{Mutex, Semaphore};
//!
//! #[derive(Shareable)]
//! struct Account {
//!     balance: Mutex<u64>,
//!     clerks: Semaphore,
//! }
//!
//! let account = Shared::new(Account { balance: Mutex::new(0), clerks: Semaphore::new(2) })?;
//! let _clerk = account.clerks.acquire()?;
//! *account.balance.lock()? += 100;
//! assert_eq!(*account.balance.lock()?, 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a death does
//!
//! A process can be killed at any instruction. None of these ever blocks the others for it:
//!
//! | primitive | held by the dead | what the others get |
//! |---|---|---|
//! | [`Mutex`], [`RwLock`] to write | the lock | [`OwnerDied`](LockError::OwnerDied) until somebody repairs the value |
//! | [`RwLock`] to read | a share | it is given back |
//! | [`Semaphore`] | permits | they are given back |
//! | [`Barrier`] | an arrival | [`Broken`](BarrierError::Broken) until a reset |
//! | [`Condvar`] | a notification, given or owed | everybody looks at their condition |
//! | [`Event`] | nothing | once set it stays set |
//! | [`Once`], [`OnceLock`] | the turn to initialize | the next one initializes |
//!
//! A process that is stopped (`SIGSTOP`, a debugger) is not dead, and holds what it holds. A thread that ends, panics or
//! forgets a guard does not give back what the guard held; the death of its process does.
//!
//! # How they wait
//!
//! Each sleep is on the primitive's own word and on the death epoch of the [family](procession_shm::family). Every death wakes
//! everybody, who look again at who holds what. That costs a few microseconds a sleeper and makes a whole class of lost
//! wake-ups impossible: those where the dead one had just been woken, or was just about to wake.
//!
//! # For those who know Python's
//!
//! | `multiprocessing` | here |
//! |---|---|
//! | `Lock` | [`Mutex`]. `acquire(timeout=t)` is [`lock_timeout`](Mutex::lock_timeout), `block=False` is [`try_lock`](Mutex::try_lock). A `Duration` is never negative. Only the guard releases, so nobody else can, and nobody twice. There is no `locked()`: the answer would be old when it came |
//! | `RLock` | none. A recursive lock cannot give out `&mut T`. Pass the guard, or the `&mut T`, to what is called |
//! | `Semaphore` | [`Semaphore`]. `release()` of what another process took is [`add_permits`](Semaphore::add_permits), with [`Permit::forget`] on the other side; `get_value()` is [`available_permits`](Semaphore::available_permits) |
//! | `BoundedSemaphore` | [`Semaphore`] without `add_permits`: a permit is given back once |
//! | `Condition` | [`Condvar`] with a [`Mutex`]; to wait takes the guard, so nobody waits without the lock. `wait_for(p, t)` is [`wait_timeout_while`](Condvar::wait_timeout_while). `notify(n)` is [`notify_one`](Condvar::notify_one) n times |
//! | `Event` | [`Event`]. A set and a clear that race with a wait are not missed; `set` in a signal handler is safe |
//! | `Barrier` | [`Barrier`]. The action is what the [leader](BarrierWaitResult::is_leader) does; if it fails, the leader calls [`abort`](Barrier::abort). `n_waiting` is [`waiting`](Barrier::waiting) |
//! | `Value`, `Array` | `Shared<Mutex<T>>`, or a `Shared` of atomics |
//!
//! # Modules
//!
//! The algorithms and their proofs stand at the top of each file: `lock` is the lock under the locks, `gate` one behind which
//! nobody stays, `holders` the table of who holds how much, `turn` the word to sleep on, `patience` how long; `rwlock::raw`, `semaphore`, `barrier`, `event`,
//! `condvar` and `once` stand on these.

/// A function that can run at compile time, except in a model, where no shared word can be made then.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[cfg(not(procession_loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*
        #[cfg(procession_loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}

mod barrier;
mod condvar;
mod error;
mod event;
mod gate;
mod holders;
mod lock;
mod mutex;
mod once;
mod patience;
mod rwlock;
mod semaphore;
mod turn;

/// What the floors above build their own recoverable structures from. It is not part of the crate's stable interface.
#[doc(hidden)]
pub mod parts {
    pub use crate::lock::{Call, Claim, Entry, Lock, Mark};
    pub use crate::patience::Limit;
    pub use crate::turn::Turn;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(test)]
mod tests;

pub use barrier::{Barrier, BarrierError, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use error::LockError;
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceLock, SetOnceError};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{PERMITS_MAX, Permit, Semaphore, TooManyPermits};
