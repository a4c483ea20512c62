//! The whole queue.

use std::fmt;
use std::time::Duration;

use procession_shm::Deadline;

use super::builder::Builder;
use super::vigil::Patience;
use super::{
    Claim, Getter, JoinError, Many, Putter, QueueError, RecvError, SendError, TaskDoneError,
};
use crate::Message;

/// A queue of values between any number of processes and threads, each of which may put and get.
///
/// Clones are handles of the same queue, and so is what arrives when one is sent to another process. All operations take `&self`.
/// While nobody has to wait, none makes a system call.
///
/// * **Order.** First in, first out, for what each thread puts.
/// * **Death.** A process can be killed at any instruction: what it was putting was put or was not, what it was getting was got
///   or is still there, and nobody waits for it. What it has put stays. What it has got is gone with it, unless it was
///   [claimed](Self::claim).
/// * **The end.** A queue ends by [`close`](Self::close). With [halves](Self::putter) it ends by itself when nobody is left who
///   could put.
/// * **Trust.** This is a *trusting* handle: it is for processes that trust each other.
/// * **Fork.** In a process that a bare `fork` made it is [`NotAMember`](RecvError::NotAMember).
///
/// A queue holds 64 MiB unless told otherwise by [`builder`](Self::builder), and has four file descriptors in each process.
///
/// ```
/// use procession_channel::queue::Queue;
///
/// let queue = Queue::bounded(2)?;
/// queue.put(1_u64)?;
/// queue.put(2)?;
/// assert!(queue.is_full() && queue.try_put(3).is_err());
/// assert_eq!((queue.get()?, queue.get()?), (1, 2));
/// assert_eq!(queue.try_get()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Queue<T> {
    pub(super) putter: Putter<T>,
    pub(super) getter: Getter<T>,
}

impl<T> Queue<T> {
    /// Makes a queue that holds 64 MiB of items.
    ///
    /// # Errors
    ///
    /// [`QueueError`]: no memory or no file descriptor left, or not allowed.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::new()?;
    /// queue.put(("Ada".to_owned(), 36))?;
    /// assert_eq!(queue.get()?, ("Ada".to_owned(), 36));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Result<Self, QueueError> {
        Self::builder().build()
    }

    /// Makes a queue that holds so many items, and at most 64 MiB of them.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`QueueError::Option`] for no items.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.put(1)?;
    /// assert!(queue.try_put(2).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bounded(items: usize) -> Result<Self, QueueError> {
        Self::builder().items(items).build()
    }

    /// A queue with other limits.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::<String>::builder().capacity(1 << 20).max_message(4096).build()?;
    /// assert!(queue.put("x".repeat(300_000)).is_err());
    /// # Ok::<(), procession_channel::queue::QueueError>(())
    /// ```
    pub fn builder() -> Builder<T> {
        Builder::new()
    }

    /// The half that puts. A [`getter`](Self::getter) ends when all of these and all whole queues are gone.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, RecvError};
    ///
    /// let queue = Queue::new()?;
    /// let (putter, getter) = (queue.putter(), queue.getter());
    /// drop(queue);
    /// putter.put(1_u64)?;
    /// drop(putter);
    /// assert_eq!(getter.get()?, 1);
    /// assert!(matches!(getter.get(), Err(RecvError::Disconnected)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn putter(&self) -> Putter<T> {
        self.putter.half()
    }

    /// The half that gets, which ends by itself: see [`putter`](Self::putter).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let getter = queue.getter();
    /// queue.put(7)?;
    /// drop(queue);
    /// assert_eq!(getter.into_iter().sum::<Result<u64, _>>()?, 7); // it ends by itself
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn getter(&self) -> Getter<T> {
        self.getter.half()
    }

    /// How many items were put and not got, those that are claimed and not done counted in. It is exact at one moment of the call.
    ///
    /// In a process that does not belong to the family it is 0. It blocks while another process is in the middle of a get.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put_many([1, 2])?;
    /// assert_eq!(queue.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        let Ok(me) = self.getter.seat.me() else { return 0 };
        let seen = self.getter.body().len(me, &Patience::ENDLESS);
        seen.ok().flatten().map_or(0, |items| items as usize)
    }

    /// Whether there is no item: [`len`](Self::len) is 0.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// assert!(queue.is_empty());
    /// queue.put(1)?;
    /// assert!(!queue.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`try_put`](Self::try_put) of a small value would find no room. One with handles may find none also in a queue that is
    /// not full: about 64 of them can be under way.
    ///
    /// It blocks while another process is in the middle of a put, or of a get if the memory of the queue has to grow.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::bounded(1)?;
    /// assert!(!queue.is_full());
    /// queue.put(1)?;
    /// assert!(queue.is_full());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_full(&self) -> bool {
        let seat = &self.putter.seat;
        seat.me().is_ok_and(|me| !seat.body.has_room(me, &Patience::ENDLESS))
    }

    /// How many items the queue holds, if items are counted. Its bytes are limited in any case.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// assert_eq!(Queue::<u64>::bounded(3)?.capacity(), Some(3));
    /// assert_eq!(Queue::<u64>::new()?.capacity(), None);
    /// # Ok::<(), procession_channel::queue::QueueError>(())
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        let items = self.putter.seat.body.settings.items_max;
        (items != u32::MAX).then_some(items as usize)
    }

    /// How many bytes the queue holds.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// assert_eq!(Queue::<u64>::new()?.capacity_bytes(), 64 << 20);
    /// # Ok::<(), procession_channel::queue::QueueError>(())
    /// ```
    pub fn capacity_bytes(&self) -> usize {
        usize::try_from(self.putter.seat.body.settings.capacity).unwrap_or(usize::MAX)
    }

    /// Closes the queue for all: nothing can be put any more. What was put can still be got, then getting is
    /// [`Closed`](RecvError::Closed). It wakes all who wait. Closing again does nothing; nor does it in a process that does not
    /// belong to the family.
    ///
    /// It blocks while another process is in the middle of a put.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put_many([1, 2])?;
    /// queue.close();
    /// assert!(queue.put(3).is_err());
    /// assert_eq!(queue.into_iter().sum::<Result<u64, _>>()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        let Ok(me) = self.putter.seat.me() else { return };
        let body = &self.putter.seat.body;
        body.close(me);
        body.control.not_empty.wake_all();
        body.control.not_full.wake_all();
    }

    /// Whether the queue was closed.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(!queue.is_closed());
    /// queue.close();
    /// assert!(queue.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.putter.seat.is_here() && self.putter.seat.body.is_closed()
    }

    /// Counts one item that this process got as done, for [`join`](Self::join). To be called once for each item; an item that was
    /// [claimed](Self::claim) is counted by [`Claim::done`]. It blocks while another process is in the middle of a get.
    ///
    /// # Errors
    ///
    /// [`TooMany`](TaskDoneError::TooMany) when it was called more often than this process got items,
    /// [`NotAMember`](TaskDoneError::NotAMember).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put(7)?;
    /// queue.get()?;
    /// queue.task_done()?;
    /// queue.join()?;                                        // all is done
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.getter.task_done()
    }

    /// Waits until all items that were put are done: got, and counted by [`task_done`](Self::task_done). The last of these wakes it,
    /// and the death of a process that had got some.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](JoinError::OwnerDied) when a process has died that had got items and not counted them as done. This is told
    /// once, to one who joins; they do not count any more, and the next `join` waits for the rest.
    /// [`NotAMember`](JoinError::NotAMember), [`Corrupt`](JoinError::Corrupt).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put_many([1, 2])?;
    /// let worker = queue.clone();
    /// std::thread::spawn(move || {
    ///     while worker.get().is_ok() {
    ///         worker.task_done().unwrap();
    ///     }
    /// });
    /// queue.join()?;
    /// assert!(queue.is_empty());
    /// # queue.close();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self) -> Result<(), JoinError> {
        while !self.getter.join_within(Patience::ENDLESS)? {}
        Ok(())
    }

    /// [`join`](Self::join), waiting no longer than `timeout`: whether all is done.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put(7)?;
    /// assert!(!queue.join_timeout(Duration::from_millis(1))?);
    /// queue.claim()?.done();
    /// assert!(queue.join_timeout(Duration::from_millis(1))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_timeout(&self, timeout: impl Into<Option<Duration>>) -> Result<bool, JoinError> {
        self.getter.join_within(Patience::Until(Deadline::from(timeout.into())))
    }
}

impl<T: Message> Queue<T> {
    /// Puts a value. Blocks while there is no room for it; whoever gets wakes it, and so does a close.
    ///
    /// When it returns `Ok`, the value is in the queue, and stays there also if this process dies at once.
    ///
    /// # Errors
    ///
    /// The value comes back, its handles usable as before; nothing of it was put.
    ///
    /// * [`Closed`](super::SendErrorKind::Closed): the queue was closed, or a [`Putter`] has found no room and nobody who gets.
    /// * [`Encode`](super::SendErrorKind::Encode): the value cannot be encoded; also a handle in it that is not here any more.
    /// * [`TooLarge`](super::SendErrorKind::TooLarge), [`TooManyDescriptors`](super::SendErrorKind::TooManyDescriptors): the value.
    /// * [`TooManyInFlight`](super::SendErrorKind::TooManyInFlight): too many descriptors are under way, of this process (a
    ///   quarter of `RLIMIT_NOFILE`) or of its user. This is not waited for: try again later.
    /// * [`NotAMember`](super::SendErrorKind::NotAMember), [`Corrupt`](super::SendErrorKind::Corrupt).
    /// * [`Io`](super::SendErrorKind::Io): no memory left for the value, or another system call failed.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::new()?;
    /// queue.put(7)?;
    /// assert_eq!(queue.get()?, 7);
    /// queue.close();
    /// let error = queue.put(8).unwrap_err();
    /// assert!(matches!(error.kind, SendErrorKind::Closed) && error.value == 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put(&self, value: T) -> Result<(), SendError<T>> {
        self.putter.put(value)
    }

    /// [`put`](Self::put) if there is room now. It does not wait for room, and no longer than some 20 ms for another process that is
    /// in the middle of a put of its own.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`Full`](super::SendErrorKind::Full); a queue is full, too, for values with handles when about
    /// 64 of them are in it.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.try_put(7)?;
    /// assert!(matches!(queue.try_put(8).unwrap_err().kind, SendErrorKind::Full));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_put(&self, value: T) -> Result<(), SendError<T>> {
        self.putter.try_put(value)
    }

    /// [`put`](Self::put), waiting no longer than `timeout`; `None` never ends.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and [`TimedOut`](super::SendErrorKind::TimedOut).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.put(7)?;
    /// let late = queue.put_timeout(8, Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(late.kind, SendErrorKind::TimedOut));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_timeout(
        &self,
        value: T,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<T>> {
        self.putter.put_timeout(value, timeout)
    }

    /// Puts many values, in their order, several at a time: much faster than one after the other. Others may put between them.
    /// Blocks as [`put`](Self::put) does.
    ///
    /// The values are collected before the first is put, so they must have an end and fit into memory. An endless input is put
    /// one after the other, or in batches.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). All values that were not put come back; what was put before stays.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put_many(0..1000_u64)?;
    /// assert_eq!(queue.len(), 1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many(&self, values: impl IntoIterator<Item = T>) -> Result<(), SendError<Vec<T>>> {
        self.putter.put_many(values)
    }

    /// Puts those of many values for which there is room now, from the first on. It does not wait for room, and each time no longer
    /// than some 20 ms for another process that is in the middle of a put of its own.
    ///
    /// # Errors
    ///
    /// As [`try_put`](Self::try_put). All values that were not put come back; what was put before stays.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::bounded(2)?;
    /// let full = queue.try_put_many([1, 2, 3]).unwrap_err();
    /// assert!(matches!(full.kind, SendErrorKind::Full));
    /// assert_eq!(full.value, [3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_put_many(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), SendError<Vec<T>>> {
        self.putter.try_put_many(values)
    }

    /// [`put_many`](Self::put_many), waiting no longer than `timeout` in all (`None`: for ever). The values are collected before
    /// the time begins.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout). All values that were not put come back; what was put before stays.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::bounded(2)?;
    /// let late = queue.put_many_timeout([1, 2, 3], Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(late.kind, SendErrorKind::TimedOut));
    /// assert_eq!(late.value, [3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many_timeout(
        &self,
        values: impl IntoIterator<Item = T>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<Vec<T>>> {
        self.putter.put_many_timeout(values, timeout)
    }

    /// Gets the next item. Blocks until there is one; whoever puts wakes it, and so does a close.
    ///
    /// # Errors
    ///
    /// * [`Closed`](RecvError::Closed): the queue was closed, and all that was put was got. Claims are waited for.
    /// * [`Decode`](RecvError::Decode): the item is no value of this type. It is gone, the next one can be got; for
    ///   [`join`](Self::join) it was got, and is to be counted as [done](Self::task_done).
    /// * [`NotAMember`](RecvError::NotAMember), [`Corrupt`](RecvError::Corrupt).
    /// * [`Io`](RecvError::Io): a system call failed; without a file descriptor for a handle in the item, it is still there.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// let producer = queue.clone();
    /// std::thread::spawn(move || producer.put(7));
    /// assert_eq!(queue.get()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self) -> Result<T, RecvError> {
        self.getter.get()
    }

    /// [`get`](Self::get) if there is an item; `None` when there is none yet. It does not wait for an item, and no longer than some
    /// 20 ms for another process that is in the middle of a get of its own.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// assert_eq!(queue.try_get()?, None);
    /// queue.put(7)?;
    /// assert_eq!(queue.try_get()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<Option<T>, RecvError> {
        self.getter.try_get()
    }

    /// [`get`](Self::get), waiting no longer than `timeout` (`None`: for ever); `None` when the time is over.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert_eq!(queue.get_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<T>, RecvError> {
        self.getter.get_timeout(timeout)
    }

    /// Gets at least one item and at most `max` that are there already (and no more than 1 MiB in all): much faster than one after
    /// the other. A `max` of 0 is as good as 1. One that is offered again after a [`claim`](Self::claim), or has handles in it, comes
    /// alone. Blocks as [`get`](Self::get) does.
    ///
    /// All of them are got when it returns. Each is decoded when the iterator comes to it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); an item that cannot be decoded is an error of the iterator.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::new()?;
    /// queue.put_many(1..=5_u64)?;
    /// let three = queue.get_many(3)?.collect::<Result<Vec<u64>, _>>()?;
    /// assert_eq!(three, [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many(&self, max: usize) -> Result<Many<T>, RecvError> {
        self.getter.get_many(max)
    }

    /// [`get_many`](Self::get_many) if there is an item; `None` when there is none yet. It waits as [`try_get`](Self::try_get) does.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many).
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::new()?;
    /// assert!(queue.try_get_many(8)?.is_none());
    /// queue.put_many([1, 2])?;
    /// let both = queue.try_get_many(8)?.into_iter().flatten().collect::<Result<Vec<u64>, _>>()?;
    /// assert_eq!(both, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get_many(&self, max: usize) -> Result<Option<Many<T>>, RecvError> {
        self.getter.try_get_many(max)
    }

    /// [`get_many`](Self::get_many), waiting no longer than `timeout` for the first item (`None`: for ever); `None` when the time is
    /// over.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(queue.get_many_timeout(8, Duration::from_millis(1))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many_timeout(
        &self,
        max: usize,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Many<T>>, RecvError> {
        self.getter.get_many_timeout(max, timeout)
    }

    /// Claims the next item: nobody else gets it, and it is gone for good when it is [`done`](Claim::done). If the claim is
    /// dropped before that, or this process dies, the item is offered again, before all others. Blocks as [`get`](Self::get) does.
    ///
    /// While an item is claimed, the memory of the queue behind it is not used again. So a claim that is held for long fills the
    /// queue. Who waits for the end of a closed queue waits for claims, too, its own counted in.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`NotClaimable`](RecvError::NotClaimable) for an item with handles in it, or one of more than a
    /// quarter of the capacity; [`TooManyClaims`](RecvError::TooManyClaims) when 64 items are claimed.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::new()?;
    /// queue.put("work".to_owned())?;
    /// drop(queue.claim()?); // as if its process had died
    /// let claim = queue.claim()?;
    /// assert_eq!(*claim, "work");
    /// claim.done();
    /// assert!(queue.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim(&self) -> Result<Claim<T>, RecvError> {
        self.getter.claim()
    }

    /// [`claim`](Self::claim) if there is an item; `None` when there is none yet. It waits as little as
    /// [`try_get`](Self::try_get).
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// assert!(queue.try_claim()?.is_none());
    /// queue.put(7)?;
    /// assert_eq!(queue.try_claim()?.unwrap().done(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_claim(&self) -> Result<Option<Claim<T>>, RecvError> {
        self.getter.try_claim()
    }

    /// [`claim`](Self::claim), waiting no longer than `timeout`; `None` when the time is over.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let queue = procession_channel::queue::Queue::<u64>::new()?;
    /// assert!(queue.claim_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Claim<T>>, RecvError> {
        self.getter.claim_timeout(timeout)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { putter: self.putter.clone(), getter: self.getter.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
