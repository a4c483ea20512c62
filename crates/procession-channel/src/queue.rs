//! Queues: many put, many get, in order, through shared memory.
//!
//! A [`Queue`] can be given to any number of processes, as an argument or in a message. What one puts, one of them gets.
//!
//! ```
//! use procession_channel::queue::{Queue, RecvError};
//!
//! let queue = Queue::new()?;
//! queue.put("hello".to_owned())?;
//! queue.put_many(["to".to_owned(), "all".to_owned()])?;
//! queue.close();
//! let words: Vec<String> = queue.into_iter().collect::<Result<_, RecvError>>()?;
//! assert_eq!(words, ["hello", "to", "all"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Algorithm
//!
//! A ring of bytes, in which items lie as frames (`docs/frame-format.md`), with two ends. Each end is guarded by a lock that
//! survives its owner: those who put take turns, and so do those who get, but the two do not wait for each other. A value is
//! encoded before the lock is taken and decoded after it was given back; under it there is one copy, and one store that makes
//! it real. So a death leaves an open lock and a queue that is as it was before the operation, or as it is after it.
//!
//! Rejected: a slot for each item with a stamp (items have no fixed size, and who dies between claiming a slot and stamping
//! it blocks the queue for ever). Rejected: a ring for each pair of processes (memory, and no order).
//!
//! | file | what |
//! |---|---|
//! | `control` | the words, and how far a queue has come in one word |
//! | `store`, `mapped` | the bytes, and how the ring grows; their memory |
//! | `frame`, `parcel`, `packets` | an item as bytes; values to frames and back; its descriptors |
//! | `ends`, `put`, `get` | the operations, under the locks |
//! | `gather` | several frames out of the ring at once |
//! | `claims`, `holders` | items that are claimed; how many items each process has not done |
//! | `vigil` | waiting |
//! | `body`, `travel` | what handles have in common; how they get to other processes |
//! | `ready` | waiting for a queue together with other things |
//! | `awaited` | gets and puts as futures |
//! | `handle`, `putter`, `getter`, `claim`, `many`, `iter`, `builder` | the handles |
//!
//! # Invariants
//!
//! * **Q1** A put is real by the store of `tail`. What lies behind the tail is nobody's.
//! * **Q2** A get is real by the store of `cursor`, or of the cell of a claim that is offered again.
//! * **Q3** The ring grows by the store of `window`, under both locks; what lies between `head` and `tail` is in the old place
//!   and in the new one by then. Who has one of the locks sees one window.
//! * **Q4** A claim is real by the store of `cursor`, before which its cell names the claimer and the place. A cell that names a
//!   place which the cursor has not passed is none.
//! * **Q5** `head` is computed from `cursor` and the claims by whoever has the lock of those who get, and may lag behind after a
//!   death. What lies before it is not read again, so those who put may write over it.
//! * **Q6** The item that the cursor is at, who took last, and up to which item was counted tell who has the lock after a death
//!   what is still to be counted for the dead. Counting again changes nothing.
//!
//! # Ordering
//!
//! The locks order what is done under the same one. Between those who put and those who get:
//!
//! * **E1** The store of `tail` (release) pairs with its loads under the other lock (acquire): the bytes of the frames.
//! * **E2** The store of `closed` (release), under the lock of those who put, pairs with its load in `nothing` (acquire), after
//!   which `tail` is loaded: what was put before the close.
//! * **E3** The store of `head` (release) pairs with its load in `fitting` (acquire): the reads of the old bytes before the
//!   writes of the new.
//!
//! Sleepers and wakers are ordered by the fences of the turns on which they sleep.
//!
//! # Crash points
//!
//! | killed | what is true | who repairs |
//! |---|---|---|
//! | putting, before `tail` | nothing was put; the packet of descriptors, if sent, is nobody's | whoever looks for a later packet drops it |
//! | putting, after `tail`, before the wake-up | all was put | its death wakes all |
//! | growing, before `window` | nothing has happened | |
//! | getting, before `cursor` | nothing was got | |
//! | getting, after `cursor` | it was got, and dies with its getter | whoever gets next: `head`, the count, the packet |
//! | claiming, before `cursor` | nothing was claimed | whoever gets next frees the cell |
//! | with a claim | the item is claimed by a dead member | whoever gets next offers it again |
//! | ending a claim, before the store of its cell | as with a claim | the same |
//! | repairing | as before | whoever gets next repairs again |
//!
//! # Who can be trusted
//!
//! A queue is a *trusting* handle: a process that has it can write anything into its memory, and so break it for the others.
//! What is read there is checked all the same, so that memory that was overwritten is [`Corrupt`] and not a panic.
//!
//! # Not guaranteed
//!
//! A process that is stopped in the middle of an operation holds up the others, as a thread would; one that is killed does
//! not. The order is that in which puts become real: that of each process' own puts, and some order between processes.
//!
//! # Coming from Python
//!
//! | `multiprocessing` | here |
//! |---|---|
//! | `Queue()`, `SimpleQueue()`, `JoinableQueue()` | [`Queue::new`] |
//! | `Queue(maxsize)` | [`Queue::bounded`] |
//! | `put`, `put_nowait`, `put(timeout=t)`; `get` alike | [`put`](Queue::put), [`try_put`](Queue::try_put), [`put_timeout`](Queue::put_timeout) |
//! | what cannot be pickled is lost by a thread in the background | an error of [`put`](Queue::put), with the value |
//! | a process that has put must be joined after all was got | no thread: what was put is in the queue, also when its process is gone |
//! | `qsize`, `empty`, `full` are about right | [`len`](Queue::len), [`is_empty`](Queue::is_empty), [`is_full`](Queue::is_full) are right when they are asked |
//! | `task_done`, from any process | [`task_done`](Queue::task_done), from the process that got |
//! | `join` hangs when a consumer dies | [`join`](Queue::join) tells it |
//! | `close` of one process' handle | drop the handle; [`close`](Queue::close) is for all |
//! | `cancel_join_thread` | none needed |

#[cfg(not(procession_loom))]
mod awaited;
#[cfg(not(procession_loom))]
mod body;
#[cfg(not(procession_loom))]
mod builder;
#[cfg(not(procession_loom))]
mod claim;
mod claims;
mod control;
mod ends;
mod error;
mod frame;
mod gather;
mod get;
#[cfg(not(procession_loom))]
mod getter;
mod holders;
#[cfg(not(procession_loom))]
mod iter;
#[cfg(all(test, procession_loom))]
mod loom_tests;
#[cfg(not(procession_loom))]
mod many;
#[cfg(not(procession_loom))]
mod mapped;
mod packets;
#[cfg(not(procession_loom))]
mod parcel;
mod put;
#[cfg(not(procession_loom))]
mod putter;
#[cfg(not(procession_loom))]
mod ready;
mod store;
#[cfg(all(test, not(procession_loom)))]
mod tests;
#[cfg(not(procession_loom))]
mod travel;
mod vigil;

#[cfg(all(feature = "stream", not(procession_loom)))]
pub use awaited::ItemStream;

#[cfg(not(procession_loom))]
mod handle;
#[cfg(not(procession_loom))]
pub use {
    awaited::{GetAsync, PutAsync},
    builder::Builder,
    claim::Claim,
    getter::Getter,
    handle::Queue,
    iter::{IntoIter, Iter},
    many::Many,
    putter::Putter,
};

pub use error::{
    Corrupt, JoinError, QueueError, RecvError, SendError, SendErrorKind, TaskDoneError,
};
