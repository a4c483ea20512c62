//! The half of a queue that puts.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use procession_shm::Deadline;
use procession_shm::family::Member;
use procession_shm::sync::atomic::AtomicU32;
use procession_shm::sync::atomic::Ordering::Relaxed;
use procession_shm::transfer::Outgoing;
use procession_sync::parts::Limit;

use super::body::Seat;
use super::parcel;
use super::put::{Growth, Load};
use super::vigil::{Attempt, Patience, Vigil};
use super::{SendError, SendErrorKind};
use crate::Message;
use crate::budget::Charge;

/// A buffer of at most this many bytes is kept for the next value.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// So many bytes of frames are gathered before they are put.
const GATHERED_BYTES: usize = 64 << 10;

/// Frames that are about to be put.
#[derive(Default)]
struct Draft {
    bytes: Vec<u8>,
    /// Where each of several frames ends.
    ends: Vec<usize>,
}

thread_local! {
    /// In a box, of which one word is taken and put back: what is stored by words and loaded by several holds up the next put.
    static DRAFT: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
}

/// A handle of a queue that puts and does not get: see [`Queue::putter`](super::Queue::putter).
///
/// When the last one is gone, whole queues counted in, in all processes and messages, a [`Getter`](super::Getter) that has got
/// all that was put is [`Disconnected`](super::RecvError::Disconnected). It is a *trusting* handle, as the queue is.
///
/// ```
/// use procession_channel::queue::{Putter, Queue};
///
/// let queue = Queue::new()?;
/// let (putter, getter): (Putter<u64>, _) = (queue.putter(), queue.getter());
/// drop(queue);
/// putter.put_many([1, 2])?;
/// drop(putter);                                         // so that the getter comes to its end
/// assert_eq!(getter.into_iter().sum::<Result<u64, _>>()?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Putter<T> {
    pub(super) seat: Arc<Seat>,
    /// Whether it is part of a whole queue, which has the other half itself.
    pub(super) is_whole: bool,
    _value: PhantomData<fn(T)>,
}

impl<T> Putter<T> {
    pub(super) fn new(seat: Arc<Seat>, is_whole: bool) -> Self {
        Self { seat, is_whole, _value: PhantomData }
    }

    pub(super) fn half(&self) -> Self {
        Self::new(Arc::clone(&self.seat), false)
    }
}

impl<T: Message> Putter<T> {
    /// Puts a value. See [`Queue::put`](super::Queue::put).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let putter = queue.putter();
    /// putter.put(7)?;
    /// assert_eq!(queue.get()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put(&self, value: T) -> Result<(), SendError<T>> {
        self.put_within(value, Patience::ENDLESS)
    }

    /// Puts a value if there is room now. See [`Queue::try_put`](super::Queue::try_put).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::bounded(1)?;
    /// let putter = queue.putter();
    /// putter.try_put(7)?;
    /// assert_eq!(putter.try_put(8).unwrap_err().value, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_put(&self, value: T) -> Result<(), SendError<T>> {
        self.put_within(value, Patience::None)
    }

    /// Puts a value, waiting no longer than `timeout`. See [`Queue::put_timeout`](super::Queue::put_timeout).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::bounded(1)?;
    /// let putter = queue.putter();
    /// putter.put(7)?;
    /// assert!(putter.put_timeout(8, Duration::from_millis(1)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_timeout(
        &self,
        value: T,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<T>> {
        self.put_within(value, Patience::Until(Deadline::from(timeout.into())))
    }

    /// Puts many values. See [`Queue::put_many`](super::Queue::put_many).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.putter().put_many([1, 2])?;
    /// assert_eq!(queue.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many(&self, values: impl IntoIterator<Item = T>) -> Result<(), SendError<Vec<T>>> {
        self.put_many_within(values.into_iter().collect(), Patience::ENDLESS)
    }

    /// Puts those of many values for which there is room now. See [`Queue::try_put_many`](super::Queue::try_put_many).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::bounded(1)?;
    /// assert_eq!(queue.putter().try_put_many([1, 2]).unwrap_err().value, [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_put_many(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), SendError<Vec<T>>> {
        self.put_many_within(values.into_iter().collect(), Patience::None)
    }

    /// Puts many values, waiting no longer than `timeout` in all. See
    /// [`Queue::put_many_timeout`](super::Queue::put_many_timeout).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::bounded(1)?;
    /// let late = queue.putter().put_many_timeout([1, 2], Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err().value, [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many_timeout(
        &self,
        values: impl IntoIterator<Item = T>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<Vec<T>>> {
        let values = values.into_iter().collect();
        self.put_many_within(values, Patience::Until(Deadline::from(timeout.into())))
    }

    fn put_many_within(
        &self,
        mut values: Vec<T>,
        patience: Patience,
    ) -> Result<(), SendError<Vec<T>>> {
        let mut count = 0;
        let result = with_draft(|draft| {
            while count < values.len() {
                self.put_next(&values, &mut count, draft, patience)?;
            }
            Ok(())
        });
        result.map_err(|kind| SendError { kind, value: values.split_off(count) })
    }

    /// Puts the values from `count` on that go together, and counts those that were put, also in an error.
    fn put_next(
        &self,
        values: &[T],
        count: &mut usize,
        draft: &mut Draft,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        let settings = &self.seat.body.settings;
        let Draft { bytes: buffer, ends } = draft;
        buffer.clear();
        ends.clear();
        for value in &values[*count..] {
            let start = buffer.len();
            match parcel::encode(value, buffer, settings) {
                Ok(handles) if handles.is_empty() => ends.push(buffer.len()),
                // It goes by itself, or fails by itself, after those before it.
                _ if !ends.is_empty() => {
                    buffer.truncate(start);
                    break;
                }
                Ok(mut handles) => {
                    let len = buffer.len();
                    self.put_frames(buffer, &[len], &mut handles, patience)?;
                    *count += 1;
                    return Ok(());
                }
                Err(kind) => return Err(kind),
            }
            if buffer.len() >= GATHERED_BYTES {
                break;
            }
        }
        self.put_run(buffer, ends, count, patience)
    }

    /// Puts frames without handles, as many at a time as there is room for.
    fn put_run(
        &self,
        mut bytes: &mut [u8],
        ends: &mut Vec<usize>,
        count: &mut usize,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        while !ends.is_empty() {
            let done = self.put_frames(bytes, ends, &mut Vec::new(), patience)?;
            *count += done;
            let len = ends[done - 1];
            bytes = &mut bytes[len..];
            ends.drain(..done);
            ends.iter_mut().for_each(|end| *end -= len);
        }
        Ok(())
    }

    #[inline]
    fn put_within(&self, value: T, patience: Patience) -> Result<(), SendError<T>> {
        let result = with_draft(|Draft { bytes: buffer, .. }| {
            buffer.clear();
            let mut handles = parcel::encode(&value, buffer, &self.seat.body.settings)?;
            let len = buffer.len();
            self.put_frames(buffer, &[len], &mut handles, patience).map(drop)
        });
        result.map_err(|kind| SendError { kind, value })
    }

    /// Puts at least one of the frames, and says how many.
    #[inline]
    fn put_frames(
        &self,
        bytes: &mut [u8],
        ends: &[usize],
        handles: &mut Vec<Outgoing>,
        patience: Patience,
    ) -> Result<usize, SendErrorKind> {
        let body = &*self.seat.body;
        let on_room = Vigil::new(&body.control.not_full, &patience);
        // Where there is no room, those who get have much to do.
        let vigil = Vigil { travels: self.travels(), lets_ahead: true, ..on_room };
        // The first attempt only takes the room that there is, if more can follow.
        let mut growth = if patience.is_none() { Growth::Now } else { Growth::Later };
        let attempt = || {
            let growth = std::mem::replace(&mut growth, Growth::Now);
            Ok::<_, SendErrorKind>(self.attempt(bytes, ends, handles, &patience, growth)?.done())
        };
        let done = vigil.keep(|| body.looks_roomy(), attempt)?;
        done.ok_or_else(|| patience.expired())
    }

    /// Puts at least one of the frames if it can be done within `limit`, and says how many.
    #[inline]
    pub(super) fn attempt(
        &self,
        bytes: &mut [u8],
        ends: &[usize],
        handles: &mut Vec<Outgoing>,
        limit: impl Into<Limit> + Copy,
        growth: Growth,
    ) -> Result<Attempt<usize>, SendErrorKind> {
        let (me, body) = (self.seat.me()?, &*self.seat.body);
        let descriptors = handles.iter().map(|outgoing| outgoing.descriptors().len()).sum();
        let charge = if descriptors > 0 { Some(self.charge(descriptors)?) } else { None };
        let load = Load { bytes, ends, handles, socket: self.seat.socket(), growth };
        let Some(count) = body.put(me, load, limit)? else { return Ok(Attempt::Busy) };
        if let Some(charge) = charge.filter(|_| count > 0) {
            // Others may have put behind it by now; it is delivered when they are, at the latest.
            charge.sent(body.control.put.tail.load(Relaxed));
        }
        match count {
            0 if growth == Growth::Later => return Ok(Attempt::Nothing),
            0 => return self.nothing(me),
            1 => body.control.not_empty.wake_one_after_rmw(),
            _ => body.control.not_empty.wake_all_after_rmw(),
        }
        Ok(Attempt::Done(count))
    }

    /// Counts descriptors among those that this process has under way.
    #[cold]
    fn charge(&self, count: usize) -> Result<Charge, SendErrorKind> {
        self.seat.charge(count)?.ok_or(SendErrorKind::TooManyInFlight)
    }

    /// What to make of it that there is no room.
    #[cold]
    fn nothing(&self, me: Member) -> Result<Attempt<usize>, SendErrorKind> {
        self.seat.body.refresh(me)?;
        if !self.is_whole && self.seat.is_alone() {
            return Err(SendErrorKind::Closed);
        }
        Ok(Attempt::Nothing)
    }
}

impl<T> Putter<T> {
    /// The word that says whether the other half may be gone without a word: with a message that nobody receives.
    pub(super) fn travels(&self) -> Option<&AtomicU32> {
        (!self.is_whole).then(|| self.seat.travels())
    }
}

/// Runs `work` with a draft of this thread. A value that puts another one while it is encoded finds a new one.
#[inline]
fn with_draft<R>(work: impl FnOnce(&mut Draft) -> R) -> R {
    let mut draft = DRAFT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = work(&mut draft);
    if draft.bytes.capacity() <= KEPT_BYTES_MAX {
        // At the end of a thread there may be no place for it any more.
        let _gone = DRAFT.try_with(|kept| kept.set(Some(draft)));
    }
    result
}

impl<T> Clone for Putter<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.seat), self.is_whole)
    }
}

impl<T> fmt::Debug for Putter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Putter").finish_non_exhaustive()
    }
}
