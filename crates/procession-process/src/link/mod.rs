//! The two rings between a parent and one of its workers: calls go down, results come up.
//!
//! The parent's end, [`ParentLink`], believes nothing that it reads: a hostile worker cannot hurt its parent. The
//! worker's end, [`ChildLink`], trusts its parent, runs what it is told, and marks what it is on, so that a death or a
//! deadline can be pinned to one item.
//!
//! Both ends, here in one process:
//!
//! ```
//! use procession_process::Plain;
//! use procession_process::answer::{OK, One};
//! use procession_process::function::Function;
//! use procession_process::link::{ChildLink, Frame, HELLO, Handles, ItemTooLarge, ParentLink};
//!
//! let (mut parent, descriptors) = ParentLink::new(4096, 1 << 20)?;
//! let worker = std::thread::spawn(move || ChildLink::over(descriptors, 4096).unwrap().serve());
//!
//! let mut call = Frame::call(Function::unary::<One<Plain>, u8, u8>(|n| n * n)?, 1);
//! call.push(|argument| -> Result<_, ItemTooLarge> {
//!     argument.push(7);
//!     Ok(Handles::default())
//! })?;
//! for frame in [call.sealed(), Frame::quit()] {
//!     assert_eq!(parent.send(&frame, 0)?, frame.len()); // there is room for it
//!     parent.ring();
//! }
//! worker.join().unwrap()?;
//!
//! let mut inbox = Vec::new();
//! parent.receive(&mut inbox)?;
//! let hello = parent.whole_result(&inbox, 0)?.unwrap();
//! let result = parent.whole_result(&inbox, hello.end)?.unwrap();
//! assert_eq!((hello.tag, result.tag, &inbox[result.body]), (HELLO, OK, &[49][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The gate
//!
//! Two words in the head page of the upward ring, the [`Gate`], count the items that the worker has begun, and let the parent
//! take back those that it has not: an item is begun or taken back, never both and never neither. Whose fences count there is agreed
//! upon when the link is made: the parent writes down what it can offer, and a worker that cannot go along keeps its own.
//!
//! # Handles
//!
//! The descriptors of handles in items, contexts and results go through a socket beside the rings, see `beside`. The parent
//! keeps those of an item until it has an outcome, so that it can be given to another worker. The exception are handles that can
//! have only one owner: they are let go of when they are sent. Until the worker has begun the item they are in the socket alone,
//! from where the parent has them back should the worker die; after that they are lost with the worker, and never sent again.
//!
//! # Results
//!
//! For each item, in the order in which they were started: a head of 8 bytes (tag in the low byte, length above it), the
//! output, and zeros up to a multiple of 8. The store that publishes the ring's tail commits the result. The very first
//! result is [`HELLO`], before any item.
//!
//! A short result after which the worker has nothing more to do lies beside the tail as well (`latest` of
//! [`ring`](procession_channel::ring)), where a parent who waits for it finds it together with the news of it.
//!
//! A frame is too long for that. So a worker that waits for one asks, with each look at the tail, for the lines behind it as well.
//!
//! Before the last result of a message there may be a note, which has the form of a result and belongs to no item: [`SPENT`], how
//! many nanoseconds (u64) the worker spent on its items by its own clock, if that is at least as much for an item as the parent has
//! [asked for](ParentLink::ask_for_time). The parent decides what it believes.
//!
//! A word beside the gate says how long it worked [in all](ParentLink::spent): the parent's clock would count the time in which the
//! worker waited for a processor, too, and the more of them there are the shorter its chunks would become.
//!
//! # Invariants
//!
//! * **L1** Frames enter the downward ring only through [`ParentLink::send`], which takes only a [`Frame`]; the memory of that
//!   ring is mapped by these two processes only. This is why the worker may turn a frame's words into code (F1).
//! * **L2** The worker commits the result of item `n` before it starts item `n + 1`.
//!
//! # Ordering
//!
//! The gate's E4, the rings' own E1 and E2, and the bells' own E3. Where a parent wants to be woken for each result, the worker's part of
//! E3 is the fence of its gate: see [`ParentLink::fences`].
//!
//! # Crash points of the worker
//!
//! | killed | what the parent sees |
//! |---|---|
//! | before it tells of the item at the gate | the item was not started: another worker gets it, with its handles |
//! | after that, before its result is committed | this item is lost or retried, with the death as the reason |
//! | after the commit, before the next gate | the result counts; the death costs nothing |
//! | while parts of a long result are in the ring | not committed: as in the second row |

mod aside;
mod beside;
mod child;
mod frame;
mod handles;
mod parent;
mod spare;
mod stopwatch;

pub use aside::{Aside, current_call};
pub use beside::{DESCRIPTORS_MAX, NoHandles};
pub use child::{ChildLink, ServeError};
pub use frame::{Frame, ITEM_LEN_MAX, ItemTooLarge, SharedValue};
pub use handles::{Handles, TooManyHandles};
pub use parent::{LinkError, ParentLink, Received, Watcher, Whole};

use procession_channel::gate::Gate;
use procession_channel::ring::Ring;
use procession_shm::sync::atomic::AtomicU64;
use procession_shm::sync::one_sided::Fences;

/// The tag of the first result, which says that the worker is ready.
pub const HELLO: u8 = u8::MAX;

/// The tag of a note of the time that was spent on a call.
pub const SPENT: u8 = HELLO - 1;

/// Bytes in front of each result.
pub const RESULT_HEAD_LEN: usize = 8;

/// In how many parts a ring that is full of a long frame or result is read: the other side fills the room of one while the next is copied.
const PARTS: usize = 4;

/// How many times in one round through a ring its room is given back, at least, while there is more to take.
const RELEASES_PER_ROUND: usize = 8;

/// How many bytes of a long frame or result are made room for before they have come. Beyond that it grows with what has come.
///
/// 64 MiB, and what goes around so much.
const RESERVED_LEN_MAX: usize = (64 << 20) + 64;

/// The gate lies in the ring that the worker writes.
#[inline]
fn gate(up: &Ring, fences: Fences) -> Gate<'_> {
    Gate::new(up.word_u64(2), up.word_u64(0), fences)
}

/// Whether the parent offers to fence for both sides: 1 or 0, written before the worker is there. It lies in the ring that the parent
/// writes.
fn offer(down: &Ring) -> &AtomicU64 {
    down.hint_u64(4)
}

/// How many processes, this worker and its parent included, want a core right now, as far as the parent knows: what the
/// worker's spin policy is told. It lies in the ring that the parent writes.
fn parties(down: &Ring) -> &AtomicU64 {
    down.hint_u64(0)
}

/// Up to which position in the downward ring the worker shall get before it wakes a parent that sleeps, if it does not run
/// out of work before. It lies in the ring that the parent writes.
///
/// A hint: a worker that reads it too late rings at the end of the next frame, or when it has nothing left to do.
fn wake_at(down: &Ring) -> &AtomicU64 {
    down.hint_u64(1)
}

/// From how many nanoseconds for an item on the worker shall say how long a call took; 0: never. It lies in the ring that the parent
/// writes.
fn time_asked_for(down: &Ring) -> &AtomicU64 {
    down.hint_u64(2)
}

/// How many nanoseconds the worker has spent on its items in all, by its own clock, up to the last result of the last message. It
/// lies in the ring that the worker writes, apart from what the parent looks at all the time.
fn spent(up: &Ring) -> &AtomicU64 {
    up.word_u64(1)
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
