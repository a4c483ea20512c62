//! Elements in shared memory that have one owner, who may change them.
//!
//! # Why there is no `Deref`
//!
//! A buffer travels by being serialized, and `Serialize` takes `&self`. With a `Deref`, safe code could hold a `&[T]` and give
//! the buffer away through another `&`, out of an `Rc` say; its new owner would then change the elements under the
//! reference. So every access needs `&mut self`, which excludes all others for as long as it lasts.
//!
//! # Safety
//!
//! * **B1** The ranges of all buffers of one backing, in all processes and messages, are disjoint. `split_into` makes them so,
//!   `unsplit` takes the old ones away before it returns the new, and a message takes the sender's away.
//! * **B2** Whoever has the [`Unique`] right `Here` is the owner. It leaves only through `&self` (U2), so not under the `&mut`
//!   of `as_mut_slice`.
//! * **B3** The window of a buffer shows the elements, at least; they are aligned and of a type for which every bit pattern is
//!   valid.
//!
//! B1 across processes is the word of the processes that had the buffer: it is a *trusting* handle. From one that is not
//! trusted, a copy is made.
//!
//! # What dies with a process
//!
//! A buffer dies with its owner, a buffer in a message with the message; its elements are lost, whatever had been written.
//! Other parts of the same memory are not touched, but `unsplit` has no way to put the whole together again.

mod error;
mod travel;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;

use crate::backing::{Backing, RESERVED};
use crate::elements;
use crate::segment::SegmentError;
use crate::shared_slice::SharedSlice;
use crate::transfer::{Moved, Unique};
use crate::window::{Access, Unfrozen, Window};

pub use error::{FreezeError, FreezeErrorKind, UnsplitError, UnsplitErrorKind};

/// Elements in memory that another process can take over without a copy. There is one owner at a time, who may change them.
///
/// It is what a `Vec<T>` of fixed length is inside one process. Sent through a channel, it belongs to the receiver; its pages
/// stay where they are. [`split_into`](Self::split_into) gives parts to several processes and [`unsplit`](Self::unsplit) puts
/// them together again; [`freeze`](Self::freeze) makes it a [`SharedSlice`], which all may read.
///
/// There is no access but by [`as_mut_slice`](Self::as_mut_slice), not even for reading: see there.
///
/// This is a *trusting* handle: a process that had the buffer might keep its pages and change them under the new owner. From a
/// process that is not trusted it arrives as a copy, in memory that the sender has never seen.
///
/// Memory is claimed when the buffer is made. A receiver maps whole pages, so that he could reach, though he never does, the
/// elements of a neighbouring part on the first and last of them. One file descriptor is open for each backing memory in a
/// process. After a bare `fork` the child has no access to it.
///
/// ```
/// use procession_shm::SharedBuf;
///
/// let buffer = SharedBuf::<f64>::zeroed(1000)?;
/// let mut parts = buffer.split_into(4); // each could go to another process
/// for (value, part) in [1.0, 2.0, 3.0, 4.0].into_iter().zip(&mut parts) {
///     part.as_mut_slice().fill(value);
/// }
/// let whole = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
/// assert_eq!(whole.iter().sum::<f64>(), 2500.0);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
pub struct SharedBuf<T: Pod> {
    /// None when there are no elements.
    memory: Unique<Option<Arc<Window>>>,
    /// Where the first element begins in the backing, in bytes.
    offset: usize,
    len: usize,
    _elements: PhantomData<T>,
}

impl<T: Pod> SharedBuf<T> {
    /// Makes a buffer of `len` elements whose bytes are all zero.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::new`](crate::Segment::new) and [`Segment::map`](crate::Segment::map), except that 0 elements are no
    /// error: no memory, no descriptor, or not allowed.
    ///
    /// ```
    /// let mut buffer = procession_shm::SharedBuf::<f64>::zeroed(1000)?;
    /// assert_eq!(buffer.as_mut_slice(), [0.0; 1000]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn zeroed(len: usize) -> Result<Self, SegmentError> {
        match elements::byte_len::<T>(len)? {
            0 => Ok(Self::empty()),
            bytes => Self::whole(Backing::zeroed(bytes, RESERVED)?, len),
        }
    }

    /// Makes a buffer with a copy of `elements`.
    ///
    /// # Errors
    ///
    /// Those of [`zeroed`](Self::zeroed).
    ///
    /// ```
    /// let mut buffer = procession_shm::SharedBuf::from_slice(&[1, 2, 3])?;
    /// buffer.as_mut_slice()[0] = 7;
    /// assert_eq!(buffer.as_mut_slice(), [7, 2, 3]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn from_slice(elements: &[T]) -> Result<Self, SegmentError> {
        match elements::byte_len::<T>(elements.len())? {
            0 => Ok(Self::empty()),
            _ => {
                let backing = Backing::filled(bytemuck::cast_slice(elements), RESERVED)?;
                Self::whole(backing, elements.len())
            }
        }
    }

    fn empty() -> Self {
        Self::over(None, 0, 0)
    }

    fn whole(backing: Backing, len: usize) -> Result<Self, SegmentError> {
        let window = Window::whole(backing, Access::Write)?;
        Ok(Self::over(Some(Arc::new(window)), 0, len))
    }

    /// The caller answers for B1 and B3.
    fn over(window: Option<Arc<Window>>, offset: usize, len: usize) -> Self {
        Self { memory: Unique::new(window), offset, len, _elements: PhantomData }
    }

    /// How many elements there are, or were, if it was sent to another process.
    ///
    /// ```
    /// assert_eq!(procession_shm::SharedBuf::<u8>::zeroed(1000)?.len(), 1000);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    ///
    /// ```
    /// use procession_shm::SharedBuf;
    ///
    /// assert!(SharedBuf::<u8>::zeroed(0)?.is_empty());
    /// assert!(!SharedBuf::<u8>::zeroed(1)?.is_empty());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, to read and to write.
    ///
    /// It takes `&mut self` also for reading. A buffer can be given to another process through a shared reference, as
    /// everything that is serialized; only an exclusive one makes sure that nobody does so while you look.
    ///
    /// # Panics
    ///
    /// When the buffer was already sent to another process. That can only happen to one that was sent through a reference,
    /// out of an `Rc` for example; one that is sent by value is gone.
    ///
    /// ```
    /// let mut pixels = procession_shm::SharedBuf::<u8>::zeroed(1 << 20)?;
    /// pixels.as_mut_slice().fill(255);
    /// assert_eq!(pixels.as_mut_slice()[1000], 255);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let first = self.memory.with(|window| match window {
            Some(window) => window.at(self.offset).cast(),
            None => NonNull::dangling(),
        });
        let first = first.unwrap_or_else(|moved| panic!("no access to this SharedBuf: {moved}"));
        // SAFETY: the elements lie from `first` on (B3; none if it dangles) and nobody else has them (B1). They are ours and
        // stay so for as long as `self` is borrowed mutably (B2).
        unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), self.len) }
    }

    /// Splits the elements into `n` parts, each of which can go to another process. No element is copied.
    ///
    /// The lengths differ by at most one, longer parts first; with fewer elements than parts, the last ones are empty. In
    /// this process the parts share one mapping; a part that was sent maps its own pages only.
    ///
    /// # Panics
    ///
    /// When `n` is 0, or when the buffer was already sent to another process, as [`as_mut_slice`](Self::as_mut_slice).
    ///
    /// ```
    /// let buffer = procession_shm::SharedBuf::from_slice(&[1, 2, 3, 4, 5])?;
    /// let mut parts = buffer.split_into(2);
    /// assert_eq!(parts[0].as_mut_slice(), [1, 2, 3]);
    /// assert_eq!(parts[1].as_mut_slice(), [4, 5]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn split_into(self, n: usize) -> Vec<Self> {
        assert!(n > 0, "a SharedBuf cannot be split into no parts");
        let window = self.memory.take();
        let window = window.unwrap_or_else(|moved| panic!("cannot split this SharedBuf: {moved}"));
        let (short, longer) = (self.len / n, self.len % n);
        let mut offset = self.offset;
        let part = |index: usize| {
            let len = short + usize::from(index < longer);
            let part = Self::over(window.clone().filter(|_| len > 0), offset, len);
            offset = part.range().end;
            part
        };
        (0..n).map(part).collect()
    }

    /// Puts parts together again that lie one behind the other in the same memory. No element is copied.
    ///
    /// They need not be all parts of what was split, but there can be no gap. Empty parts count for nothing. No parts, or
    /// empty ones only, make an empty buffer.
    ///
    /// # Errors
    ///
    /// The error has all parts, in the order in which they came; its [`kind`](UnsplitError::kind) says what is wrong:
    ///
    /// * [`NotAdjacent`](UnsplitErrorKind::NotAdjacent): one does not begin where the one before it ends.
    /// * [`OtherMemory`](UnsplitErrorKind::OtherMemory): one was never part of the same buffer.
    /// * [`Moved`](UnsplitErrorKind::Moved): one was already sent to another process.
    /// * [`Memory`](UnsplitErrorKind::Memory): parts that came from other processes have to be mapped as one, and there was no
    ///   address space for that.
    ///
    /// ```
    /// use procession_shm::{SharedBuf, UnsplitErrorKind};
    ///
    /// let mut parts = SharedBuf::from_slice(&[1, 2, 3, 4])?.split_into(2);
    /// parts.reverse();
    /// let error = SharedBuf::unsplit(parts).unwrap_err();
    /// assert!(matches!(error.kind(), UnsplitErrorKind::NotAdjacent { index: 1 }));
    /// let mut parts = error.into_parts();                   // they are back
    /// parts.reverse();
    /// assert_eq!(SharedBuf::unsplit(parts).unwrap().as_mut_slice(), [1, 2, 3, 4]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn unsplit(parts: impl IntoIterator<Item = Self>) -> Result<Self, UnsplitError<T>> {
        let parts: Vec<Self> = parts.into_iter().collect();
        match Self::united(&parts) {
            Ok((window, range)) => {
                // B1: the old ones go before there is a new one.
                drop(parts);
                Ok(Self::over(window, range.start, range.len() / elements::size::<T>()))
            }
            Err(kind) => Err(UnsplitError::new(kind, parts)),
        }
    }

    /// A window that shows all parts, and their range. Changes nothing.
    fn united(parts: &[Self]) -> Result<(Option<Arc<Window>>, Range<usize>), UnsplitErrorKind> {
        let mut united: Option<(Arc<Window>, Range<usize>)> = None;
        let mut one_window = true;
        for (index, part) in parts.iter().enumerate() {
            let moved = |Moved| UnsplitErrorKind::Moved { index };
            let Some(window) = part.memory.with(Option::clone).map_err(moved)? else { continue };
            let Some((first, range)) = &mut united else {
                united = Some((window, part.range()));
                continue;
            };
            if !first.backing().is(window.backing()) {
                return Err(UnsplitErrorKind::OtherMemory { index });
            }
            if part.offset != range.end {
                return Err(UnsplitErrorKind::NotAdjacent { index });
            }
            range.end = part.range().end;
            one_window &= Arc::ptr_eq(first, &window);
        }
        let Some((first, range)) = united else { return Ok((None, 0..0)) };
        if one_window {
            return Ok((Some(first), range));
        }
        let window = Window::new(Arc::clone(first.backing()), range.clone(), Access::Write)?;
        Ok((Some(Arc::new(window)), range))
    }

    /// Makes the elements constant, for everybody and for ever, so that all may read them at the same time. No element is
    /// copied. The kernel sees to it that nobody can write to the memory any more, in any process.
    ///
    /// # Errors
    ///
    /// The error has the buffer, as it was; its [`kind`](FreezeError::kind) says what is in the way:
    ///
    /// * [`Busy`](FreezeErrorKind::Busy): another process still maps the memory.
    /// * [`Part`](FreezeErrorKind::Part): it is only a part of what was allocated, the rest of which others may write to.
    ///   [`unsplit`](Self::unsplit) it first.
    /// * [`Moved`](FreezeErrorKind::Moved): it was already sent to another process.
    /// * [`Memory`](FreezeErrorKind::Memory): a system call failed.
    /// * [`Lost`](FreezeErrorKind::Lost): a system call failed on the way back; the buffer is of no use any more.
    ///
    /// ```
    /// use procession_shm::SharedBuf;
    ///
    /// let mut buffer = SharedBuf::<u64>::zeroed(3)?;
    /// buffer.as_mut_slice()[2] = 7;
    /// let constant = buffer.freeze().unwrap();
    /// assert_eq!(constant[..], [0, 0, 7]);                  // can be cloned, sent and read by all
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn freeze(self) -> Result<SharedSlice<T>, FreezeError<T>> {
        let Ok(window) = self.memory.take() else {
            return Err(FreezeError::new(FreezeErrorKind::Moved, self));
        };
        let Some(window) = window else { return Ok(SharedSlice::default()) };
        if self.range() != (0..window.backing().len()) {
            return Err(self.unfrozen(FreezeErrorKind::Part, window));
        }
        let mut window = match Arc::try_unwrap(window) {
            Ok(window) => window,
            Err(window) => return Err(self.unfrozen(FreezeErrorKind::Busy, window)),
        };
        match window.freeze() {
            Ok(()) => Ok(SharedSlice::over(Arc::new(window), 0, self.len)),
            Err(Unfrozen::Busy) => Err(self.unfrozen(FreezeErrorKind::Busy, Arc::new(window))),
            Err(Unfrozen::System(error)) => {
                Err(self.unfrozen(FreezeErrorKind::Memory(error), Arc::new(window)))
            }
            Err(Unfrozen::Lost(error)) => Err(FreezeError::new(FreezeErrorKind::Lost(error), self)),
        }
    }

    fn unfrozen(&self, kind: FreezeErrorKind, window: Arc<Window>) -> FreezeError<T> {
        FreezeError::new(kind, Self::over(Some(window), self.offset, self.len))
    }

    /// The bytes of the elements in the backing.
    fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len * elements::size::<T>()
    }
}

impl<T: Pod> fmt::Debug for SharedBuf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}
