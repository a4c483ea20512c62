//! Sleeping on more words than one call of the kernel takes.
//!
//! # Algorithm
//!
//! The words are dealt out: each further 127 go to a thread that is started for this one wait, and every sleeper, the caller
//! included, watches one word more, private to the wait: *over*. Whoever comes back for whatever reason sets it and wakes
//! the others, and the caller returns when all of its threads have gone. So no thread outlives the words that were lent to
//! the wait, and no wake-up that one of them used up is kept from the caller.
//!
//! Rejected: looking at the rest every few milliseconds (it uses the processor while nothing happens, and what is looked at
//! late is late); one wait for each word; keeping the threads from one wait to the next (who waits on hundreds of words
//! sleeps long or rarely enough that starting a thread does not show, and an idle program has none).
//!
//! # States
//!
//! | `over` | means | next |
//! |---|---|---|
//! | 0 | all sleep, or are about to | 1, by the first who comes back, for good |
//! | 1 | all come back | |
//!
//! # Ordering
//!
//! Setting `over` and the kernel's look at it before it puts somebody to sleep are ordered by the kernel's lock on the word,
//! as in every wait. That a thread was woken reaches the caller through joining it.
//!
//! # Without threads
//!
//! If a thread cannot be started, all of this wait's words are looked at in slices instead, as where `futex_waitv` is missing.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::deadline::Deadline;
use crate::futex::{self, Slept, WAITV_MAX};
use crate::quiet;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::wait::{Wake, Watch};

/// What a thread needs that makes one system call.
const STACK_BYTES: usize = 64 << 10;

/// Sleeps on all the words.
pub(crate) fn sleep(words: &[Watch<'_>], deadline: &Deadline) -> Wake {
    let (mine, rest) = words.split_at(WAITV_MAX - 1);
    let over = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let mut others = Vec::with_capacity(rest.len() / (WAITV_MAX - 1) + 1);
        for part in rest.chunks(WAITV_MAX - 1) {
            match start(scope, part, &over) {
                Ok(other) => others.push(other),
                Err(_) => {
                    return see_off(&over, others, || futex::sleep_in_slices(words, deadline));
                }
            }
        }
        see_off(&over, others, || sleep_on(mine, &over, deadline))
    })
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    part: &'scope [Watch<'_>],
    over: &'scope AtomicU32,
) -> std::io::Result<ScopedJoinHandle<'scope, bool>> {
    let _until_it_runs = quiet::block();
    let builder = Builder::new().name("procession-wait".into()).stack_size(STACK_BYTES);
    builder.spawn_scoped(scope, move || {
        let was_woken = match sleep_on(part, over, &Deadline::NEVER) {
            Slept::WokenOn(index) => index < part.len(),
            Slept::Changed | Slept::TimedOut => false,
        };
        // Who ends it for all has seen something.
        end(over) || was_woken
    })
}

/// Sleeps as `sleep` does, then ends the wait of all others.
fn see_off(
    over: &AtomicU32,
    others: Vec<ScopedJoinHandle<'_, bool>>,
    sleep: impl FnOnce() -> Slept,
) -> Wake {
    let woken = sleep() != Slept::TimedOut;
    end(over);
    // A thread that panicked has seen something; the caller looks at everything anyway.
    let others_woken = others.into_iter().map(|other| other.join().unwrap_or(true));
    let any = others_woken.fold(woken, |any, other| any || other);
    if any { Wake::Woken } else { Wake::TimedOut }
}

fn sleep_on(words: &[Watch<'_>], over: &AtomicU32, deadline: &Deadline) -> Slept {
    let mut watches = words.to_vec();
    watches.push(Watch::private(over, 0));
    futex::sleep_on_many(&watches, deadline)
}

/// Ends the wait, and says whether nobody had before.
fn end(over: &AtomicU32) -> bool {
    let is_first = over.swap(1, Ordering::AcqRel) == 0;
    if is_first {
        futex::wake(over, u32::MAX >> 1, true);
    }
    is_first
}
