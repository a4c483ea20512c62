//! What can go wrong with a whole buffer; the buffer comes back.

use std::fmt;

use bytemuck::Pod;

use super::SharedBuf;
use crate::segment::SegmentError;

/// Why a buffer could not be frozen.
///
/// ```
/// use procession_shm::{FreezeErrorKind, SharedBuf};
///
/// let part = SharedBuf::<u64>::zeroed(4)?.split_into(2).remove(0);
/// match part.freeze().unwrap_err().kind() {
///     FreezeErrorKind::Part => {}                       // unsplit it first
///     other => panic!("{other}"),
/// }
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FreezeErrorKind {
    /// It is still mapped by another process, or by another part in this one.
    #[error(
        "the buffer is still mapped for writing by another process: freeze it when all others have sent or dropped it"
    )]
    Busy,
    /// The rest of the memory belongs to other buffers.
    #[error("the buffer is only a part of its memory: put the parts together with `unsplit` first")]
    Part,
    /// It is not here any more.
    #[error("the buffer was already sent to another process: freeze it there")]
    Moved,
    /// A system call failed.
    #[error(transparent)]
    Memory(SegmentError),
    /// A system call failed on the way back, and the buffer is not mapped any more.
    #[error("the buffer could not be frozen and is lost, make another one: {0}")]
    Lost(SegmentError),
}

/// A buffer that could not be frozen.
///
/// ```
/// use procession_shm::SharedBuf;
///
/// let part = SharedBuf::from_slice(&[1, 2])?.split_into(2).remove(1);
/// let error = part.freeze().unwrap_err();
/// eprintln!("{error}");
/// assert_eq!(error.into_buffer().as_mut_slice(), [2]);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
pub struct FreezeError<T: Pod> {
    kind: FreezeErrorKind,
    buffer: SharedBuf<T>,
}

impl<T: Pod> FreezeError<T> {
    pub(super) fn new(kind: FreezeErrorKind, buffer: SharedBuf<T>) -> Self {
        Self { kind, buffer }
    }

    /// What was in the way.
    ///
    /// ```
    /// use procession_shm::{FreezeErrorKind, SharedBuf};
    ///
    /// let part = SharedBuf::<u8>::zeroed(2)?.split_into(2).remove(0);
    /// assert!(matches!(part.freeze().unwrap_err().kind(), FreezeErrorKind::Part));
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn kind(&self) -> &FreezeErrorKind {
        &self.kind
    }

    /// The buffer, as it was. After [`Moved`](FreezeErrorKind::Moved) and [`Lost`](FreezeErrorKind::Lost) there is no access to
    /// its elements.
    ///
    /// ```
    /// use procession_shm::SharedBuf;
    ///
    /// let mut parts = SharedBuf::from_slice(&[1, 2])?.split_into(2).into_iter();
    /// let part = parts.next().unwrap().freeze().unwrap_err().into_buffer();
    /// assert!(SharedBuf::unsplit([part].into_iter().chain(parts)).unwrap().freeze().is_ok());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn into_buffer(self) -> SharedBuf<T> {
        self.buffer
    }
}

impl<T: Pod> fmt::Debug for FreezeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreezeError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T: Pod> fmt::Display for FreezeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<T: Pod> std::error::Error for FreezeError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

/// Why parts could not be put together. Indices count the parts from 0.
///
/// ```
/// use procession_shm::{SharedBuf, UnsplitErrorKind};
///
/// let strangers = [SharedBuf::from_slice(&[1])?, SharedBuf::from_slice(&[2])?];
/// match SharedBuf::unsplit(strangers).unwrap_err().kind() {
///     UnsplitErrorKind::OtherMemory { index } => assert_eq!(*index, 1),
///     other => panic!("{other}"),
/// }
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UnsplitErrorKind {
    /// There is a gap, or the order is another one.
    #[error(
        "part {index} does not begin where the one before it ends: pass all parts, in the order in which `split_into` made them"
    )]
    NotAdjacent {
        /// The first part that is out of place.
        index: usize,
    },
    /// It was made by another call of `zeroed` or `from_slice`, or arrived as a copy.
    #[error(
        "part {index} lies in other memory than the ones before it: it is part of another buffer, or a copy because it came from a process that is not trusted; pass parts of one buffer"
    )]
    OtherMemory {
        /// The first part that does not belong to the others.
        index: usize,
    },
    /// It is not here any more.
    #[error("part {index} was already sent to another process: receive it back first")]
    Moved {
        /// The first part that is gone.
        index: usize,
    },
    /// The parts could not be mapped as one.
    #[error(transparent)]
    Memory(#[from] SegmentError),
}

/// Parts that could not be put together.
///
/// ```
/// use procession_shm::SharedBuf;
///
/// let strangers = [SharedBuf::from_slice(&[1])?, SharedBuf::from_slice(&[2])?];
/// let error = SharedBuf::unsplit(strangers).unwrap_err();
/// eprintln!("{error}");
/// assert_eq!(error.into_parts().len(), 2);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
pub struct UnsplitError<T: Pod> {
    kind: UnsplitErrorKind,
    parts: Vec<SharedBuf<T>>,
}

impl<T: Pod> UnsplitError<T> {
    pub(super) fn new(kind: UnsplitErrorKind, parts: Vec<SharedBuf<T>>) -> Self {
        Self { kind, parts }
    }

    /// What is wrong with them.
    ///
    /// ```
    /// use procession_shm::{SharedBuf, UnsplitErrorKind};
    ///
    /// let mut parts = SharedBuf::<u8>::zeroed(3)?.split_into(3);
    /// parts.remove(1);
    /// let error = SharedBuf::unsplit(parts).unwrap_err();
    /// assert!(matches!(error.kind(), UnsplitErrorKind::NotAdjacent { index: 1 }));
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn kind(&self) -> &UnsplitErrorKind {
        &self.kind
    }

    /// All parts, in the order in which they came.
    ///
    /// ```
    /// use procession_shm::SharedBuf;
    ///
    /// let strangers = [SharedBuf::from_slice(&[1])?, SharedBuf::from_slice(&[2])?];
    /// let mut parts = SharedBuf::unsplit(strangers).unwrap_err().into_parts();
    /// assert_eq!(parts[1].as_mut_slice(), [2]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn into_parts(self) -> Vec<SharedBuf<T>> {
        self.parts
    }
}

impl<T: Pod> fmt::Debug for UnsplitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsplitError")
            .field("kind", &self.kind)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl<T: Pod> fmt::Display for UnsplitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<T: Pod> std::error::Error for UnsplitError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}
