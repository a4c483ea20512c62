//! The bytes of the ring.
//!
//! A ring begins small and grows: `window` of its bytes are in use, a power of two, and position `p` lies at `p mod window`.
//! While little is under way the same few pages are used again and again, and a queue of 64 MiB takes 64 KiB. What wraps
//! around at the end of the window is copied in two pieces. (A mirrored mapping, as pipes have it, can mirror at one place
//! only, and so could not grow.)
//!
//! # Growing
//!
//! Doubling the window moves every other block of `window` positions up by `window` bytes, into memory that nobody uses yet,
//! and leaves the old bytes where they are. So the one store of `window` commits it: killed before, nothing has happened.
//!
//! A ring never gets smaller. So who finds it full, and may wait, first waits for a moment: where those who get are at work there is
//! room soon, and the ring stays in the caches. Before, two that put faster than two others get had a ring of 64 MiB after a while.

use std::ops::Range;

use procession_shm::SegmentError;

use super::control::Place;
use super::frame::HEADER_LEN;

/// How many bytes are moved at a time when the window grows.
const MOVED_AT_ONCE: usize = 64 << 10;

/// Where the bytes of a ring lie: in a mapping, or on the heap of a model.
pub(super) trait Bytes {
    fn write(&self, offset: usize, bytes: &[u8]);
    /// Appends `len` bytes to `out`.
    fn read(&self, offset: usize, len: usize, out: &mut Vec<u8>);
    /// The header at an offset that is a multiple of its length.
    fn header(&self, offset: usize) -> [u8; HEADER_LEN];
    /// Takes the memory in which nothing was written so far.
    fn claim(&self, range: Range<usize>) -> Result<(), SegmentError>;
}

/// A ring while its window does not change, because the caller has one of its locks.
#[derive(Debug)]
pub(super) struct Ring<'a, B> {
    bytes: &'a B,
    window: usize,
}

impl<'a, B: Bytes> Ring<'a, B> {
    pub(super) fn new(bytes: &'a B, window: usize) -> Self {
        Self { bytes, window }
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Writes at most `window` bytes.
    #[inline]
    pub(super) fn write(&self, at: Place, bytes: &[u8]) {
        let offset = self.offset(at.byte());
        let (first, rest) = bytes.split_at(bytes.len().min(self.window - offset));
        self.bytes.write(offset, first);
        if !rest.is_empty() {
            self.bytes.write(0, rest);
        }
    }

    /// Appends `len` bytes, at most `window`.
    #[inline]
    pub(super) fn read(&self, at: Place, len: usize, out: &mut Vec<u8>) {
        let offset = self.offset(at.byte());
        let first = len.min(self.window - offset);
        self.bytes.read(offset, first, out);
        if first < len {
            self.bytes.read(0, len - first, out);
        }
    }

    #[inline]
    pub(super) fn header(&self, at: Place) -> [u8; HEADER_LEN] {
        self.bytes.header(self.offset(at.byte()))
    }

    /// Moves what lies between `head` and `tail` to where it is in a window of twice the size.
    pub(super) fn spread(&self, head: Place, tail: Place) -> Result<(), SegmentError> {
        self.bytes.claim(self.window..2 * self.window)?;
        let (start, len) = (head.byte(), tail.bytes_since(head));
        let first = len.min(self.window - self.offset(start));
        let is_upper = start & self.window != 0;
        let (from, len) = if is_upper { (self.offset(start), first) } else { (0, len - first) };
        self.lift(from, len);
        Ok(())
    }

    /// Copies bytes up by the length of the window.
    fn lift(&self, from: usize, len: usize) {
        let mut buffer = Vec::new();
        for start in (from..from + len).step_by(MOVED_AT_ONCE) {
            buffer.clear();
            self.bytes.read(start, MOVED_AT_ONCE.min(from + len - start), &mut buffer);
            self.bytes.write(self.window + start, &buffer);
        }
    }

    fn offset(&self, byte: usize) -> usize {
        byte & (self.window - 1)
    }
}
