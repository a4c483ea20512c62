//! The two rings between a parent and one of its workers: calls go down, results come up.
//!
//! The parent's end, [`ParentLink`], believes nothing that it reads (DESIGN G5: a hostile worker cannot hurt its parent). The
//! worker's end, [`ChildLink`], trusts its parent, runs what it is told, and marks what it is on, so that a death or a
//! deadline can be pinned to one item.
//!
//! # The gate
//!
//! One word in the head page of the upward ring, `(started << 1) | revoked`, where `started` counts the items this worker
//! has ever begun.
//!
//! | transition | who | when |
//! |---|---|---|
//! | `(n, 0) -> (n + 1, 0)` | worker, compare-and-swap | before it decodes item `n` |
//! | `(n, 0) -> (n, 1)` | parent, fetch-or | to take back every item that has not been started |
//! | `(n, 1) -> (n, 0)` | worker, store | when it reads the resume frame that the parent sent after that |
//!
//! The compare-and-swap of the first row fails exactly when the parent was faster; the worker then passes over all frames up
//! to the resume. So an item is started by this worker or taken back by the parent, never both and never neither.
//!
//! # Results
//!
//! For each item, in the order in which they were started: a head of 8 bytes (tag in the low byte, length above it), the
//! output, and zeros up to a multiple of 8. The store that publishes the ring's tail commits the result. The very first
//! result is [`HELLO`], before any item.
//!
//! # Invariants
//!
//! * **L1** Frames enter the downward ring only through [`ParentLink::send`], which takes only a [`Frame`]; the memory of that
//!   ring is mapped by these two processes only. This is why the worker may turn a frame's words into code (F1).
//! * **L2** The worker commits the result of item `n` before it starts item `n + 1`.
//!
//! # Ordering
//!
//! * **E4** The worker's compare-and-swap of the gate (sequentially consistent, after the release of the previous result's
//!   tail) and its look at the parent's bell, against the parent's announcement and its look at the gate: the same
//!   store-buffering pattern as in [`bell`](procession_channel::bell), with the gate in place of the worker's fence.
//!
//! # Crash points of the worker
//!
//! | killed | what the parent sees |
//! |---|---|
//! | before the gate is moved | the item was not started: another worker gets it |
//! | after that, before its result is committed | this item is lost or retried, with the death as the reason |
//! | after the commit, before the next gate | the result counts; the death costs nothing |
//! | while parts of a long result are in the ring | not committed: as in the second row |

mod child;
mod frame;
mod parent;

pub use child::ChildLink;
pub use frame::{Frame, ITEM_LEN_MAX, ItemTooLarge};
pub use parent::{LinkError, ParentLink, Received, Watcher};

use procession_channel::ring::Ring;
use procession_shm::sync::atomic::{AtomicU32, AtomicU64};

/// The tag of the first result, which says that the worker is ready.
pub const HELLO: u8 = u8::MAX;

/// Bytes in front of each result.
pub const RESULT_HEAD_LEN: usize = 8;

const REVOKED: u64 = 1;
const ONE_STARTED: u64 = 2;

/// The gate lies in the ring that the worker writes.
fn gate(up: &Ring) -> &AtomicU64 {
    up.word_u64(0)
}

/// How many processes, this worker and its parent included, want a core right now, as far as the parent knows: what the
/// worker's spin policy is told. It lies in the ring that the parent writes.
fn parties(down: &Ring) -> &AtomicU32 {
    down.word_u32(0)
}

fn result_head(tag: u8, len: usize) -> [u8; RESULT_HEAD_LEN] {
    ((len as u64) << 8 | u64::from(tag)).to_le_bytes()
}

/// The tag and the length in a result's head.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low byte is the tag, and usize has 64 bits"
)]
pub fn parse_result_head(head: [u8; RESULT_HEAD_LEN]) -> (u8, usize) {
    let word = u64::from_le_bytes(head);
    (word as u8, (word >> 8) as usize)
}

#[cfg(test)]
mod tests;
