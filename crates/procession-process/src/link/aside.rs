//! What a worker says beside its results: packets that belong to no item, in a socket of their own that the caller brings along.
//!
//! The link only has the words for it: how many packets the worker has sent (in the ring that it writes), so that the parent
//! need not ask the kernel, and how much it shall say (in the ring that the parent writes). Both are hints: the socket decides
//! what there is to be heard, and the parent what it believes.

use std::cell::Cell;

use procession_channel::bell::AT_REST;
use procession_channel::ring::Ring;
use procession_shm::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// The call of which this thread runs an item.
    static CALL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The id of the call of which this thread has begun an item last, in a worker.
pub fn current_call() -> Option<u64> {
    CALL.get()
}

pub(super) fn set_current_call(call: u64) {
    CALL.set(Some(call));
}

/// How many packets the worker has sent.
pub(super) fn said(up: &Ring) -> &AtomicU64 {
    up.hint_u64(0)
}

/// How much the worker shall say.
pub(super) fn verbosity(down: &Ring) -> &AtomicU64 {
    down.hint_u64(3)
}

/// The worker's end of it.
#[derive(Debug, Clone)]
pub struct Aside {
    pub(super) up: Ring,
    pub(super) down: Ring,
}

impl Aside {
    /// What the parent has [set](super::ParentLink::set_verbosity), 0 at first.
    #[inline]
    pub fn verbosity(&self) -> u64 {
        verbosity(&self.down).load(Ordering::Relaxed)
    }

    /// Tells the parent that a packet was sent. To be called after that, and by one thread at a time.
    pub fn note(&self) {
        let said = said(&self.up);
        let before = said.load(Ordering::Relaxed);
        said.store(before.wrapping_add(1), Ordering::Release);
        self.up.reader_bell().ring(AT_REST);
    }
}
