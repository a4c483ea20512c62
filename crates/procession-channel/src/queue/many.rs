//! Several items that were got at once.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::vec;

use super::frame::Kind;
use super::get::Haul;
use super::{RecvError, parcel};
use crate::Message;

/// Items that this process has got at once, of which each is decoded when it is its turn: see
/// [`Queue::get_many`](super::Queue::get_many). Those that are not asked for are gone with this.
///
/// ```
/// use procession_channel::queue::{Many, Queue};
///
/// let queue = Queue::new()?;
/// queue.put_many([1, 2, 3])?;
/// let many: Many<u64> = queue.get_many(10)?;
/// assert!(queue.is_empty());                            // all of them are got
/// assert_eq!(many.sum::<Result<u64, _>>()?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Many<T> {
    haul: Haul,
    ends: vec::IntoIter<(usize, Kind)>,
    start: usize,
    _value: PhantomData<fn() -> T>,
}

impl<T> Many<T> {
    pub(super) fn new(mut haul: Haul) -> Self {
        let ends = std::mem::take(&mut haul.items).into_iter();
        Self { haul, ends, start: 0, _value: PhantomData }
    }
}

impl<T: Message> Iterator for Many<T> {
    type Item = Result<T, RecvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (end, kind) = self.ends.next()?;
        let start = std::mem::replace(&mut self.start, end);
        let descriptors = std::mem::take(&mut self.haul.descriptors);
        Some(parcel::decode(&self.haul.bytes[start..end], kind, descriptors))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl<T: Message> ExactSizeIterator for Many<T> {}
impl<T: Message> FusedIterator for Many<T> {}

impl<T> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many").field("left", &self.ends.len()).finish_non_exhaustive()
    }
}
