//! Death in a model.
//!
//! A thread that stands for a process gets a number of steps to live. Every store, every read-modify-write and every call of
//! the kernel is a step; the thread that has none left does nothing more, not even what its destructors would do. A model is
//! then run once for each number of steps, so that the death happens at every one of them.
//!
//! Loads are no steps: a process that dies before a load has done to the others exactly what one has done that dies before
//! its next store. Nor is dying in its sleep another case: a sleeper that was not woken has done what one has done that
//! dies before it falls asleep, and one that was woken has done what one has done that dies before its next step.
//!
//! A thread ends by unwinding, so what a model runs under [`live_for`] must own nothing with a destructor that touches shared
//! words or anything of loom's: it forgets guards, and borrows from outside what it shares.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

loom::thread_local! {
    static STEPS_LEFT: Cell<Option<usize>> = Cell::new(None);
}

/// What a killed thread unwinds with.
struct Killed;

/// Runs `life`, which is killed before it takes more than `steps` steps, and returns what it came to, or `None` if it was
/// killed.
pub fn live_for<R>(steps: usize, life: impl FnOnce() -> R) -> Option<R> {
    STEPS_LEFT.with(|left| left.set(Some(steps)));
    let end = catch_unwind(AssertUnwindSafe(life));
    STEPS_LEFT.with(|left| left.set(None));
    match end {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Killed>() => None,
        Err(failure) => resume_unwind(failure),
    }
}

/// One step of the calling thread; its last was the one before if it has none left.
pub(super) fn step() {
    let left = STEPS_LEFT.with(Cell::get);
    if left == Some(0) {
        resume_unwind(Box::new(Killed));
    }
    STEPS_LEFT.with(|steps| steps.set(left.map(|left| left - 1)));
}
