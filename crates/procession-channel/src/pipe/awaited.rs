//! Sends and receives as futures, for any executor.
//!
//! A future tries; if it would block, it announces itself as a blocking call does, leaves its words with the process's
//! [reactor](procession_shm::Registration), tries once more, and is pending. It borrows its end for itself, so nobody else
//! waits on the same bell. Dropped, it takes all that back; a send that was under way is aborted, and a receive leaves the parts
//! that came for the next one.

#[cfg(feature = "stream")]
mod stream;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use procession_shm::transfer::{self, Outgoing};
use procession_shm::{Registration, Waitable, Watch};

use super::line::Patience;
use super::outlet::{Outlet, Progress};
use super::{Connection, Receiver, RecvError, SendError, SendErrorKind, Sender};
use crate::Message;
use crate::codec::{self, Limits};

#[cfg(feature = "stream")]
pub use stream::{ConnectionStream, MessageStream};

/// Turns `attempt`, which does not block, into a poll.
fn poll<T>(
    registration: &mut Registration,
    object: &dyn Waitable,
    context: &Context<'_>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Poll<std::io::Result<T>> {
    registration.leave();
    object.unwatch();
    if let Some(done) = attempt() {
        return Poll::Ready(Ok(done));
    }
    let mut watches: Vec<Watch<'_>> = Vec::new();
    object.watch(&mut watches);
    let entered = registration.enter(&watches, context.waker());
    let done = attempt();
    if done.is_none() && entered.is_ok() {
        return Poll::Pending;
    }
    registration.leave();
    object.unwatch();
    match (done, entered) {
        (Some(done), _) => Poll::Ready(Ok(done)),
        (None, entered) => Poll::Ready(Err(entered.err().unwrap_or_else(|| {
            std::io::Error::other("the process has no thread to wait for its futures")
        }))),
    }
}

/// A receive that is awaited: see [`Receiver::recv_async`].
///
/// ```
/// use procession_channel::pipe;
///
/// # backstage::executor::block_on(async {
/// let (sender, mut receiver) = pipe::simplex()?;
/// let waiting: pipe::RecvAsync<'_, u64> = receiver.recv_async();
/// sender.send(7)?;
/// assert_eq!(waiting.await?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct RecvAsync<'r, T: Message> {
    receiver: &'r mut Receiver<T>,
    registration: Registration,
}

impl<T: Message> Receiver<T> {
    /// [`recv`](Self::recv) as a future, on any executor. Dropped before it has ended, it has received nothing.
    ///
    /// While it waits it uses no processor: one thread of the process, started at the first wait, sleeps for all futures.
    /// What wakes `recv` wakes it; a dead peer is noticed as there.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (sender, mut receiver) = pipe::simplex()?;
    /// std::thread::spawn(move || sender.send(7));
    /// assert_eq!(receiver.recv_async().await?, 7);
    /// assert!(matches!(receiver.recv_async().await, Err(pipe::RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_async(&mut self) -> RecvAsync<'_, T> {
        RecvAsync { receiver: self, registration: Registration::default() }
    }
}

impl<S, R: Message> Connection<S, R> {
    /// [`Receiver::recv_async`].
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (mut here, there) = pipe::duplex::<u64, u64>()?;
    /// std::thread::spawn(move || there.send(7).unwrap());
    /// assert_eq!(here.recv_async().await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_async(&mut self) -> RecvAsync<'_, R> {
        self.receiver_mut().recv_async()
    }
}

impl<S: Message, R> Connection<S, R> {
    /// [`Sender::send_async`].
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (mut here, there) = pipe::duplex::<u64, u64>()?;
    /// here.send_async(7).await?;
    /// assert_eq!(there.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_async(&mut self, value: S) -> SendAsync<'_, S> {
        self.sender_mut().send_async(value)
    }
}

impl<T: Message> Future for RecvAsync<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, registration } = &mut *self;
        let receiver = &**receiver;
        let attempt = || receiver.try_recv().transpose();
        poll(registration, receiver, context, attempt)
            .map(|done| done.unwrap_or_else(|error| Err(error.into())))
    }
}

impl<T: Message> Drop for RecvAsync<'_, T> {
    fn drop(&mut self) {
        self.registration.leave();
        self.receiver.unwatch();
    }
}

impl<T: Message> fmt::Debug for RecvAsync<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvAsync").finish_non_exhaustive()
    }
}

/// A send that is awaited: see [`Sender::send_async`].
///
/// ```
/// use procession_channel::pipe;
///
/// let (mut sender, receiver) = pipe::simplex::<u64>()?;
/// let sending: pipe::SendAsync<'_, u64> = sender.send_async(7);
/// drop(sending);                                        // it was never polled: nothing was sent
/// assert_eq!(receiver.try_recv()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct SendAsync<'s, T: Message> {
    sender: &'s mut Sender<T>,
    registration: Registration,
    value: Option<T>,
    letter: Option<Letter>,
}

/// A value as it is sent.
struct Letter {
    body: Vec<u8>,
    outgoing: Option<Outgoing>,
    progress: Progress,
}

impl<T: Message> Sender<T> {
    /// [`send`](Self::send) as a future, on any executor. Dropped before it has ended, it has sent nothing; the value goes
    /// with it.
    ///
    /// While it waits it uses no processor: one thread of the process, started at the first wait, sleeps for all futures.
    ///
    /// # Panics
    ///
    /// The future does, when it is polled after it has ended.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (mut sender, receiver) = pipe::simplex()?;
    /// sender.send_async("hello".to_owned()).await?;
    /// assert_eq!(receiver.recv()?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_async(&mut self, value: T) -> SendAsync<'_, T> {
        let registration = Registration::default();
        SendAsync { sender: self, registration, value: Some(value), letter: None }
    }
}

/// A future of a value is `Unpin` whatever the value is: it is never pinned.
impl<T: Message> Unpin for SendAsync<'_, T> {}

impl<T: Message> SendAsync<'_, T> {
    fn encode(value: &T) -> Result<Letter, SendErrorKind> {
        let mut body = Vec::new();
        let encoded =
            transfer::send_scope(|| codec::encode_with(value, &mut body, &Limits::DEFAULT));
        let ((), outgoing) = encoded.map_err(|unsent| SendErrorKind::Encode(unsent.error))?;
        let progress = Progress::new(true);
        Ok(Letter { body, outgoing: Some(outgoing), progress })
    }

    fn poll_kind(&mut self, context: &Context<'_>) -> Poll<Result<(), SendErrorKind>> {
        if self.letter.is_none() {
            let value = self.value.as_ref().expect("polled after it has ended");
            match Self::encode(value) {
                Ok(letter) => self.letter = Some(letter),
                Err(kind) => return Poll::Ready(Err(kind)),
            }
        }
        let Self { sender, registration, letter, .. } = self;
        let (sender, letter) = (&**sender, letter.as_mut().expect("encoded above"));
        let attempt = || match letter.advance(sender) {
            Err(SendErrorKind::Full) => None,
            other => Some(other),
        };
        poll(registration, &sender.room(), context, attempt)
            .map(|done| done.unwrap_or_else(|error| Err(error.into())))
    }

    /// What is in the ring of a message that will not be finished is taken back, before its handles are.
    fn give_up(&mut self) {
        if self.letter.is_some() {
            let _moved = self.sender.end.with(|end| end.as_mut().map(Outlet::give_up));
            self.letter = None;
        }
    }
}

impl Letter {
    fn advance<T>(&mut self, sender: &Sender<T>) -> Result<(), SendErrorKind> {
        sender.end.with(|end| {
            let outlet = end.as_mut().ok_or(SendErrorKind::Closed)?;
            let Self { body, outgoing, progress } = self;
            outlet.advance(body, false, outgoing, progress, Patience::None)
        })?
    }
}

impl<T: Message> Future for SendAsync<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = std::task::ready!(self.poll_kind(context));
        match sent {
            Ok(()) => self.letter = None,
            Err(_) => self.give_up(),
        }
        if sent.as_ref().is_err_and(Outlet::is_over) {
            self.sender.close();
        }
        let value = self.value.take().expect("it was there to be encoded");
        Poll::Ready(sent.map_err(|kind| SendError { kind, value }))
    }
}

impl<T: Message> Drop for SendAsync<'_, T> {
    fn drop(&mut self) {
        self.registration.leave();
        self.sender.room().unwatch();
        self.give_up();
    }
}

impl<T: Message> fmt::Debug for SendAsync<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAsync").finish_non_exhaustive()
    }
}
