//! Elements in a backing: how many bytes they are, where they begin, and how a message says so.

use bytemuck::Pod;
use serde::{Deserialize, Serialize};

use crate::backing::Backing;
use crate::segment::SegmentError;
use crate::transfer::TransferError;

/// The smallest page of any Linux, and so the alignment that every mapping has.
pub(crate) const ALIGN_MAX: usize = 4096;

/// The size of an element in bytes, never 0.
///
/// Elements without bytes are refused when the program is built: a length alone needs no shared memory, and from a process
/// that lies it could be any number of elements for nothing.
pub(crate) const fn size<T: Pod>() -> usize {
    const {
        assert!(
            size_of::<T>() > 0,
            "elements without bytes need no shared memory: send their number"
        );
        assert!(align_of::<T>() <= ALIGN_MAX, "elements cannot be aligned to more than a page");
    }
    size_of::<T>()
}

/// How many bytes `len` elements are.
pub(crate) fn byte_len<T: Pod>(len: usize) -> Result<usize, SegmentError> {
    len.checked_mul(size::<T>()).ok_or(SegmentError::TooLarge { len: usize::MAX })
}

/// The elements of a handle, as they stand in a message. Empty handles have no memory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where the descriptor of the backing is among those that go with the message.
    pub(crate) descriptor: Option<u32>,
    /// Where the first element begins in the backing, in bytes.
    pub(crate) offset: u64,
    /// How many elements there are.
    pub(crate) len: u64,
}

impl Place {
    /// Checks what a stranger wrote: as many elements as `T`s fit, at a place where one can be, in a file or in none.
    pub(crate) fn check<T: Pod>(&self, handle: &'static str) -> Result<Checked, TransferError> {
        let malformed = |reason| TransferError::Malformed { handle, reason };
        let too_far = malformed("its elements lie outside of the address space");
        let parts = (usize::try_from(self.offset), usize::try_from(self.len));
        let (Ok(offset), Ok(len)) = parts else { return Err(too_far) };
        let end = byte_len::<T>(len).ok().and_then(|bytes| offset.checked_add(bytes));
        let end = end.ok_or(too_far)?;
        if !offset.is_multiple_of(align_of::<T>()) {
            return Err(malformed("its elements are not aligned"));
        }
        if self.descriptor.is_none() != (len == 0) {
            return Err(malformed("it has elements and no memory, or the reverse"));
        }
        Ok(Checked { descriptor: self.descriptor, offset, end, len })
    }
}

/// A place that can be, if the backing is as large as it says.
pub(crate) struct Checked {
    pub(crate) descriptor: Option<u32>,
    pub(crate) offset: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    pub(crate) len: usize,
}

impl Checked {
    pub(crate) fn lies_in(
        &self,
        backing: &Backing,
        handle: &'static str,
    ) -> Result<(), TransferError> {
        if self.end <= backing.len() {
            return Ok(());
        }
        let reason = "its elements lie behind the end of its memory";
        Err(TransferError::Malformed { handle, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Pod>(
        descriptor: Option<u32>,
        offset: u64,
        len: u64,
    ) -> Result<Checked, TransferError> {
        Place { descriptor, offset, len }.check::<T>("SharedSlice")
    }

    #[test]
    fn a_place_that_can_be_is_taken() {
        let place = check::<u64>(Some(3), 16, 4).unwrap();
        assert_eq!((place.descriptor, place.offset, place.end, place.len), (Some(3), 16, 48, 4));
        assert!(check::<u64>(None, 0, 0).is_ok());
    }

    #[test]
    fn lies_are_refused() {
        assert!(check::<u64>(Some(0), 0, u64::MAX).is_err(), "the size overflows");
        assert!(check::<u8>(Some(0), u64::MAX, 2).is_err(), "the end overflows");
        assert!(check::<u64>(Some(0), 4, 1).is_err(), "not aligned");
        assert!(check::<u64>(None, 0, 1).is_err(), "elements without memory");
        assert!(check::<u64>(Some(0), 0, 0).is_err(), "memory without elements");
    }
}
