//! Several items that were got at once.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::get::Haul;
use super::{RecvError, getter, parcel};
use crate::Message;

/// Items that this process has got at once, of which each is decoded when it is its turn: see
/// [`Queue::get_many`](super::Queue::get_many). Those that are not asked for are gone with this, but were got: each is to be counted as
/// [done](super::Queue::task_done), if somebody joins.
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
    /// `None` only when this has been dropped.
    haul: Option<Box<Haul>>,
    /// How many of them were asked for.
    done: usize,
    _value: PhantomData<fn() -> T>,
}

impl<T> Many<T> {
    pub(super) fn new(haul: Box<Haul>) -> Self {
        Self { haul: Some(haul), done: 0, _value: PhantomData }
    }

    fn left(&self) -> usize {
        self.haul.as_ref().map_or(0, |haul| haul.items.len() - self.done)
    }
}

/// The memory is kept for the next ones.
impl<T> Drop for Many<T> {
    fn drop(&mut self) {
        if let Some(haul) = self.haul.take() {
            getter::keep_haul(haul);
        }
    }
}

impl<T: Message> Iterator for Many<T> {
    type Item = Result<T, RecvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let haul = self.haul.as_mut()?;
        let item = *haul.items.get(self.done)?;
        self.done += 1;
        let descriptors = std::mem::take(&mut haul.descriptors);
        Some(parcel::decode(haul.body(item), item.kind, descriptors))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left(), Some(self.left()))
    }
}

impl<T: Message> ExactSizeIterator for Many<T> {}
impl<T: Message> FusedIterator for Many<T> {}

impl<T> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many").field("left", &self.left()).finish_non_exhaustive()
    }
}
