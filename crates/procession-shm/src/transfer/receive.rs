//! The scope of a decoder.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::Arc;

use rustix::fs::SealFlags;

use super::{Closer, Strangers, TransferError, enter, with_innermost};
use crate::backing::Backing;

thread_local! {
    static RECEIVING: Cell<*const RefCell<Receiving>> = const { Cell::new(ptr::null()) };
}

struct Receiving {
    descriptors: Vec<Arrived>,
    /// Who closes what nobody wants; `None` until that is asked for, if it comes from nobody in particular.
    closer: Option<Closer>,
    trust: Trust,
    failure: Option<Box<TransferError>>,
}

/// A descriptor that came with the message.
struct Arrived {
    /// Until a handle takes it for itself.
    fd: Option<Arc<OwnedFd>>,
    /// Whether it has turned out to be memory, which anybody can close.
    is_memory: bool,
}

/// What the sender of a message is trusted to do.
///
/// ```
/// use procession_shm::transfer::{Trust, receive_scope, require_trust, trust};
///
/// let received = receive_scope(Vec::new(), Trust::Untrusting { copy_bytes_max: 0 }, trust);
/// assert_eq!(received.value.unwrap(), Trust::Untrusting { copy_bytes_max: 0 });
/// let received = receive_scope(Vec::new(), Trust::Trusting, || require_trust("key"));
/// assert!(received.value.is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// To keep the rules of the memory that it shares with us.
    Trusting,
    /// Nothing. Handles that would let it change our memory are refused or copied.
    Untrusting {
        /// How many bytes of buffers may be copied for this message.
        copy_bytes_max: usize,
    },
}

/// What a decoder returned, and what the handles in the message have to say about it.
///
/// ```
/// use procession_shm::transfer::{Received, TransferError, Trust, receive_scope, require_trust};
///
/// let Received { value, failure, .. } =
///     receive_scope(Vec::new(), Trust::Untrusting { copy_bytes_max: 0 }, || require_trust("key"));
/// assert!(value.is_err());
/// assert!(matches!(failure, Some(TransferError::Untrusted { handle: "key" })));
/// ```
#[derive(Debug)]
#[must_use]
pub struct Received<R> {
    /// What the decoder returned.
    pub value: R,
    /// The first thing that a handle could not do; serde has turned it into text.
    pub failure: Option<TransferError>,
}

/// Runs a decoder so that the handles in the message find the descriptors that came with it.
///
/// Descriptors that no handle asked for are closed.
///
/// ```
/// use procession_shm::transfer::{Trust, receive_scope, send_scope};
/// use procession_shm::SharedSlice;
///
/// let sent = SharedSlice::from_slice(&[1_u32, 2, 3])?;
/// let (bytes, outgoing) = send_scope(|| postcard::to_stdvec(&sent)).unwrap();
/// let fds = outgoing.descriptors().map(|fd| fd.try_clone_to_owned()).collect::<Result<Vec<_>, _>>().unwrap();
/// outgoing.commit();
///
/// let received = receive_scope(fds, Trust::Untrusting { copy_bytes_max: 0 }, || {
///     postcard::from_bytes::<SharedSlice<u32>>(&bytes)
/// });
/// assert_eq!(received.value.unwrap()[..], [1, 2, 3]);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[inline]
pub fn receive_scope<R>(
    descriptors: impl Into<Strangers>,
    trust: Trust,
    decode: impl FnOnce() -> R,
) -> Received<R> {
    let descriptors = descriptors.into();
    let closer = descriptors.closer().cloned();
    // Most messages have none.
    let descriptors = match descriptors.is_empty() {
        true => Vec::new(),
        false => descriptors.into_known().into_iter().map(Arrived::new).collect(),
    };
    let scope = RefCell::new(Receiving { descriptors, closer, trust, failure: None });
    let value = enter(&RECEIVING, &scope, decode);
    let Receiving { descriptors, closer, trust, failure } = scope.into_inner();
    if !descriptors.is_empty() && trust != Trust::Trusting {
        close_the_rest(descriptors, closer.as_ref());
    }
    Received { value, failure: failure.map(|failure| *failure) }
}

impl Arrived {
    fn new(fd: OwnedFd) -> Self {
        Self { fd: Some(Arc::new(fd)), is_memory: false }
    }
}

/// Closes what no handle has kept.
#[cold]
fn close_the_rest(descriptors: Vec<Arrived>, closer: Option<&Closer>) {
    let strangers = descriptors.into_iter().filter(|arrived| !arrived.is_memory);
    let left = strangers.filter_map(|arrived| Arc::into_inner(arrived.fd?)).collect();
    drop(Strangers::new(left, closer));
}

/// Who closes what the sender of the message that is being decoded has sent and nobody wants. Outside of a [`receive_scope`] it is for
/// somebody from whom nothing has come.
///
/// ```
/// use procession_shm::Deadline;
/// use procession_shm::transfer::{Closer, Strangers, Trust, closer, receive_scope};
///
/// let stranger = Trust::Untrusting { copy_bytes_max: 0 };
/// let of_the_message = receive_scope(Strangers::default(), stranger, closer).value;
/// assert!(of_the_message.need_room(1, &Deadline::NEVER).is_ok());
/// assert!(closer().need_room(1, &Deadline::NEVER).is_ok());
/// ```
pub fn closer() -> Closer {
    let of_the_message =
        |receiving: &mut Receiving| receiving.closer.get_or_insert_default().clone();
    with_innermost(&RECEIVING, of_the_message).unwrap_or_default()
}

/// What the sender of the message that is being decoded is trusted to do.
///
/// # Errors
///
/// [`NotReceiving`](TransferError::NotReceiving) outside of a [`receive_scope`].
///
/// ```
/// use procession_shm::transfer::{TransferError, Trust, receive_scope, trust};
///
/// assert!(matches!(trust(), Err(TransferError::NotReceiving)));
/// assert_eq!(receive_scope(Vec::new(), Trust::Trusting, trust).value.unwrap(), Trust::Trusting);
/// ```
pub fn trust() -> Result<Trust, TransferError> {
    in_scope(|receiving| Ok(receiving.trust))
}

/// Refuses a handle that only a trusted process may send.
///
/// # Errors
///
/// [`Untrusted`](TransferError::Untrusted) when the sender is not trusted,
/// [`NotReceiving`](TransferError::NotReceiving) outside of a [`receive_scope`].
///
/// ```
/// use procession_shm::transfer::{TransferError, Trust, receive_scope, require_trust};
///
/// let stranger = Trust::Untrusting { copy_bytes_max: 1000 };
/// let refused = receive_scope(Vec::new(), stranger, || require_trust("key")).value;
/// assert!(matches!(refused, Err(TransferError::Untrusted { handle: "key" })));
/// ```
pub fn require_trust(handle: &'static str) -> Result<(), TransferError> {
    in_scope(|receiving| match receiving.trust {
        Trust::Trusting => Ok(()),
        Trust::Untrusting { .. } => Err(TransferError::Untrusted { handle }),
    })
}

/// Takes `len` bytes off what may be copied for this message; a trusted process has no limit.
///
/// # Errors
///
/// [`CopyLimit`](TransferError::CopyLimit) when there are fewer left,
/// [`NotReceiving`](TransferError::NotReceiving) outside of a [`receive_scope`].
///
/// ```
/// use procession_shm::transfer::{TransferError, Trust, receive_scope, take_copy};
///
/// let stranger = Trust::Untrusting { copy_bytes_max: 1000 };
/// let _ = receive_scope(Vec::new(), stranger, || {
///     assert!(take_copy(600).is_ok());
///     assert!(matches!(take_copy(600), Err(TransferError::CopyLimit { len: 600, left: 400 })));
/// });
/// ```
pub fn take_copy(len: usize) -> Result<(), TransferError> {
    in_scope(|receiving| match &mut receiving.trust {
        Trust::Trusting => Ok(()),
        Trust::Untrusting { copy_bytes_max: left } => {
            let rest = left.checked_sub(len);
            *left = rest.ok_or(TransferError::CopyLimit { len, left: *left })?;
            Ok(())
        }
    })
}

/// The descriptor at `index`, which other handles of the same message may use as well.
///
/// # Errors
///
/// [`NoDescriptor`](TransferError::NoDescriptor) when there is none,
/// [`NotReceiving`](TransferError::NotReceiving) outside of a [`receive_scope`].
///
/// ```
/// use std::sync::Arc;
/// use procession_shm::transfer::{TransferError, Trust, descriptor, receive_scope};
///
/// let fds = vec![std::fs::File::open("/dev/null")?.into()];
/// let _ = receive_scope(fds, Trust::Trusting, || {
///     assert!(Arc::ptr_eq(&descriptor(0).unwrap(), &descriptor(0).unwrap()));
///     assert!(matches!(descriptor(1), Err(TransferError::NoDescriptor { index: 1, count: 1 })));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn descriptor(index: u32) -> Result<Arc<OwnedFd>, TransferError> {
    in_scope(|receiving| {
        receiving.find(index)?.fd.clone().ok_or_else(|| receiving.no_descriptor(index))
    })
}

/// The memory behind the descriptor at `index`, which other handles of the same message may use as well, if it has these seals.
pub(crate) fn memory(index: u32, seals: SealFlags) -> Result<Backing, TransferError> {
    let backing = Backing::received(descriptor(index)?, seals)?;
    in_scope(|receiving| {
        receiving.find(index)?.is_memory = true;
        Ok(backing)
    })
}

/// The descriptor at `index`, which no other handle of the message may use.
///
/// # Errors
///
/// [`NoDescriptor`](TransferError::NoDescriptor) when there is none or another handle has it,
/// [`NotReceiving`](TransferError::NotReceiving) outside of a [`receive_scope`].
///
/// ```
/// use procession_shm::transfer::{Trust, receive_scope, take_descriptor};
///
/// let fds = vec![std::fs::File::open("/dev/null")?.into()];
/// let _ = receive_scope(fds, Trust::Trusting, || {
///     assert!(take_descriptor(0).is_ok());
///     assert!(take_descriptor(0).is_err());             // another handle has it
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn take_descriptor(index: u32) -> Result<OwnedFd, TransferError> {
    in_scope(|receiving| {
        let taken = receiving.find(index)?.fd.take();
        taken.and_then(Arc::into_inner).ok_or_else(|| receiving.no_descriptor(index))
    })
}

impl Receiving {
    fn keep_first<T>(&mut self, result: &Result<T, TransferError>) {
        if let Err(error) = result {
            self.failure.get_or_insert_with(|| Box::new(error.clone()));
        }
    }

    fn find(&mut self, index: u32) -> Result<&mut Arrived, TransferError> {
        let error = self.no_descriptor(index);
        usize::try_from(index).ok().and_then(|index| self.descriptors.get_mut(index)).ok_or(error)
    }

    fn no_descriptor(&self, index: u32) -> TransferError {
        TransferError::NoDescriptor { index, count: self.descriptors.len() }
    }
}

/// Keeps the first failure for [`Received`].
pub(crate) fn record<T>(result: Result<T, TransferError>) -> Result<T, TransferError> {
    with_innermost(&RECEIVING, |receiving| receiving.keep_first(&result));
    result
}

fn in_scope<T>(
    operation: impl FnOnce(&mut Receiving) -> Result<T, TransferError>,
) -> Result<T, TransferError> {
    with_innermost(&RECEIVING, |receiving| {
        let result = operation(receiving);
        receiving.keep_first(&result);
        result
    })
    .unwrap_or(Err(TransferError::NotReceiving))
}
