//! How handles get into messages and out of them.
//!
//! A handle (a [`Shared`](crate::Shared), a [`SharedBuf`](crate::SharedBuf), an end of a pipe) is more than its bytes: a file
//! descriptor goes with it, beside the message. serde has no place for such a thing, so the channel that encodes a value
//! opens a *scope* around it, in which the handles leave what goes beside, and the channel that decodes opens another in which
//! they find it. Outside of a scope, in a JSON file say, a handle is an error.
//!
//! This module is public because channels are built on it. It is not part of the crate's stable interface.
//!
//! # Sending
//!
//! 1. [`send_scope`] runs the encoder, once. Each handle [`attach`]es its descriptor and writes the index it got. A handle
//!    that can have only one owner is marked as leaving ([`Unique::leave`]); it cannot be encoded or used again.
//! 2. The channel sends [`Outgoing::descriptors`] and puts the bytes where its peer will find them.
//! 3. When nothing can fail any more, and *before* the store that makes the message real, it calls [`Outgoing::commit`], which
//!    lets go of what has left. The receiver may rely on that: it can freeze a buffer at once. On any failure before, dropping
//!    the `Outgoing` makes the handles usable again, and the value can be given back.
//!
//! # Receiving
//!
//! [`receive_scope`] runs the decoder with the descriptors that came and with what the peer is trusted to do. Descriptors that
//! no handle asks for are closed at its end; those of a process that is not trusted as [`Strangers`] are.
//!
//! Scopes belong to a thread. One may be opened inside another, by a `Serialize` implementation that sends something by
//! itself: the inner one hides the outer one until it ends, also by a panic.

mod closer;
mod packet;
mod receive;
mod send;
mod sole;
mod strangers;
mod unique;

use std::cell::{Cell, RefCell};
use std::ptr;
use std::thread::LocalKey;

use crate::segment::SegmentError;

pub use closer::{Closer, NoRoom};
pub use packet::{PACKET_DESCRIPTORS_MAX, Packet, receive_packet};
pub use receive::{
    Received, Trust, closer, descriptor, receive_scope, require_trust, take_copy, take_descriptor,
    trust,
};
pub(crate) use receive::{memory, record as received};
pub(crate) use send::is_open as is_sending;
pub use send::{Outgoing, Unsent, attach, need_family, send_scope};
pub use sole::Sole;
pub use strangers::{Strangers, hang_up, let_go};
pub use unique::{Moved, Unique};

/// Why a handle could not be put into a message or taken out of it.
///
/// ```
/// use procession_shm::SharedBuf;
///
/// // A file descriptor goes with a handle, which only a channel can send.
/// let buffer = SharedBuf::<u8>::zeroed(1)?;
/// let error = postcard::to_stdvec(&buffer).unwrap_err();
/// let refused = procession_shm::transfer::send_scope(|| postcard::to_stdvec(&buffer));
/// assert!(refused.is_ok(), "here it can, but not there: {error}");
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It was serialized by something that is not a channel.
    #[error(
        "a {handle} can only be encoded into a channel, because a file descriptor goes with it: send it through a pipe or a queue, or as an argument of a task or process"
    )]
    NotSending {
        /// The type of the handle.
        handle: &'static str,
    },
    /// It was deserialized by something that is not a channel.
    #[error(
        "a handle can only be decoded from a channel, because a file descriptor goes with it: receive it from a pipe or a queue, or as an argument of a task or process"
    )]
    NotReceiving,
    /// It was sent before, in this message or in another one.
    #[error(
        "this {handle} was already sent to another process, and there can be only one owner: send it once"
    )]
    Moved {
        /// The type of the handle.
        handle: &'static str,
    },
    /// It was closed here, or has found that nobody has the other side any more: there is nothing left to send.
    #[error("this {handle} is closed, and there is nothing left to send: make another pipe")]
    Closed {
        /// The type of the handle.
        handle: &'static str,
    },
    /// It gives power over this process to the one that sent it, which is not trusted.
    #[error(
        "a {handle} from a process that is not trusted: build the channel or pool with `.trusting()` if its processes trust each other"
    )]
    Untrusted {
        /// The type of the handle.
        handle: &'static str,
    },
    /// The message names a descriptor that did not come with it, or that another handle took.
    #[error(
        "the message names file descriptor {index}, which is not among the {count} that came with it or is taken: its sender is broken or hostile"
    )]
    NoDescriptor {
        /// The index in the message.
        index: u32,
        /// How many descriptors came with the message.
        count: usize,
    },
    /// The bytes of the handle contradict each other or the descriptor.
    #[error("the message does not describe a {handle}, its sender is broken or hostile: {reason}")]
    Malformed {
        /// The type of the handle.
        handle: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Buffers from a process that is not trusted are copied, and there are more bytes than may be copied.
    #[error(
        "buffers of {len} bytes from a process that is not trusted must be copied, and {left} bytes are left for that: send a `SharedSlice`, which needs no copy, or raise the limit"
    )]
    CopyLimit {
        /// How many bytes were asked for.
        len: usize,
        /// How many bytes were left.
        left: usize,
    },
    /// The shared memory could not be taken over.
    #[error(transparent)]
    Memory(#[from] SegmentError),
}

/// The innermost scope of this thread, if it is in any.
///
/// The scope itself lies on the stack of whoever opened it: a message passes through two of them, and moving them in and out of
/// here would cost more than the rest. It needs no destructor either, so there is no moment in the life of a thread at which it
/// is gone already: handlers that run at exit may start processes, too.
///
/// * **S1** It is null, or points to a scope that some call of [`enter`] further up on this very stack has borrowed.
type Slot<S> = LocalKey<Cell<*const RefCell<S>>>;

/// Runs `work` with `scope` as the innermost one, which hides the one outside until then.
#[inline]
fn enter<S, R>(slot: &'static Slot<S>, scope: &RefCell<S>, work: impl FnOnce() -> R) -> R {
    struct Outer<S: 'static>(&'static Slot<S>, *const RefCell<S>);
    impl<S> Drop for Outer<S> {
        #[inline]
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    // Set back by a panic, too, so that the pointer never outlives the borrow (S1).
    let _outer = Outer(slot, slot.replace(ptr::from_ref(scope)));
    work()
}

/// Does something with the innermost scope; `None` outside of all.
fn with_innermost<S, T>(slot: &'static Slot<S>, look: impl FnOnce(&mut S) -> T) -> Option<T> {
    // SAFETY: by S1 the pointer is null or to a scope that is borrowed for longer than this call takes.
    let scope = unsafe { slot.get().as_ref() }?;
    Some(look(&mut scope.borrow_mut()))
}
