//! Submitted tasks: results that will be there later, alone ([`Task`]) and many at once ([`wait()`], [`as_completed`]).

mod callback;
mod group;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procession_channel::Message;
use procession_channel::codec::{Limits, decode};
use procession_shm::Deadline;
use procession_shm::transfer::Trust;

pub use group::{AsCompleted, Until, as_completed, wait};

use crate::core::chunk::{CallId, Delivery};
use crate::core::{Core, State};
use crate::error::TaskError;

/// Makes a task's result from what arrived, in the order of the items, from workers that are trusted so far.
pub(crate) type Assemble<R> = fn(Vec<Delivery>, Trust) -> Result<R, TaskError>;

/// A task that was handed to a pool with [`submit`](crate::Pool::submit) or [`map_async`](crate::Pool::map_async): a result
/// that will be there later.
///
/// It can be waited for with [`get`](Self::get), looked at with [`try_get`](Self::try_get), or awaited: it is a [`Future`] that
/// works on any executor. It does not borrow the pool. Dropping it lets the task go on and discards its result; to stop the
/// task instead, use [`cancel`](Self::cancel) or [`cancel_on_drop`](Self::cancel_on_drop).
///
/// ```
/// use std::time::Duration;
/// use procession_pool::Pool;
///
/// let pool = Pool::with_workers(1)?;
/// let mut task = pool.submit(|n: u64| n * n, 7)?;
/// let square = loop {
///     match task.get_timeout(Duration::from_millis(100))? {
///         Some(square) => break square,
///         None => println!("not yet"),
///     }
/// };
/// assert_eq!(square, 49);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a task discards its result; call `get` or await it"]
pub struct Task<R> {
    canceller: Canceller,
    /// How many items it has.
    items: usize,
    arrived: Vec<Delivery>,
    arrived_items: usize,
    /// One of its items has failed for good.
    has_failed: bool,
    assemble: Assemble<R>,
    cancels_on_drop: bool,
    /// The result was given out.
    is_taken: bool,
    /// The pool knows nothing of it any more.
    is_forgotten: bool,
    result: PhantomData<fn() -> R>,
}

/// Cancels a task from anywhere. Made by [`Task::canceller`].
///
/// ```
/// use procession_pool::{Pool, TaskError};
///
/// let pool = Pool::with_workers(1)?;
/// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
/// let canceller = task.canceller();
/// std::thread::spawn(move || canceller.cancel());       // from a signal handler's thread, a button...
/// assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Canceller {
    core: Arc<Core>,
    call: CallId,
}

impl Canceller {
    /// Cancels the task and says whether that stopped it: `false` when it was done already.
    ///
    /// A task that no worker has begun is not run. One that is running is stopped by killing its worker, which is replaced.
    /// [`Task::get`] then returns [`TaskError::Cancelled`]. Returns at once; never waits for the worker.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let mut task = pool.submit(|n: u64| n, 1)?;
    /// let canceller = task.canceller();
    /// while !task.is_done() {}
    /// assert!(!canceller.cancel(), "it was done already");
    /// assert_eq!(task.try_get()?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.core.is_ours() && self.core.with(|state| state.cancel_items(self.call))
    }
}

impl<R> Task<R> {
    /// The task that is a call of so many items, as far as is known.
    pub(crate) fn new(core: Arc<Core>, call: CallId, items: usize, assemble: Assemble<R>) -> Self {
        Self {
            canceller: Canceller { core, call },
            items,
            arrived: Vec::new(),
            arrived_items: 0,
            has_failed: false,
            assemble,
            cancels_on_drop: false,
            is_taken: false,
            is_forgotten: false,
            result: PhantomData,
        }
    }

    /// Says how many items it has.
    pub(crate) fn expect(&mut self, items: usize) {
        self.items = items;
    }

    fn core(&self) -> &Arc<Core> {
        &self.canceller.core
    }

    /// Whether it is done, and whether it has failed.
    fn standing(&self, state: &State) -> (bool, bool) {
        let call = self.canceller.call;
        let is_done = self.is_complete() || state.has_outcome(call);
        (is_done, self.has_failed || state.has_failure(call))
    }

    /// Waits for the result.
    ///
    /// Blocks until the task is done, has failed for good, or was cancelled.
    ///
    /// # Errors
    ///
    /// What went wrong with the task: see [`TaskError`]. A worker that dies on it wakes whoever waits.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// assert_eq!(pool.submit(|n: u64| n * n, 7)?.get()?, 49);
    /// let crashed = pool.submit(|_: ()| -> () { std::process::abort() }, ())?;
    /// assert!(matches!(crashed.get(), Err(TaskError::Died { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "result")]
    pub fn get(mut self) -> Result<R, TaskError> {
        loop {
            if let Some(result) = self.wait(&Deadline::NEVER)? {
                return Ok(result);
            }
        }
    }

    /// The result if the task is done; `None` if it is not. Does not block. A result is given out once; then it is
    /// [`TaskError::Taken`].
    ///
    /// # Errors
    ///
    /// What went wrong with the task: see [`TaskError`].
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let mut task = pool.submit(|n: u64| n * n, 7)?;
    /// let square = loop {
    ///     match task.try_get()? {
    ///         Some(square) => break square,
    ///         None => std::thread::yield_now(),             // something else to do
    ///     }
    /// };
    /// assert_eq!(square, 49);
    /// assert!(matches!(task.try_get(), Err(TaskError::Taken)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get(&mut self) -> Result<Option<R>, TaskError> {
        self.wait(&Deadline::after(Duration::ZERO))
    }

    /// Waits for the result for at most `timeout`; `None` if the task is not done by then. It goes on.
    ///
    /// # Errors
    ///
    /// What went wrong with the task: see [`TaskError`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let mut task = pool.submit(std::thread::sleep, Duration::MAX)?;
    /// assert_eq!(task.get_timeout(Duration::from_millis(10))?, None); // it goes on
    /// task.cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<Option<R>, TaskError> {
        self.wait(&Deadline::after(timeout))
    }

    fn wait(&mut self, deadline: &Deadline) -> Result<Option<R>, TaskError> {
        let call = self.canceller.call;
        while !self.is_complete() {
            let core = self.core();
            if let Some(error) = core.disowned() {
                return Err(TaskError::Broken(Arc::new(error)));
            }
            let wanted = self.items - self.arrived_items;
            let fetched =
                core.wait_until(Some(call), deadline, |state| state.fetch_last(call, wanted));
            let Some((deliveries, is_over)) = fetched else { return Ok(None) };
            self.is_forgotten |= is_over;
            self.take_in(deliveries);
        }
        self.finish().map(Some)
    }

    fn take_in(&mut self, mut deliveries: Vec<Delivery>) {
        self.arrived_items += deliveries.iter().map(Delivery::count).sum::<usize>();
        self.has_failed |= deliveries.iter().any(Delivery::is_failure);
        if self.arrived.is_empty() {
            self.arrived = deliveries;
        } else {
            self.arrived.append(&mut deliveries);
        }
    }

    /// Whether the result is known: all items are there, or one of them has failed.
    fn is_complete(&self) -> bool {
        self.arrived_items >= self.items || self.has_failed
    }

    fn finish(&mut self) -> Result<R, TaskError> {
        if std::mem::replace(&mut self.is_taken, true) {
            return Err(TaskError::Taken);
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_by_key(Delivery::first);
        (self.assemble)(arrived, self.core().config.trust())
    }

    /// Whether the task is done, failed or cancelled, so that [`get`](Self::get) would not block. It is also where it never can be: in
    /// a process that was forked from that of its pool.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
    /// assert!(!task.is_done());
    /// task.cancel();
    /// while !task.is_done() {
    ///     std::thread::yield_now();                         // until its worker is dead
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_done(&self) -> bool {
        let core = self.core();
        if !core.is_ours() {
            return true;
        }
        core.poll();
        self.is_complete() || core.with(|state| state.has_outcome(self.canceller.call))
    }

    /// Whether a worker is on it right now.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
    /// while !task.is_running() {
    ///     std::thread::yield_now();
    /// }
    /// let other = pool.submit(|n: u64| n, 1)?;
    /// assert!(!other.is_running());                         // the only worker is on the first one
    /// task.cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_running(&self) -> bool {
        let core = self.core();
        if !core.is_ours() {
            return false;
        }
        core.poll();
        core.with(|state| state.is_running(self.canceller.call))
    }

    /// Cancels the task. See [`Canceller::cancel`].
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
    /// assert!(task.cancel());
    /// assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.canceller.cancel()
    }

    /// Something that can cancel the task from elsewhere, for example while a thread waits for it.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
    /// let canceller = task.canceller();
    /// std::thread::spawn(move || canceller.cancel());
    /// assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// From now on dropping the task cancels it.
    ///
    /// A timeout of an async runtime drops the future that took too long: with this, the work is stopped, too.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// drop(pool.submit(std::thread::sleep, std::time::Duration::MAX)?.cancel_on_drop());
    /// assert_eq!(pool.apply(|n: u64| n, 1)?, 1); // the only worker has been replaced
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancels_on_drop = true;
        self
    }
}

impl<R> Task<R> {
    /// The result, if what has been received is all of it; otherwise `waker` is told when there is more.
    fn poll_received(&mut self, waker: &Waker) -> Poll<Result<R, TaskError>> {
        let (core, call) = (Arc::clone(self.core()), self.canceller.call);
        if let Some(error) = core.disowned() {
            return Poll::Ready(Err(TaskError::Broken(Arc::new(error))));
        }
        while !self.is_complete() {
            let Some(deliveries) = core.fetch_or_tell(call, waker) else {
                core.rouse_background();
                return Poll::Pending;
            };
            self.take_in(deliveries);
        }
        Poll::Ready(self.finish())
    }
}

impl<R> Future for Task<R> {
    type Output = Result<R, TaskError>;

    /// A result is given out once: polled again, it is [`TaskError::Taken`].
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.core().is_ours() {
            self.core().poll();
        }
        self.poll_received(context.waker())
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if self.is_forgotten || !self.core().is_ours() {
            return;
        }
        if self.cancels_on_drop {
            self.cancel();
        }
        self.core().with(|state| state.detach_call(self.canceller.call));
    }
}

impl<R> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("call", &self.canceller.call)
            .field("items", &self.items)
            .field("arrived", &self.arrived_items)
            .finish_non_exhaustive()
    }
}

/// The result of a task that is one item.
pub(crate) fn only<R: Message>(deliveries: Vec<Delivery>, trust: Trust) -> Result<R, TaskError> {
    let mut only = None;
    decode_each(deliveries, trust, |result| only = Some(result))?;
    only.ok_or(TaskError::Taken)
}

/// The results of all items, or the error of the first one that failed.
pub(crate) fn all<R: Message>(
    deliveries: Vec<Delivery>,
    trust: Trust,
) -> Result<Vec<R>, TaskError> {
    let mut results = Vec::new();
    decode_each(deliveries, trust, |result| results.push(result))?;
    Ok(results)
}

fn decode_each<R: Message>(
    deliveries: Vec<Delivery>,
    trust: Trust,
    mut take: impl FnMut(R),
) -> Result<(), TaskError> {
    for delivery in deliveries {
        match delivery {
            Delivery::Results(mut batch) => {
                while let Some((item, bytes)) = batch.take() {
                    let decoded = decode::<R>(bytes, &Limits::DEFAULT);
                    take(decoded.map_err(|error| TaskError::decode(item, &error))?);
                }
            }
            single => {
                if let Some(result) = single.into_result::<R>(trust).transpose()? {
                    take(result);
                }
            }
        }
    }
    Ok(())
}
