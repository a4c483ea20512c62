//! The model: loom's atomics, and a futex with the kernel's semantics.
//!
//! The kernel's promise that a futex sleeps only if its word still has the expected value *at the moment it is queued* is
//! modelled by one lock around the whole kernel: a sleeper compares and queues under it, a waker dequeues under it. A sleep
//! on several words (`futex_waitv`) is one entry with several addresses in the same queue, so one condition covers all.
//! Who sleeps is parked by itself, and who wakes unparks those whom it means. A condition variable would wake all sleepers of
//! a model, who would queue for the lock to find that they were not meant: most of the orders that there were to try.
//!
//! Every store and every call of the kernel is a place where a thread that stands for a process can be killed: see
//! [`mortal`](super::mortal).

use std::cell::Cell;
use std::rc::Rc;

use loom::sync::Mutex;
use loom::thread::{Thread, current, park};

use super::mortal;

pub mod atomic {
    //! loom's atomics, whose stores a mortal thread may not live to see.
    pub use loom::sync::atomic::{Ordering, fence};

    use super::mortal::step;

    /// A full fence: what a machine may leave out is no part of the model.
    pub fn full_fence_after_rmw() {
        fence(Ordering::SeqCst);
    }

    macro_rules! mortal_atomic {
        ($(#[$doc:meta])* $name:ident, $value:ty) => {
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name(loom::sync::atomic::$name);

            impl $name {
                /// A new word; in a model it cannot be made at compile time.
                #[track_caller]
                pub fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                /// As in std.
                #[track_caller]
                pub fn load(&self, order: Ordering) -> $value {
                    self.0.load(order)
                }

                /// As in std.
                #[track_caller]
                pub fn store(&self, value: $value, order: Ordering) {
                    step();
                    self.0.store(value, order);
                }

                /// As in std.
                ///
                /// # Errors
                ///
                /// The value that was there instead.
                #[track_caller]
                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    step();
                    self.0.compare_exchange(current, new, success, failure)
                }

                /// As in std; in the model it never fails without a reason.
                ///
                /// # Errors
                ///
                /// The value that was there instead.
                #[track_caller]
                pub fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.compare_exchange(current, new, success, failure)
                }

                mortal_atomic!(@change $value: swap fetch_add fetch_sub fetch_or fetch_and fetch_max);
            }
        };
        (@change $value:ty: $($change:ident)+) => { $(
            /// As in std.
            #[track_caller]
            pub fn $change(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.$change(value, order)
            }
        )+ };
    }

    mortal_atomic!(
        /// A shared word of 32 bits.
        AtomicU32, u32
    );
    mortal_atomic!(
        /// A shared word of 64 bits.
        AtomicU64, u64
    );
}

pub mod hint {
    //! A spinning thread must let others run, or the model never ends.
    pub use loom::thread::yield_now as spin_loop;
}

pub(crate) mod lock {
    //! loom's locks.
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

pub mod thread {
    //! loom's threads.
    pub use loom::thread::yield_now;
}

struct Sleeper {
    addresses: Vec<usize>,
    thread: Thread,
    is_awake: Rc<Cell<bool>>,
}

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
}

/// Sleeps until one of the words is woken, unless one of them has not its expected value any more.
pub(crate) fn sleep(words: &[(&atomic::AtomicU32, u32)]) {
    mortal::step();
    let Some(is_awake) = queue_up(words) else { return };
    while !is_awake.get() {
        park();
    }
}

fn queue_up(words: &[(&atomic::AtomicU32, u32)]) -> Option<Rc<Cell<bool>>> {
    let mut sleepers = SLEEPERS.lock().expect("no model panics in the kernel");
    let changed = |&(word, expected): &(&atomic::AtomicU32, u32)| {
        word.load(atomic::Ordering::SeqCst) != expected
    };
    if words.iter().any(changed) {
        return None;
    }
    let is_awake = Rc::new(Cell::new(false));
    let addresses = words.iter().map(|(word, _)| address(word)).collect();
    sleepers.push(Sleeper { addresses, thread: current(), is_awake: Rc::clone(&is_awake) });
    Some(is_awake)
}

/// Wakes up to `count` sleepers of this word, the longest sleeping first, and says how many it woke.
pub(crate) fn wake(word: &atomic::AtomicU32, count: usize) -> usize {
    mortal::step();
    let mut sleepers = SLEEPERS.lock().expect("no model panics in the kernel");
    let mut woken = 0;
    sleepers.retain(|sleeper| {
        let hit = woken < count && sleeper.addresses.contains(&address(word));
        if hit {
            woken += 1;
            sleeper.is_awake.set(true);
            sleeper.thread.unpark();
        }
        !hit
    });
    woken
}

fn address(word: &atomic::AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
