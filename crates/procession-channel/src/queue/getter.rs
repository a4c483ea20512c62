//! The half of a queue that gets.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use procession_shm::Deadline;
use procession_shm::family::Member;
use procession_shm::sync::atomic::AtomicU32;
use procession_sync::parts::Limit;

use super::body::{Body, Seat};
use super::claim::{self, Claim};
use super::frame::Kind;
use super::gather::Most;
use super::get::{Found, Haul, Rest};
use super::holders::Debt;
use super::many::Many;
use super::vigil::{Attempt, Patience, Vigil};
use super::{JoinError, RecvError, TaskDoneError, claims, parcel};
use crate::Message;

/// A buffer of at most this many bytes is kept for the next item.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// No more bytes than that are got at a time.
const MANY_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// In a box, of which one word is taken and put back: a haul that is stored by words and loaded by several holds up the next get.
    static HAUL: Cell<Option<Box<Haul>>> = const { Cell::new(None) };
}

/// A handle of a queue that gets and does not put: see [`Queue::getter`](super::Queue::getter).
///
/// It ends with [`Disconnected`](RecvError::Disconnected) when all was got and nobody has a [`Putter`](super::Putter) or a whole
/// queue any more. It is a *trusting* handle, as the queue is.
///
/// ```
/// use procession_channel::queue::{Getter, Queue, RecvError};
///
/// let queue = Queue::new()?;
/// let getter: Getter<u64> = queue.getter();
/// queue.put(7)?;
/// drop(queue);                                          // nobody is left who could put
/// assert_eq!(getter.get()?, 7);
/// assert!(matches!(getter.get(), Err(RecvError::Disconnected)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Getter<T> {
    pub(super) seat: Arc<Seat>,
    /// Whether it is part of a whole queue, which has the other half itself.
    pub(super) is_whole: bool,
    _value: PhantomData<fn() -> T>,
}

impl<T> Getter<T> {
    pub(super) fn new(seat: Arc<Seat>, is_whole: bool) -> Self {
        Self { seat, is_whole, _value: PhantomData }
    }

    pub(super) fn half(&self) -> Self {
        Self::new(Arc::clone(&self.seat), false)
    }

    pub(super) fn body(&self) -> &Body {
        &self.seat.body
    }

    /// Counts one item that this process got as done. See [`Queue::task_done`](super::Queue::task_done).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// queue.put(7)?;
    /// getter.get()?;
    /// assert!(!queue.join_timeout(std::time::Duration::ZERO)?);
    /// getter.task_done()?;
    /// queue.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        let left = self.body().task_done(self.seat.me()?).ok_or(TaskDoneError::TooMany)?;
        if left == 0 {
            self.body().control.finished.wake_all();
        }
        Ok(())
    }

    pub(super) fn join_within(&self, patience: Patience) -> Result<bool, JoinError> {
        let (me, body) = (self.seat.me()?, self.body());
        let vigil = Vigil::new(&body.control.finished, &patience);
        let attempt = || match body.rest(me, &patience)? {
            Rest::Nothing => Ok(Some(())),
            Rest::Some => Ok(None),
            Rest::Owed(Debt { pid, items }) => {
                Err(JoinError::OwnerDied { pid: pid.unwrap_or(0), items })
            }
        };
        Ok(vigil.keep(|| false, attempt)?.is_some())
    }

    /// Attempts until there is something to get, or nothing any more; `None` when the time is over.
    #[inline]
    fn await_items<R>(
        &self,
        patience: Patience,
        mut get: impl FnMut(Member) -> Result<Result<R, Found>, RecvError>,
    ) -> Result<Option<R>, RecvError> {
        let (body, streak) = (self.body(), &self.seat.streak);
        let vigil = Vigil {
            turn: &body.control.not_empty,
            patience: &patience,
            travels: self.travels(),
            lets_ahead: streak.is_stream(),
        };
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            Ok::<_, RecvError>(self.attempt(&mut get)?.done())
        };
        let got = vigil.keep(|| body.looks_ready_to_get(), attempt)?;
        streak.note(attempts == 1 && got.is_some());
        Ok(got)
    }

    #[inline]
    fn attempt<R>(
        &self,
        mut get: impl FnMut(Member) -> Result<Result<R, Found>, RecvError>,
    ) -> Result<Attempt<R>, RecvError> {
        let me = self.seat.me()?;
        let mut found = get(me)?;
        let may_be_over = matches!(found, Err(Found::Nothing)) && !self.is_whole;
        if may_be_over && self.seat.is_alone() {
            // What was put before the last of them went is there now.
            found = get(me)?;
            if matches!(found, Err(Found::Nothing)) && !self.has_claims() {
                return Err(RecvError::Disconnected);
            }
        }
        match found {
            Ok(got) => Ok(Attempt::Done(got)),
            Err(Found::TheEnd) => Err(RecvError::Closed),
            Err(Found::Busy) => Ok(Attempt::Busy),
            Err(_) => Ok(Attempt::Nothing),
        }
    }

    /// The word that says whether the other half may be gone without a word: with a message that nobody receives.
    pub(super) fn travels(&self) -> Option<&AtomicU32> {
        (!self.is_whole).then(|| self.seat.travels())
    }

    fn has_claims(&self) -> bool {
        !claims::is_empty(&self.body().control)
    }

    #[inline]
    fn haul(&self, haul: &mut Haul, most: Most, patience: Patience) -> Result<bool, RecvError> {
        let got = self.await_items(patience, |me| self.get_now(me, haul, most, &patience))?;
        Ok(got.is_some())
    }

    #[inline]
    fn get_now(
        &self,
        me: Member,
        haul: &mut Haul,
        most: Most,
        limit: impl Into<Limit>,
    ) -> Result<Result<(), Found>, RecvError> {
        match self.body().get(me, haul, most, self.seat.socket(), limit)? {
            Found::Items => {
                self.body().control.not_full.wake_all_after_rmw();
                Ok(Ok(()))
            }
            other => Ok(Err(other)),
        }
    }
}

impl<T: Message> Getter<T> {
    /// Gets the next item. See [`Queue::get`](super::Queue::get).
    ///
    /// # Errors
    ///
    /// As there, and [`Disconnected`](RecvError::Disconnected).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// queue.put(7)?;
    /// assert_eq!(getter.get()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self) -> Result<T, RecvError> {
        // Without an option around it on the way: each that a long value is moved into is a copy.
        with_haul(|haul| {
            if self.haul(haul, Most::ONE, Patience::ENDLESS)? {
                open(haul)
            } else {
                Err(RecvError::Closed)
            }
        })
    }

    /// Gets the next item if there is one. See [`Queue::try_get`](super::Queue::try_get).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// assert_eq!(getter.try_get()?, None);
    /// queue.put(7)?;
    /// assert_eq!(getter.try_get()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<Option<T>, RecvError> {
        self.get_within(Patience::None)
    }

    /// Gets the next item, waiting no longer than `timeout`. See [`Queue::get_timeout`](super::Queue::get_timeout).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert_eq!(queue.getter().get_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<T>, RecvError> {
        self.get_within(Patience::Until(Deadline::from(timeout.into())))
    }

    /// Gets several items at once. See [`Queue::get_many`](super::Queue::get_many).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), without `Decode`.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put_many(1..=5_u64)?;
    /// let three = queue.getter().get_many(3)?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(three, [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many(&self, max: usize) -> Result<Many<T>, RecvError> {
        self.get_many_within(max, Patience::ENDLESS)?.ok_or(RecvError::Closed)
    }

    /// Gets several items at once if there is one. See [`Queue::try_get_many`](super::Queue::try_get_many).
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(queue.getter().try_get_many(3)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get_many(&self, max: usize) -> Result<Option<Many<T>>, RecvError> {
        self.get_many_within(max, Patience::None)
    }

    /// Gets several items at once, waiting no longer than `timeout` for the first. See
    /// [`Queue::get_many_timeout`](super::Queue::get_many_timeout).
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(queue.getter().get_many_timeout(3, Duration::from_millis(1))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many_timeout(
        &self,
        max: usize,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Many<T>>, RecvError> {
        self.get_many_within(max, Patience::Until(Deadline::from(timeout.into())))
    }

    /// Claims the next item. See [`Queue::claim`](super::Queue::claim).
    ///
    /// # Errors
    ///
    /// As there, and [`Disconnected`](RecvError::Disconnected).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// queue.put(7)?;
    /// drop(getter.claim()?);                                // as if its process had died
    /// assert_eq!(getter.claim()?.done(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim(&self) -> Result<Claim<T>, RecvError> {
        self.claim_within(Patience::ENDLESS)?.ok_or(RecvError::Closed)
    }

    /// Claims the next item if there is one. See [`Queue::try_claim`](super::Queue::try_claim).
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// assert!(getter.try_claim()?.is_none());
    /// queue.put(7)?;
    /// assert_eq!(getter.try_claim()?.unwrap().done(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_claim(&self) -> Result<Option<Claim<T>>, RecvError> {
        self.claim_within(Patience::None)
    }

    /// Claims the next item, waiting no longer than `timeout`. See [`Queue::claim_timeout`](super::Queue::claim_timeout).
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(queue.getter().claim_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Claim<T>>, RecvError> {
        self.claim_within(Patience::Until(Deadline::from(timeout.into())))
    }

    #[inline]
    fn get_within(&self, patience: Patience) -> Result<Option<T>, RecvError> {
        with_haul(|haul| {
            if self.haul(haul, Most::ONE, patience)? { open(haul).map(Some) } else { Ok(None) }
        })
    }

    fn get_many_within(
        &self,
        max: usize,
        patience: Patience,
    ) -> Result<Option<Many<T>>, RecvError> {
        let mut haul = take_haul();
        let got =
            self.haul(&mut haul, Most { items: max.max(1), bytes: MANY_BYTES_MAX }, patience)?;
        Ok(got.then(|| Many::new(haul)))
    }

    /// Gets the next item if it can be done without waiting.
    pub(super) fn attempt_get(&self) -> Result<Attempt<T>, RecvError> {
        let limit = &Patience::None;
        with_haul(|haul| {
            let got = self.attempt(|me| self.get_now(me, haul, Most::ONE, limit))?;
            Ok(match got {
                Attempt::Done(()) => Attempt::Done(open(haul)?),
                Attempt::Nothing => Attempt::Nothing,
                Attempt::Busy => Attempt::Busy,
            })
        })
    }

    fn claim_within(&self, patience: Patience) -> Result<Option<Claim<T>>, RecvError> {
        let mut haul = Haul::default();
        let ticket = self.await_items(patience, |me| {
            self.body().claim(me, &mut haul, self.seat.socket(), &patience)
        })?;
        let Some(ticket) = ticket else { return Ok(None) };
        let Some(item) = haul.items.pop() else { return Ok(None) };
        match parcel::decode(haul.body(item), Kind::Inline, Vec::new()) {
            Ok(value) => Ok(Some(Claim::new(Arc::clone(&self.seat), ticket, value))),
            Err(error) => {
                // Offered again it would be as bad.
                claim::end(&self.seat, ticket, true);
                Err(error)
            }
        }
    }
}

/// Runs `work` with a haul of this thread.
#[inline]
fn with_haul<R>(work: impl FnOnce(&mut Haul) -> R) -> R {
    let mut haul = take_haul();
    let result = work(&mut haul);
    keep_haul(haul);
    result
}

/// The haul that was kept, or a new one.
#[inline]
fn take_haul() -> Box<Haul> {
    HAUL.try_with(Cell::take).ok().flatten().unwrap_or_default()
}

/// Keeps a haul of this thread for the next items, unless it is large.
#[inline]
pub(super) fn keep_haul(mut haul: Box<Haul>) {
    if haul.capacity() <= KEPT_BYTES_MAX {
        haul.clear();
        // At the end of a thread there may be no place for it any more.
        let _gone = HAUL.try_with(|kept| kept.set(Some(haul)));
    }
}

/// The value of the only item that was got.
#[inline]
fn open<T: Message>(haul: &mut Haul) -> Result<T, RecvError> {
    let descriptors = std::mem::take(&mut haul.descriptors);
    let item = haul.items.pop().expect("who says that an item was got has put it there");
    parcel::decode(haul.body(item), item.kind, descriptors)
}

impl<T> Clone for Getter<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.seat), self.is_whole)
    }
}

impl<T> fmt::Debug for Getter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Getter").finish_non_exhaustive()
    }
}
