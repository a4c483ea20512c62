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
/// It ends where the stream of messages ends cleanly; an error that ends the pipe comes first, once.
#[must_use = "streams do nothing unless polled"]
pub struct MessageStream<T> {
    receiver: Receiver<T>,
    registration: Registration,
    is_over: bool,
}

/// The messages of a [`Connection`] as a stream, beside its sending end. Made by [`Connection::stream`].
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
    pub fn stream(self) -> MessageStream<T> {
        MessageStream { receiver: self, registration: Registration::default(), is_over: false }
    }
}

impl<S, R> Connection<S, R> {
    /// The messages that come as a stream, which keeps the [sending end](ConnectionStream::sender_mut). To let the ends go different
    /// ways, [`split`](Self::split) it first.
    pub fn stream(self) -> ConnectionStream<S, R> {
        let (sender, receiver) = self.split();
        ConnectionStream { sender, messages: receiver.stream() }
    }
}

impl<S, R> ConnectionStream<S, R> {
    /// The sending end.
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The sending end, to await it.
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
