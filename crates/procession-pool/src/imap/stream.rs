//! An [`Imap`] that is awaited.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use procession_channel::Message;

use super::{Imap, Step};
use crate::error::TaskError;

/// The results of a call, one by one, as a stream for any async runtime. Made by [`Imap::stream`].
///
/// What holds for [`Imap`] holds here, with polling in place of blocking: the input is pulled inside of
/// [`poll_next`](Stream::poll_next), which never blocks unless the input does, and only as far as results are taken. While
/// nobody polls, the pool's own thread receives what workers have done. Dropping it cancels what is left.
///
/// ```
/// use std::{future::poll_fn, pin::Pin};
/// use futures_core::Stream;
///
/// # backstage::executor::block_on(async {
/// let pool = procession_pool::Pool::with_workers(2)?;
/// let mut squares = pool.imap(|n: u64| n * n, 0..4).stream();
/// let mut sum = 0;
/// // With the crate `futures`: `while let Some(square) = squares.next().await`.
/// while let Some(square) = poll_fn(|context| Pin::new(&mut squares).poll_next(context)).await {
///     sum += square?;
/// }
/// assert_eq!(sum, 14);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it pulls its input, and so does its work, only as results are taken"]
pub struct ImapStream<'p, I: Iterator, R> {
    /// In a box, the stream can be moved while it is polled whatever the input is.
    imap: Box<Imap<'p, I, R>>,
    is_over: bool,
}

impl<'p, I: Iterator, R> Imap<'p, I, R> {
    /// Goes on as a stream.
    ///
    /// It is another type because one that is both an iterator and a stream cannot be used: each method would be ambiguous.
    ///
    /// ```
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    ///
    /// # backstage::executor::block_on(async {
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let mut lengths = pool.imap(|name: String| name.len(), ["Ada"]).stream();
    /// let first = poll_fn(|context| Pin::new(&mut lengths).poll_next(context)).await;
    /// assert!(matches!(first, Some(Ok(3))));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> ImapStream<'p, I, R> {
        let mut imap = Box::new(self);
        if imap.core.is_ours() {
            if let Err(error) = imap.core.ensure_background() {
                imap.input = None;
                imap.end = Some(TaskError::Broken(Arc::new(error)));
            }
            let call = imap.call;
            imap.core.with(|state| state.leave_unattended(call));
        }
        ImapStream { imap, is_over: false }
    }
}

impl<I: Iterator, R> ImapStream<'_, I, R> {
    /// Takes in what has arrived; if nothing has, the task is woken when something does.
    fn poll_fetch(&mut self, context: &Context<'_>) -> Poll<()> {
        let (call, imap) = (self.imap.call, &mut self.imap);
        imap.core.poll();
        let Some(deliveries) = imap.core.fetch_or_tell(call, context.waker()) else {
            imap.core.rouse_background();
            return Poll::Pending;
        };
        imap.take_in(deliveries);
        Poll::Ready(())
    }
}

impl<I: Iterator, R: Message> Stream for ImapStream<'_, I, R> {
    type Item = Result<R, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.imap.step() {
                Step::Yield(next) => {
                    self.is_over = next.is_none();
                    return Poll::Ready(next);
                }
                Step::Wait if self.poll_fetch(context).is_pending() => return Poll::Pending,
                Step::Wait => {}
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.imap.size_hint()
    }
}

impl<I: Iterator, R: Message> FusedStream for ImapStream<'_, I, R> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<I: Iterator, R> fmt::Debug for ImapStream<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ImapStream").field(&self.imap).finish()
    }
}
