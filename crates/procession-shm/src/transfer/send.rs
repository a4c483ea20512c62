//! The scope of an encoder.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use super::unique::Leaving;
use super::{TransferError, enter, with_innermost};

thread_local! {
    static SENDING: Cell<*const RefCell<Sending>> = const { Cell::new(ptr::null()) };
}

/// Small, because few messages have handles.
#[derive(Default)]
struct Sending {
    outgoing: Outgoing,
    failure: Option<Box<TransferError>>,
}

impl Sending {
    fn keep_first<T>(&mut self, result: &Result<T, TransferError>) {
        if let Err(error) = result {
            self.failure.get_or_insert_with(|| Box::new(error.clone()));
        }
    }
}

/// What goes beside the bytes of a message.
///
/// Dropped without [`commit`](Self::commit), it makes the handles in the message usable again.
///
/// ```
/// use procession_shm::transfer::{Outgoing, send_scope};
/// use procession_shm::SharedBuf;
///
/// let mut buffer = SharedBuf::from_slice(&[1_u32, 2])?;
/// let (_bytes, outgoing): (_, Outgoing) = send_scope(|| postcard::to_stdvec(&buffer)).unwrap();
/// drop(outgoing);                                       // it could not be sent: the handle is usable again
/// assert_eq!(buffer.as_mut_slice(), [1, 2]);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Default)]
#[must_use = "dropping it takes the handles back"]
pub struct Outgoing(Option<Box<Luggage>>);

/// What the handles in a message have put beside it.
#[derive(Default)]
struct Luggage {
    descriptors: Vec<Arc<OwnedFd>>,
    leaving: Vec<Box<dyn Leaving>>,
    needs_family: bool,
}

impl Outgoing {
    /// The descriptors to send, in the order of their indices. Handles of the same memory share one.
    ///
    /// ```
    /// use procession_shm::{SharedSlice, transfer::send_scope};
    ///
    /// let words = SharedSlice::from_slice(&[1_u32, 2])?;
    /// let (_, outgoing) = send_scope(|| postcard::to_stdvec(&(words.clone(), words))).unwrap();
    /// assert_eq!(outgoing.descriptors().len(), 1);          // both are the same memory
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn descriptors(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        let descriptors = self.0.as_deref().map_or(&[][..], |luggage| &luggage.descriptors);
        descriptors.iter().map(|fd| fd.as_fd())
    }

    /// Whether nothing goes beside the bytes, as with most messages.
    ///
    /// ```
    /// use procession_shm::transfer::send_scope;
    ///
    /// let (_, outgoing) = send_scope(|| postcard::to_stdvec("text")).unwrap();
    /// assert!(outgoing.is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a handle in the message waits on other processes, so that its receiver has to be in the family.
    ///
    /// ```
    /// use procession_shm::transfer::{need_family, send_scope};
    ///
    /// let (_, outgoing) = send_scope(|| need_family("lock")).unwrap();
    /// assert!(outgoing.needs_family());
    /// ```
    pub fn needs_family(&self) -> bool {
        self.0.as_deref().is_some_and(|luggage| luggage.needs_family)
    }

    /// Whether the message moves a handle that can have only one owner: it must not be sent twice.
    ///
    /// ```
    /// use procession_shm::{SharedBuf, SharedSlice, transfer::send_scope};
    ///
    /// let (words, buffer) = (SharedSlice::from_slice(&[1])?, SharedBuf::<u8>::zeroed(1)?);
    /// assert!(!send_scope(|| postcard::to_stdvec(&words)).unwrap().1.is_moving());
    /// assert!(send_scope(|| postcard::to_stdvec(&buffer)).unwrap().1.is_moving());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn is_moving(&self) -> bool {
        self.0.as_deref().is_some_and(|luggage| !luggage.leaving.is_empty())
    }

    /// Lets go of the handles that have left. To be called when sending cannot fail any more, before the store that makes the
    /// message real.
    ///
    /// ```
    /// use procession_shm::{SharedBuf, transfer::send_scope};
    ///
    /// let buffer = SharedBuf::<u8>::zeroed(1)?;
    /// let (_, outgoing) = send_scope(|| postcard::to_stdvec(&buffer)).unwrap();
    /// outgoing.commit();
    /// assert!(buffer.freeze().is_err());                    // it is the receiver's now
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn commit(mut self) {
        let Some(luggage) = self.0.take() else { return };
        let Luggage { descriptors, leaving, .. } = *luggage;
        // First, so that it is what has left that lets go of its descriptors last: it knows whether closing them can take long.
        drop(descriptors);
        leaving.iter().for_each(|handle| handle.commit());
    }

    /// As [`commit`](Self::commit), and keeps the descriptors, for a channel that sends later or may have to send again.
    ///
    /// ```
    /// use procession_shm::{SharedSlice, transfer::send_scope};
    ///
    /// let words = SharedSlice::from_slice(&[1_u32, 2])?;
    /// let (_, outgoing) = send_scope(|| postcard::to_stdvec(&words)).unwrap();
    /// assert_eq!(outgoing.into_descriptors().len(), 1);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn into_descriptors(mut self) -> Vec<Arc<OwnedFd>> {
        let Some(mut luggage) = self.0.take() else { return Vec::new() };
        luggage.leaving.drain(..).for_each(|handle| handle.commit());
        luggage.descriptors
    }

    fn luggage(&mut self) -> &mut Luggage {
        self.0.get_or_insert_default()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(luggage) = self.0.take() {
            luggage.leaving.into_iter().for_each(|handle| handle.undo());
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("descriptors", &self.descriptors().len())
            .field("is_moving", &self.is_moving())
            .field("needs_family", &self.needs_family())
            .finish()
    }
}

/// A value that could not be encoded. Its handles are as they were.
///
/// ```
/// use procession_shm::transfer::{Moved, Sole, TransferError, Unsent, send_scope};
///
/// let sole = Sole::new(7);
/// send_scope(|| sole.leave("key", |_| Ok(()), |_| ())).unwrap().1.commit();
/// let twice = send_scope(|| sole.leave("key", |_| Ok(()), |_| ()));
/// assert!(matches!(twice, Err(Unsent { failure: Some(TransferError::Moved { .. }), .. })));
/// assert_eq!(sole.with(|_| ()), Err(Moved));
/// ```
#[derive(Debug)]
pub struct Unsent<E> {
    /// What the encoder returned.
    pub error: E,
    /// The first thing that a handle could not do; `None` when the encoder failed for a reason of its own.
    pub failure: Option<TransferError>,
}

/// Runs an encoder so that the handles in the value can go with it.
///
/// `encode` must serialize the value once: a second time, a handle that can have only one owner has already left.
///
/// # Errors
///
/// That of `encode`. Handles that had already been encoded are usable again.
///
/// ```
/// use procession_shm::{SharedBuf, transfer};
///
/// let buffer = SharedBuf::from_slice(&[1_u32, 2, 3])?;
/// let (bytes, outgoing) = transfer::send_scope(|| postcard::to_stdvec(&buffer)).unwrap();
/// assert_eq!(outgoing.descriptors().len(), 1);
/// // here the channel sends the descriptors and writes the bytes
/// # assert!(!bytes.is_empty());
/// outgoing.commit();
/// // here it makes the message real
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[inline]
pub fn send_scope<R, E>(encode: impl FnOnce() -> Result<R, E>) -> Result<(R, Outgoing), Unsent<E>> {
    let scope = RefCell::new(Sending::default());
    let result = enter(&SENDING, &scope, encode);
    let Sending { outgoing, failure } = scope.into_inner();
    match result {
        Ok(value) => Ok((value, outgoing)),
        Err(error) => Err(Unsent { error, failure: failure.map(|failure| *failure) }),
    }
}

/// Sends a descriptor along and returns the index by which the receiver finds it. One that is already there is not added
/// again.
///
/// # Errors
///
/// [`NotSending`](TransferError::NotSending) outside of a [`send_scope`],
/// [`Malformed`](TransferError::Malformed) for more than 2^32 descriptors.
///
/// ```
/// use std::os::fd::OwnedFd;
/// use std::sync::Arc;
/// use procession_shm::transfer::{TransferError, attach, send_scope};
///
/// let fd = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null")?));
/// assert!(matches!(attach("file", &fd), Err(TransferError::NotSending { handle: "file" })));
/// let (index, outgoing) = send_scope(|| attach("file", &fd)).unwrap();
/// assert_eq!((index, outgoing.descriptors().len()), (0, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn attach(handle: &'static str, fd: &Arc<OwnedFd>) -> Result<u32, TransferError> {
    in_scope(handle, |sending| {
        let descriptors = &mut sending.outgoing.luggage().descriptors;
        let known = descriptors.iter().position(|other| Arc::ptr_eq(other, fd));
        let index = known.unwrap_or_else(|| {
            descriptors.push(Arc::clone(fd));
            descriptors.len() - 1
        });
        let reason = "it has more file descriptors than can be counted";
        u32::try_from(index).map_err(|_| TransferError::Malformed { handle, reason })
    })
}

/// Says that the receiver has to be in the family of this process to use the handle.
///
/// # Errors
///
/// [`NotSending`](TransferError::NotSending) outside of a [`send_scope`].
///
/// ```
/// use procession_shm::transfer::{need_family, send_scope};
///
/// assert!(need_family("lock").is_err());                // nothing is being sent
/// assert!(send_scope(|| need_family("lock")).unwrap().1.needs_family());
/// ```
pub fn need_family(handle: &'static str) -> Result<(), TransferError> {
    in_scope(handle, |sending| {
        sending.outgoing.luggage().needs_family = true;
        Ok(())
    })
}

pub(crate) fn is_open() -> bool {
    !SENDING.get().is_null()
}

pub(super) fn push_leaving(
    handle: &'static str,
    leaving: Box<dyn Leaving>,
) -> Result<(), TransferError> {
    in_scope(handle, |sending| {
        sending.outgoing.luggage().leaving.push(leaving);
        Ok(())
    })
}

/// Keeps the first failure for [`Unsent`], because serde turns it into text.
pub(super) fn record<T>(result: Result<T, TransferError>) -> Result<T, TransferError> {
    with_innermost(&SENDING, |sending| sending.keep_first(&result));
    result
}

fn in_scope<T>(
    handle: &'static str,
    operation: impl FnOnce(&mut Sending) -> Result<T, TransferError>,
) -> Result<T, TransferError> {
    with_innermost(&SENDING, |sending| {
        let result = operation(sending);
        sending.keep_first(&result);
        result
    })
    .unwrap_or(Err(TransferError::NotSending { handle }))
}
