//! Messages as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use procession_shm::{Registration, Waitable};

use super::super::iter::pick;
use super::super::{Connection, Receiver, RecvError, Sender};
use super::poll;
use crate::Message;

/// The messages of a [`Receiver`], one by one, as a stream for any async runtime. Made by [`Receiver::stream`].
///
/// It ends where the stream of messages ends cleanly, or after an error that is not of one message, which comes once.
///
/// ```
/// use std::{future::poll_fn, pin::Pin};
/// use futures_core::Stream;
/// use procession_channel::pipe::{self, MessageStream};
///
/// # backstage::executor::block_on(async {
/// let (sender, receiver) = pipe::simplex::<u64>()?;
/// sender.send(7)?;
/// drop(sender);
/// let mut messages: MessageStream<u64> = receiver.stream();
/// // With the crate `futures`: `while let Some(message) = messages.next().await`.
/// while let Some(message) = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await {
///     assert_eq!(message?, 7);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct MessageStream<T> {
    receiver: Receiver<T>,
    registration: Registration,
    is_over: bool,
}

/// The messages of a [`Connection`] as a stream, beside its sending end. Made by [`Connection::stream`].
///
/// ```
/// use std::{future::poll_fn, pin::Pin};
/// use futures_core::Stream;
/// use procession_channel::pipe::{self, ConnectionStream};
///
/// # backstage::executor::block_on(async {
/// let (here, there) = pipe::duplex::<u64, u64>()?;
/// let mut questions: ConnectionStream<u64, u64> = there.stream();
/// here.send(7)?;
/// let question = poll_fn(|context| Pin::new(&mut questions).poll_next(context)).await.unwrap()?;
/// questions.sender().send(question * 2)?;
/// assert_eq!(here.recv()?, 14);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct ConnectionStream<S, R> {
    sender: Sender<S>,
    messages: MessageStream<R>,
}

impl<T> Receiver<T> {
    /// The messages as a stream.
    ///
    /// It is another type because one that is both an iterator and a stream cannot be used: each method would be ambiguous.
    ///
    /// ```
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (sender, receiver) = pipe::simplex::<u64>()?;
    /// sender.send(7)?;
    /// let mut messages = receiver.stream();
    /// let first = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await;
    /// assert!(matches!(first, Some(Ok(7))));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> MessageStream<T> {
        MessageStream { receiver: self, registration: Registration::default(), is_over: false }
    }
}

impl<S, R> Connection<S, R> {
    /// The messages that come as a stream, which keeps the [sending end](ConnectionStream::sender_mut). To let the ends go different
    /// ways, [`split`](Self::split) it first.
    ///
    /// ```
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// here.send(7)?;
    /// let mut messages = there.stream();
    /// let first = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await;
    /// assert!(matches!(first, Some(Ok(7))));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> ConnectionStream<S, R> {
        let (sender, receiver) = self.split();
        ConnectionStream { sender, messages: receiver.stream() }
    }
}

impl<S, R> ConnectionStream<S, R> {
    /// The sending end.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// there.stream().sender().send(7)?;
    /// assert_eq!(here.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The sending end, to await it.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// let mut there = there.stream();
    /// there.sender_mut().send_async(7).await?;
    /// assert_eq!(here.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sender_mut(&mut self) -> &mut Sender<S> {
        &mut self.sender
    }
}

impl<T: Message> Stream for MessageStream<T> {
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { receiver, registration, is_over } = &mut *self;
        if *is_over {
            return Poll::Ready(None);
        }
        let attempt = || receiver.try_recv().transpose();
        let received = ready!(poll(registration, &*receiver, context, attempt));
        let received = received.unwrap_or_else(|error| Err(error.into()));
        Poll::Ready(pick(received, is_over))
    }
}

impl<T: Message> FusedStream for MessageStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<S, R: Message> Stream for ConnectionStream<S, R> {
    type Item = Result<R, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.messages).poll_next(context)
    }
}

impl<S, R: Message> FusedStream for ConnectionStream<S, R> {
    fn is_terminated(&self) -> bool {
        self.messages.is_terminated()
    }
}

impl<T> Drop for MessageStream<T> {
    fn drop(&mut self) {
        self.registration.leave();
        self.receiver.unwatch();
    }
}

impl<T> fmt::Debug for MessageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream").finish_non_exhaustive()
    }
}
