//! Items as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::super::iter::pick;
use super::super::{Getter, Queue, RecvError};
use super::Place;
use crate::Message;

/// The items of a queue, one by one, as a stream for any async runtime. Made by [`Queue::stream`] and [`Getter::stream`].
///
/// It ends when the queue is closed, or when nobody is left who could put, and all was got. An error that is not of one item
/// comes once, and ends it, too. Dropped, it leaves what it has not given out in the queue.
///
/// ```
/// use std::{future::poll_fn, pin::Pin};
/// use futures_core::Stream;
/// use procession_channel::queue::{ItemStream, Queue};
///
/// # backstage::executor::block_on(async {
/// let queue = Queue::new()?;
/// queue.put_many([1, 2, 3])?;
/// queue.close();
/// let (mut items, mut sum): (ItemStream<u64>, u64) = (queue.stream(), 0);
/// // With the crate `futures`: `while let Some(item) = items.next().await`.
/// while let Some(item) = poll_fn(|context| Pin::new(&mut items).poll_next(context)).await {
///     sum += item?;
/// }
/// assert_eq!(sum, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct ItemStream<T> {
    getter: Getter<T>,
    place: Place,
    is_over: bool,
}

impl<T> Getter<T> {
    /// The items as a stream. Another handle of the queue may be used at the same time.
    ///
    /// It is another type because one that is both an iterator and a stream cannot be used: each method would be ambiguous.
    ///
    /// ```
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// use procession_channel::queue::Queue;
    ///
    /// # backstage::executor::block_on(async {
    /// let queue = Queue::new()?;
    /// let (putter, mut items) = (queue.putter(), queue.getter().stream());
    /// drop(queue);
    /// putter.put(7)?;
    /// drop(putter);
    /// assert!(matches!(poll_fn(|context| Pin::new(&mut items).poll_next(context)).await, Some(Ok(7))));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> ItemStream<T> {
        ItemStream { getter: self, place: Place::default(), is_over: false }
    }
}

impl<T> Queue<T> {
    /// The items as a stream, which ends when the queue is closed. See [`Getter::stream`].
    ///
    /// ```
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// use procession_channel::queue::Queue;
    ///
    /// # backstage::executor::block_on(async {
    /// let queue = Queue::new()?;
    /// let mut items = queue.clone().stream();
    /// queue.put(7)?;
    /// assert!(matches!(poll_fn(|context| Pin::new(&mut items).poll_next(context)).await, Some(Ok(7))));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> ItemStream<T> {
        self.getter.stream()
    }
}

impl<T: Message> Stream for ItemStream<T> {
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { getter, place, is_over } = &mut *self;
        if *is_over {
            return Poll::Ready(None);
        }
        let attempt = || getter.attempt_get();
        let got = ready!(place.poll(&*getter, getter.travels(), context, attempt));
        Poll::Ready(pick(got, is_over))
    }
}

impl<T: Message> FusedStream for ItemStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<T> Drop for ItemStream<T> {
    fn drop(&mut self) {
        self.place.withdraw(&self.getter);
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").finish_non_exhaustive()
    }
}
