//! Gets and puts as futures, for any executor.
//!
//! A future attempts; if there is nothing to get or no room, it announces itself on the queue's turn as a blocking call does,
//! leaves its words with the process's [reactor](procession_shm::Registration), attempts once more, and is pending. Any number
//! of futures may wait on one handle. One that is dropped after it was woken passes the wake-up on, if there is still something
//! to get, to whoever else waits, in this process or in another.
//!
//! Two things happen of which nobody tells, so that a future looks again after a while: that the other half of a queue goes with
//! a message that nobody receives, and that somebody who was stopped in the middle of an operation goes on.

#[cfg(feature = "stream")]
mod stream;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use procession_shm::family::{self, FamilyError};
use procession_shm::sync::atomic::AtomicU32;
use procession_shm::transfer::Outgoing;
use procession_shm::{Deadline, Registration, Waitable};

use super::put::Growth;
use super::vigil::{Attempt, Patience, SLICE, slice};
use super::{Getter, Putter, Queue, RecvError, SendError, SendErrorKind, parcel};
use crate::Message;

#[cfg(feature = "stream")]
pub use stream::ItemStream;

/// A future's place among those who wait for a queue.
#[derive(Default)]
struct Place {
    registration: Registration,
    is_announced: bool,
}

impl Place {
    /// Turns `attempt`, which does not wait, into a poll.
    fn poll<T, E: From<io::Error> + From<FamilyError>>(
        &mut self,
        half: &dyn Waitable,
        travels: Option<&AtomicU32>,
        context: &Context<'_>,
        mut attempt: impl FnMut() -> Result<Attempt<T>, E>,
    ) -> Poll<Result<T, E>> {
        self.registration.leave();
        let polled = self.poll_on(half, travels, context, &mut attempt);
        match polled {
            Poll::Ready(Ok(_)) => {
                self.registration.leave();
                self.is_announced = false;
            }
            Poll::Ready(Err(_)) => self.withdraw(half),
            Poll::Pending => {}
        }
        polled
    }

    fn poll_on<T, E: From<io::Error> + From<FamilyError>>(
        &mut self,
        half: &dyn Waitable,
        travels: Option<&AtomicU32>,
        context: &Context<'_>,
        attempt: &mut impl FnMut() -> Result<Attempt<T>, E>,
    ) -> Poll<Result<T, E>> {
        if let Attempt::Done(value) = attempt()? {
            return Poll::Ready(Ok(value));
        }
        if self.is_announced {
            family::check_root()?;
        }
        let mut watches = Vec::new();
        self.is_announced = true;
        half.watch(&mut watches);
        let found = attempt()?;
        let soon = if matches!(found, Attempt::Busy) {
            Some(Deadline::after(SLICE))
        } else {
            slice(travels)
        };
        let checkup = soon.unwrap_or(Deadline::NEVER);
        match found {
            Attempt::Done(value) => Poll::Ready(Ok(value)),
            // What has come since the announcement has changed a word, which the reactor sees.
            Attempt::Nothing | Attempt::Busy => {
                self.registration.enter_until(&watches, context.waker(), &checkup)?;
                Poll::Pending
            }
        }
    }

    /// Waits no more. A wake-up that it was given is passed on.
    fn withdraw(&mut self, half: &dyn Waitable) {
        self.registration.leave();
        if std::mem::take(&mut self.is_announced) {
            half.unwatch();
        }
    }
}

/// A get that is awaited: see [`Queue::get_async`].
///
/// ```
/// use procession_channel::queue::{GetAsync, Queue};
///
/// # backstage::executor::block_on(async {
/// let queue = Queue::new()?;
/// let waiting: GetAsync<'_, u64> = queue.get_async();
/// queue.put(7)?;
/// assert_eq!(waiting.await?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct GetAsync<'q, T> {
    getter: &'q Getter<T>,
    place: Place,
}

impl<T> Getter<T> {
    /// [`get`](Self::get) as a future. See [`Queue::get_async`].
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// # backstage::executor::block_on(async {
    /// let queue = Queue::new()?;
    /// let (putter, getter) = (queue.putter(), queue.getter());
    /// std::thread::spawn(move || putter.put(7));
    /// assert_eq!(getter.get_async().await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_async(&self) -> GetAsync<'_, T> {
        GetAsync { getter: self, place: Place::default() }
    }
}

impl<T> Queue<T> {
    /// [`get`](Self::get) as a future, on any executor. Dropped before it has ended, it has got nothing.
    ///
    /// Any number of them may be awaited at once. While they wait they use no processor: one thread of the process, started at
    /// the first wait, sleeps for all futures. What wakes `get` wakes them. A poll takes no longer than
    /// [`try_get`](Self::try_get).
    ///
    /// A future that was woken and is neither polled nor dropped may keep an item waiting that somebody else would get.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, RecvError};
    ///
    /// async fn sum(queue: Queue<u64>) -> Result<u64, RecvError> {
    ///     Ok(queue.get_async().await? + queue.get_async().await?)
    /// }
    /// ```
    pub fn get_async(&self) -> GetAsync<'_, T> {
        self.getter.get_async()
    }
}

impl<T: Message> Queue<T> {
    /// [`put`](Self::put) as a future, on any executor. Dropped before it has ended, it has put nothing; the value goes with it.
    ///
    /// It waits as [`get_async`](Self::get_async) does.
    ///
    /// # Panics
    ///
    /// The future does, when it is polled after it has ended.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// # backstage::executor::block_on(async {
    /// let queue = Queue::bounded(1)?;
    /// queue.put_async(7).await?;
    /// assert_eq!(queue.get()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_async(&self, value: T) -> PutAsync<'_, T> {
        self.putter.put_async(value)
    }
}

impl<T: Message> Future for GetAsync<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { getter, place } = &mut *self;
        let attempt = || getter.attempt_get();
        place.poll(*getter, getter.travels(), context, attempt)
    }
}

impl<T> Drop for GetAsync<'_, T> {
    fn drop(&mut self) {
        self.place.withdraw(self.getter);
    }
}

impl<T> fmt::Debug for GetAsync<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetAsync").finish_non_exhaustive()
    }
}

/// A put that is awaited: see [`Queue::put_async`].
///
/// ```
/// use procession_channel::queue::{PutAsync, Queue};
///
/// let queue = Queue::new()?;
/// let putting: PutAsync<'_, u64> = queue.put_async(7);
/// drop(putting);                                        // it was never polled: nothing was put
/// assert!(queue.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct PutAsync<'q, T> {
    putter: &'q Putter<T>,
    place: Place,
    value: Option<T>,
    frame: Option<Frame>,
}

/// A value as it is put.
struct Frame {
    bytes: Vec<u8>,
    handles: Vec<Outgoing>,
}

impl<T: Message> Putter<T> {
    /// [`put`](Self::put) as a future. See [`Queue::put_async`](super::Queue::put_async).
    ///
    /// # Panics
    ///
    /// The future does, when it is polled after it has ended.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// # backstage::executor::block_on(async {
    /// let queue = Queue::new()?;
    /// queue.putter().put_async(7).await?;
    /// assert_eq!(queue.get()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_async(&self, value: T) -> PutAsync<'_, T> {
        PutAsync { putter: self, place: Place::default(), value: Some(value), frame: None }
    }

    fn frame(&self, value: &T) -> Result<Frame, SendErrorKind> {
        let mut bytes = Vec::new();
        let handles = parcel::encode(value, &mut bytes, &self.seat.body.settings)?;
        Ok(Frame { bytes, handles })
    }
}

/// A future of a value is `Unpin` whatever the value is: it is never pinned.
impl<T> Unpin for PutAsync<'_, T> {}

impl<T: Message> PutAsync<'_, T> {
    fn poll_kind(&mut self, context: &Context<'_>) -> Poll<Result<(), SendErrorKind>> {
        let Self { putter, place, value, frame } = self;
        if frame.is_none() {
            let value = value.as_ref().expect("polled after it has ended");
            *frame = Some(putter.frame(value)?);
        }
        let Frame { bytes, handles } = frame.as_mut().expect("encoded above");
        let (ends, limit) = ([bytes.len()], &Patience::None);
        let attempt = || putter.attempt(bytes, &ends, handles, limit, Growth::Now);
        place.poll(*putter, putter.travels(), context, attempt).map_ok(drop)
    }
}

impl<T: Message> Future for PutAsync<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let put = ready!(self.poll_kind(context));
        // The handles of a value that comes back are usable again by then.
        self.frame = None;
        let value = self.value.take().expect("it was there to be encoded");
        Poll::Ready(put.map_err(|kind| SendError { kind, value }))
    }
}

impl<T> Drop for PutAsync<'_, T> {
    fn drop(&mut self) {
        self.place.withdraw(self.putter);
    }
}

impl<T> fmt::Debug for PutAsync<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutAsync").finish_non_exhaustive()
    }
}
