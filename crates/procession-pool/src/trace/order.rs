//! Who tells when: what is heard with the pool's lock held is told without it, by several threads, and still in the order in which
//! it was heard.
//!
//! Whoever leaves the lock with something to tell takes a number there, and tells when it is its turn. So a slow subscriber holds up
//! those who have more to tell, as it should: nobody hears more than is told.
//!
//! Rejected: one thread that tells for all. While workers have more to say it would never come back to what it waits for itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Telling;

thread_local! {
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
}

/// What was heard and nobody has taken to tell yet. It is behind the pool's lock.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    tellings: Vec<Telling>,
    /// How many turns were given.
    turns: u64,
}

/// What one thread has to tell.
#[derive(Debug)]
pub(crate) struct Batch {
    tellings: Vec<Telling>,
    /// `None` for a subscriber that uses a pool while it is being told: it would wait for itself.
    turn: Option<u64>,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Order {
    turn: Mutex<u64>,
    moved: Condvar,
}

impl Heard {
    pub(crate) fn push(&mut self, telling: Telling) {
        self.tellings.push(telling);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tellings.is_empty()
    }

    /// All of it, for this thread to tell: it must do so.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        let turn = (!IS_TELLING.get()).then_some(self.turns);
        self.turns += u64::from(turn.is_some());
        Some(Batch { tellings: std::mem::take(&mut self.tellings), turn })
    }
}

impl Order {
    /// Waits for the batch's turn and tells it. Calls the callers' subscribers.
    pub(crate) fn tell(&self, batch: Batch) {
        let Some(turn) = batch.turn else { return tell_all(batch.tellings) };
        let before = self.moved.wait_while(self.lock(), |now| *now != turn);
        drop(before.unwrap_or_else(PoisonError::into_inner));
        IS_TELLING.set(true);
        tell_all(batch.tellings);
        IS_TELLING.set(false);
        *self.lock() += 1;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscriber's panic, of which the panic hook has told, costs what it was told and nothing else.
fn tell_all(tellings: Vec<Telling>) {
    for telling in tellings {
        drop(catch_unwind(AssertUnwindSafe(|| telling.tell())));
    }
}
