//! Elements that nobody can change any more.
//!
//! # Safety
//!
//! `&[T]` promises that the elements do not change while it lives, to a compiler that takes it at its word. The processes
//! that have the memory need not be trusted to keep the promise, because the kernel does:
//!
//! * **L1** The backing is frozen (F3) before the first `&[T]` is made from it. A descriptor that came from another process is
//!   asked for its seals, and nothing is mapped from one that is not frozen.
//! * **L2** The elements lie inside the backing, aligned, and the window shows them. What a message says about them is checked
//!   with overflow in mind.
//! * **L3** Every bit pattern is a `T` (`T: Pod`), so it does not matter who wrote the bytes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, RangeBounds};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backing::{Backing, FROZEN};
use crate::elements::{self, Checked, Place};
use crate::segment::SegmentError;
use crate::transfer::{self, TransferError, Trust};
use crate::window::{Access, Window};

const HANDLE: &str = "SharedSlice";

/// Elements in memory that several processes map and nobody can write to any more.
///
/// It is what an `Arc<[T]>` is inside one process: clones and parts are cheap, and one that is sent through a channel shows
/// the same pages in the other process, whatever its size. The memory goes away with the last of them. One file descriptor
/// is open for all clones and parts of one slice in a process.
///
/// This is an *untrusting* handle: it may come from a process that lies, and go to one. The receiver checks with the kernel
/// that the memory is sealed and as large as it should be, and only then maps it, for reading. Only the pages of a part are
/// mapped by its receiver, though he could map the rest of them too: do not send a part of a secret.
///
/// ```
/// use procession_shm::SharedSlice;
///
/// let squares = SharedSlice::from_slice(&[0_u64, 1, 4, 9, 16])?;
/// let middle = squares.slice(1..4);
/// assert_eq!(middle[..], [1, 4, 9]);
/// assert_eq!(middle.iter().sum::<u64>(), 14);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
pub struct SharedSlice<T: Pod> {
    first: NonNull<T>,
    len: usize,
    /// None when there are no elements.
    window: Option<Arc<Window>>,
    /// Where the first element begins in the backing, in bytes.
    offset: usize,
    _elements: PhantomData<T>,
}

// SAFETY: it gives `&[T]` to elements that nobody owns, which `T: Sync` allows other threads to have.
unsafe impl<T: Pod + Sync> Send for SharedSlice<T> {}
// SAFETY: as for Send.
unsafe impl<T: Pod + Sync> Sync for SharedSlice<T> {}

impl<T: Pod> SharedSlice<T> {
    /// Copies `elements` into shared memory of their own.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::new`](crate::Segment::new) and [`Segment::map`](crate::Segment::map), except that no elements are
    /// no error: no memory, no descriptor, or not allowed.
    ///
    /// ```
    /// let words = procession_shm::SharedSlice::from_slice(&[1_u64, 2, 3])?;
    /// let same = words.clone();                             // no element is copied
    /// assert_eq!(same.as_ptr(), words.as_ptr());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn from_slice(elements: &[T]) -> Result<Self, SegmentError> {
        elements::size::<T>();
        if elements.is_empty() {
            return Ok(Self::default());
        }
        let backing = Backing::filled(bytemuck::cast_slice(elements), FROZEN)?;
        let window = Window::whole(backing, Access::Read)?;
        Ok(Self::over(Arc::new(window), 0, elements.len()))
    }

    /// `len` elements, at least one, from `offset` bytes on in a frozen backing (L1), which the window shows (L2).
    pub(crate) fn over(window: Arc<Window>, offset: usize, len: usize) -> Self {
        let first = window.at(offset).cast();
        Self { first, len, window: Some(window), offset, _elements: PhantomData }
    }

    /// A part of the elements, without copying any.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the slice, as indexing does.
    ///
    /// ```
    /// let words = procession_shm::SharedSlice::from_slice(&[1_u64, 2, 3, 4])?;
    /// let middle = words.slice(1..3);
    /// assert_eq!(middle[..], [2, 3]);
    /// assert_eq!(middle.slice(1..)[..], [3]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        // Panics with the words that everybody knows.
        let len = self[start..end].len();
        match &self.window {
            Some(window) if len > 0 => {
                Self::over(Arc::clone(window), self.offset + start * elements::size::<T>(), len)
            }
            _ => Self::default(),
        }
    }

    fn place(&self) -> Result<Place, TransferError> {
        let descriptor = match &self.window {
            Some(window) => Some(transfer::attach(HANDLE, window.backing().descriptor())?),
            None if transfer::is_sending() => None,
            None => return Err(TransferError::NotSending { handle: HANDLE }),
        };
        Ok(Place { descriptor, offset: self.offset as u64, len: self.len as u64 })
    }

    fn receive(place: &Place) -> Result<Self, TransferError> {
        let trust = transfer::trust()?;
        let place = place.check::<T>(HANDLE)?;
        let Some(index) = place.descriptor else { return Ok(Self::default()) };
        let window = Self::checked_window(index, &place)?;
        if trust != Trust::Trusting {
            window.populate()?;
        }
        Ok(Self::over(Arc::new(window), place.offset, place.len))
    }

    /// L1 and L2.
    fn checked_window(index: u32, place: &Checked) -> Result<Window, TransferError> {
        let backing = transfer::memory(index, FROZEN)?;
        place.lies_in(&backing, HANDLE)?;
        Ok(Window::new(Arc::new(backing), place.offset..place.end, Access::Read)?)
    }
}

impl<T: Pod> Deref for SharedSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements lie from `first` on (L2; none if it dangles), are valid (L3) and never change (L1); the
        // window stays for as long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

/// No elements.
impl<T: Pod> Default for SharedSlice<T> {
    fn default() -> Self {
        let first = NonNull::dangling();
        Self { first, len: 0, window: None, offset: 0, _elements: PhantomData }
    }
}

impl<T: Pod> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self { window: self.window.clone(), ..*self }
    }
}

impl<T: Pod> AsRef<[T]> for SharedSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<'a, T: Pod> IntoIterator for &'a SharedSlice<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Pod + PartialEq> PartialEq for SharedSlice<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + Eq> Eq for SharedSlice<T> {}

impl<T: Pod + fmt::Debug> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Works inside a channel only.
impl<T: Pod> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.place().map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Works inside a channel only, from any process.
impl<'de, T: Pod> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = Place::deserialize(deserializer)?;
        transfer::received(Self::receive(&place)).map_err(D::Error::custom)
    }
}
