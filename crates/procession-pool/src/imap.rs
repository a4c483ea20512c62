//! Results as a stream: input is pulled as results are taken.

#[cfg(feature = "progress")]
mod progress;
#[cfg(feature = "stream")]
mod stream;
mod waiting;

use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_channel::Message;
use procession_channel::codec::{Limits, decode};
use procession_process::function::Function;
use procession_process::link::{Frame, SharedValue};
use procession_shm::{Deadline, Spin};

#[cfg(feature = "stream")]
pub use stream::ImapStream;
use waiting::Waiting;

use crate::core::Core;
use crate::core::call::{Options, Pace};
use crate::core::chunk::{CallId, Chunk, Delivery};
use crate::core::results::Results;
use crate::error::{SubmitError, TaskError};
use crate::pool::Pool;
use crate::run::{Fill, Filled, Room};

/// How long a chunk shall keep a worker busy: long enough that sending it does not count, short enough to share the work.
const CHUNK_SPAN: Duration = Duration::from_micros(500);

/// The most items in a chunk.
const CHUNK_ITEMS_MAX: usize = 4096;

/// How long chunks that were asked for shall keep a worker busy if several are handed over together. Less than
/// [`CHUNK_SPAN`]: who asks for small chunks wants the work shared well.
const TOGETHER_SPAN: Duration = Duration::from_micros(100);

/// The most items that are handed over together in chunks that were asked for, unless one has more.
const TOGETHER_ITEMS_MAX: usize = 512;

/// A chunk is not filled any further once it has this many bytes, so that it fits into a worker's ring with room to spare.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// How much larger a chunk may be than the one before it: the first measurements are rough.
const CHUNK_GROWTH: usize = 8;

/// How long input is pulled, at most, before what was pulled is handed over, unless a single chunk takes longer.
const HAND_OVER_AFTER: Duration = Duration::from_micros(20);

/// How many chunks may be in flight for each worker: two with the worker, the others on their way to it or to you.
const CHUNKS_PER_WORKER: usize = 4;

/// The same while chunks are known to be much shorter than [`CHUNK_SPAN`], because they must not grow: so many that nobody has
/// to wake up for each, which is what a worker [does](worked_in) in that span.
const SHORT_CHUNKS_PER_WORKER: usize = 64;

/// How many bytes of input may be in flight for each worker, unless two items have more: about twice what its ring holds. More
/// would only be in the way of the rest in the processors' caches.
const BYTES_PER_WORKER: usize = 512 << 10;

/// How many bytes of results may wait to be taken, unless asked for, before no more input is pulled.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The results of a call, one by one.
///
/// Made by [`Pool::imap`](crate::Pool::imap) and its siblings. It owns the input and pulls it, inside [`next`](Iterator::next),
/// only as far as results are taken, so an endless input works and a slow consumer stops the producer. At most the window
/// ([`Job::window`](crate::Job::window)) is in flight, and nothing is pulled while large results wait
/// ([`Job::window_bytes`](crate::Job::window_bytes)).
///
/// [`next`](Iterator::next) blocks until there is a result. Every item that was pulled has exactly one: what fails is an `Err` in
/// its place and does not end the iterator. A panic in the input iterator passes through `next` and leaves the pool intact.
///
/// When the pool breaks, or is closed, each item that was pulled and will not be done is an `Err` as well
/// ([`Broken`](TaskError::Broken), [`Closed`](TaskError::Closed), [`Cancelled`](TaskError::Cancelled) for what
/// [`terminate`](Pool::terminate) stops), nothing more is pulled, and then the iterator ends. So it ends without an `Err` only
/// when all of its input is done.
///
/// Dropping it cancels what is left: items that no worker has begun are not run, results of the others are discarded.
///
/// ```
/// use procession_pool::Pool;
///
/// let pool = Pool::with_workers(2)?;
/// let lines = ["1", "two", "3"];
/// let parsed = pool.imap(|line: String| line.parse::<u64>().unwrap(), lines);
/// assert_eq!(parsed.len(), 3);
/// // An item that failed is an error in its place, here a panic, and the others go on.
/// assert_eq!(parsed.filter_map(Result::ok).sum::<u64>(), 4);
/// # Ok::<(), procession_pool::PoolError>(())
/// ```
#[must_use = "it pulls its input, and so does its work, only as results are taken"]
pub struct Imap<'p, I: Iterator, R> {
    core: Arc<Core>,
    call: CallId,
    function: Option<Function>,
    fill: Fill<I>,
    input: Option<Fuse<I>>,
    /// Items that were pulled and have not been submitted: the frame that is being filled, and full ones.
    open: Frame,
    staged: Vec<Chunk>,
    is_ordered: bool,
    options: Options,
    /// How many items are handed over together next: one chunk, or several of those that were asked for.
    chunk: usize,
    /// How many chunks may be in flight for each worker.
    chunks_per_worker: usize,
    /// How many bytes an item of the last chunk took.
    item_len: usize,
    /// Input is pulled when no more items than these are outstanding.
    refill_at: usize,
    /// Items pulled from the input.
    pulled: usize,
    /// Items yielded.
    yielded: usize,
    arrived: Waiting,
    /// All results are kept until the last one has come, so that what waits is not limited.
    keeps_all: bool,
    /// Those that are being yielded.
    current: Option<Results>,
    /// Memory of those that were yielded.
    used: Vec<Vec<u8>>,
    /// Memory for frames.
    spare: Vec<Vec<u8>>,
    /// An item had handles: then each travels alone, and only few are pulled.
    has_handles: bool,
    #[cfg(feature = "progress")]
    bar: Option<progress::Bar>,
    /// Why nothing more will come, once known.
    end: Option<TaskError>,
    pool: PhantomData<&'p Pool>,
    result: PhantomData<fn() -> R>,
}

/// How an [`Imap`] is made.
pub(crate) struct Setup<I> {
    /// Or why the call cannot even begin.
    pub(crate) function: Result<Function, SubmitError>,
    pub(crate) context: Option<Arc<SharedValue>>,
    pub(crate) fill: Fill<I>,
    pub(crate) options: Options,
    pub(crate) is_ordered: bool,
}

/// For how long each of so many workers works in `span`: those that share a processor get on only in their share of the time.
fn worked_in(span: Duration, workers: usize, cores: usize) -> Duration {
    let sharing = u32::try_from(workers.div_ceil(cores.max(1))).unwrap_or(u32::MAX);
    span / sharing.max(1)
}

/// A call without items, for chunks as they were asked for.
fn blank(function: Function, call: CallId, options: &Options) -> Frame {
    Frame::call(function, call).in_messages_of(options.chunk.unwrap_or(usize::MAX))
}

impl<I: Iterator, R> Imap<'_, I, R> {
    pub(crate) fn new(core: &Arc<Core>, input: I, setup: Setup<I>) -> Self {
        let (options, context) = (setup.options.clone(), setup.context);
        let is_timed = options.timeout.is_some();
        let opened = setup.function.and_then(|function| {
            // A timeout is seen to also while the owner of the stream does something else.
            let staffed = if is_timed { core.ensure_background() } else { Ok(()) };
            staffed.map_err(|error| SubmitError::Broken(Arc::new(error)))?;
            let call = core.with(|state| state.open_call(options, context, false));
            Ok((call, function))
        });
        let (call, function, end) = match opened {
            Ok((call, function)) => (call, Some(function), None),
            Err(error) => (CallId::MAX, None, Some(TaskError::refused(0, error))),
        };
        Self {
            #[cfg(feature = "progress")]
            bar: setup.options.progress.then(|| progress::Bar::new(input.size_hint().1)),
            core: Arc::clone(core),
            call,
            input: function.is_some().then(|| input.fuse()),
            open: function
                .map_or_else(Frame::resume, |function| blank(function, call, &setup.options)),
            staged: Vec::new(),
            function,
            fill: setup.fill,
            is_ordered: setup.is_ordered,
            chunk: setup.options.chunk.unwrap_or(1),
            chunks_per_worker: CHUNKS_PER_WORKER,
            item_len: 0,
            refill_at: 0,
            options: setup.options,
            pulled: 0,
            yielded: 0,
            arrived: Waiting::default(),
            keeps_all: false,
            current: None,
            used: Vec::new(),
            spare: Vec::new(),
            has_handles: false,
            end,
            pool: PhantomData,
            result: PhantomData,
        }
    }

    /// Ends in a process that inherited it through a fork: with an error, unless it is over.
    #[cold]
    fn give_up<T>(&mut self) -> Option<Result<T, TaskError>> {
        let is_over = self.input.take().is_none() && self.outstanding() == 0;
        self.pulled = self.yielded;
        let disowned = self.core.disowned().filter(|_| !is_over);
        let error = disowned.map(|error| TaskError::Broken(Arc::new(error)));
        self.end.take().or(error).map(Err)
    }

    fn outstanding(&self) -> usize {
        self.pulled - self.yielded
    }

    fn window(&self) -> usize {
        let by_bytes = (BYTES_PER_WORKER / self.item_len.max(1)).max(2);
        let per_worker = self.chunks_per_worker.saturating_mul(self.chunk).min(by_bytes);
        self.options.window.unwrap_or(self.core.workers * per_worker).max(1)
    }

    /// Pulls input once a good part of the window is free: refilling it item by item would cost a wake-up each.
    #[inline]
    fn feed(&mut self) {
        if self.in_window() <= self.refill_at && self.input.is_some() && self.wants_more() {
            self.refill();
        }
    }

    /// How many items count for the window.
    #[inline]
    fn in_window(&self) -> usize {
        self.outstanding() - if self.keeps_all { self.arrived.items() } else { 0 }
    }

    /// Whether the results that wait leave room for more; of a call that keeps all, whether it has not failed.
    fn wants_more(&self) -> bool {
        let waiting_max = self.options.window_bytes.unwrap_or(WAITING_BYTES_MAX);
        match self.keeps_all {
            true => !self.arrived.has_failed(),
            false => self.arrived.bytes() <= waiting_max,
        }
    }

    fn refill(&mut self) {
        // Should the input panic below, the next call comes here first and hands over what was pulled.
        self.refill_at = usize::MAX;
        self.submit_leftovers();
        let (window, chunk) = self.window_and_chunk();
        let mut chunks_left = window.saturating_sub(self.in_window()) / chunk;
        let mut handed_over = Instant::now();
        while chunks_left > 0
            && self.input.is_some()
            && self.in_window() + chunk <= window
            && self.wants_more()
        {
            self.pull_chunk(chunk);
            // Of a refusal it is told at the end, so that a window of items has it as their outcome, as ever.
            if handed_over.elapsed() >= HAND_OVER_AFTER && self.hand_over().is_ok() {
                handed_over = Instant::now();
            }
            // What is long travels alone and leaves room for more; of what has handles few are pulled.
            chunks_left -= usize::from(self.has_handles);
        }
        self.submit_staged();
        let (window, chunk) = self.window_and_chunk();
        self.refill_at = window.saturating_sub(chunk.max(window / 4));
    }

    /// How many items may be outstanding, and how many of them travel together.
    fn window_and_chunk(&self) -> (usize, usize) {
        let window = self.window();
        (window, self.chunk.min(window.div_ceil(2 * self.core.workers)).max(1))
    }

    /// What was pulled before the input panicked has not been submitted yet.
    fn submit_leftovers(&mut self) {
        self.stage();
        if !self.staged.is_empty() {
            self.submit_staged();
        }
    }

    /// Pulls up to `size` items, or fewer up to one that cannot be encoded, and puts them on the stage.
    fn pull_chunk(&mut self, size: usize) {
        let Some(input) = &mut self.input else { return self.stage() };
        let room = Room { items: size, bytes: CHUNK_BYTES_MAX };
        // This may panic. All that was pulled is in its place then, and the next call goes on from there.
        match (self.fill)(input, &mut self.open, &mut self.pulled, room) {
            Filled::Full => self.stage(),
            Filled::Over => {
                self.input = None;
                self.stage();
            }
            Filled::Alone(alone) => self.stage_alone(alone),
            Filled::Refused(error) => {
                let item = self.pulled - 1;
                self.stage_before(item);
                let error = TaskError::refused(item, error);
                self.arrived.put(Delivery::Failed { item, error });
            }
        }
    }

    /// Puts the item that was pulled last, which has a frame of its own, on the stage, and those before it.
    fn stage_alone(&mut self, alone: Frame) {
        let item = self.pulled - 1;
        let alone = Chunk::new(self.call, item, alone);
        self.has_handles |= alone.has_handles();
        self.stage_before(item);
        self.item_len = alone.frame.len();
        self.staged.push(alone);
    }

    fn stage(&mut self) {
        self.stage_before(self.pulled);
    }

    /// Puts the items of the open frame, which are the last ones before `end`, on the stage.
    fn stage_before(&mut self, end: usize) {
        let Some(function) = self.function.filter(|_| self.open.count() > 0) else { return };
        // As a rule the next one becomes as long.
        let memory = self.spare.pop().unwrap_or_default();
        let next = blank(function, self.call, &self.options).with_room_for(self.open.len(), memory);
        let full = std::mem::replace(&mut self.open, next).sealed();
        self.item_len = full.len() / full.count();
        self.staged.push(Chunk::new(self.call, end - full.count(), full));
    }

    /// Hands what is on the stage to the pool. If the pool takes no more, each item of it has that as its outcome, and no more
    /// input is pulled.
    fn submit_staged(&mut self) {
        match self.hand_over() {
            Ok(pace) => self.adapt(pace),
            Err(refusal) => {
                let chunks = std::mem::take(&mut self.staged);
                self.refuse(&chunks, &refusal);
            }
        }
    }

    /// Hands what is on the stage to the pool, and says how long items take, as far as the pool knows. If the pool takes no more, all
    /// stays on the stage.
    fn hand_over(&mut self) -> Result<Pace, SubmitError> {
        let (call, staged, spare) = (self.call, &mut self.staged, &mut self.spare);
        self.core.with(|state| {
            if let Some(refusal) = state.refusal() {
                return Err(refusal);
            }
            if spare.is_empty() {
                let memory = staged.iter().map(|_| state.spares.take());
                spare.extend(memory.take_while(|memory| memory.capacity() > 0));
            }
            staged.drain(..).for_each(|chunk| state.submit(chunk));
            Ok(state.calls.get(&call).map(|call| call.pace).unwrap_or_default())
        })
    }

    #[cold]
    fn refuse(&mut self, chunks: &[Chunk], refusal: &SubmitError) {
        self.input = None;
        for item in chunks.iter().flat_map(Chunk::items_left) {
            let error = TaskError::refused(item, refusal.clone());
            self.arrived.put(Delivery::Failed { item, error });
        }
    }

    /// Sets the size of the next chunk.
    fn adapt(&mut self, pace: Pace) {
        self.adapt_chunk(pace);
        let worked = worked_in(CHUNK_SPAN, self.core.workers, Spin::cores());
        let chunks = pace.items_in(worked) / self.chunk;
        self.chunks_per_worker = chunks.clamp(CHUNKS_PER_WORKER, SHORT_CHUNKS_PER_WORKER);
    }

    fn adapt_chunk(&mut self, pace: Pace) {
        let fixed = self.options.chunk;
        if self.options.timeout.is_some() || self.has_handles {
            // A deadline is counted from the moment that the item before it was done, which is noticed after each chunk.
            self.chunk = fixed.unwrap_or(1);
            return;
        }
        let left = self.input.as_ref().map_or(0, |input| input.size_hint().1.unwrap_or(usize::MAX));
        let share = left / (2 * self.core.workers);
        let grown = share.min(self.chunk.saturating_mul(CHUNK_GROWTH));
        self.chunk = match fixed {
            Some(fixed) => {
                let items = pace.items_in(TOGETHER_SPAN).min(grown).min(TOGETHER_ITEMS_MAX);
                (items / fixed * fixed).max(fixed)
            }
            None => pace.items_in(CHUNK_SPAN).min(grown).clamp(1, CHUNK_ITEMS_MAX),
        };
    }

    /// Waits for outcomes.
    fn fetch(&mut self) {
        let call = self.call;
        let used = &mut self.used;
        let arrived = self.core.wait_until(Some(call), &Deadline::NEVER, |state| {
            used.drain(..).for_each(|memory| state.spares.keep(memory));
            state.fetch(call)
        });
        self.take_in(arrived.unwrap_or_default());
    }

    fn take_in(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        deliveries.into_iter().for_each(|delivery| self.arrived.put(delivery));
    }

    /// The next outcomes to yield, if they have arrived.
    fn next_delivery(&mut self) -> Option<Delivery> {
        self.arrived.take(self.is_ordered.then_some(self.yielded))
    }
}

impl<I: Iterator, R: Message> Imap<'_, I, R> {
    /// The next result of those that are being yielded.
    #[inline]
    fn next_of_current(&mut self) -> Option<Result<R, TaskError>> {
        let Some((item, bytes)) = self.current.as_mut()?.take() else {
            self.used.extend(self.current.take().and_then(Results::into_inbox));
            return None;
        };
        self.yielded += 1;
        let decoded = decode::<R>(bytes, &Limits::DEFAULT);
        Some(decoded.map_err(|error| TaskError::decode(item, &error)))
    }
}

impl<I: Iterator, R: Message> Imap<'_, I, R> {
    /// All results, or the first error: what `collect` makes of it, but in one loop over those that came together, and nobody
    /// waits for an item that takes longer than the others.
    pub(crate) fn gather(mut self) -> Result<Vec<R>, TaskError> {
        self.keeps_all = true;
        let mut all = Vec::new();
        while let Some(result) = self.next() {
            all.push(result?);
            self.take_run(&mut all)?;
        }
        Ok(all)
    }

    /// Takes those that are being yielded, up to where input has to be pulled again.
    fn take_run(&mut self, all: &mut Vec<R>) -> Result<(), TaskError> {
        #[cfg(feature = "progress")]
        if self.bar.is_some() {
            return Ok(()); // Which counts them one by one.
        }
        let until_refill = self.in_window().saturating_sub(self.refill_at);
        let max = if self.input.is_some() { until_refill } else { usize::MAX };
        let Some(current) = &mut self.current else { return Ok(()) };
        let count = current.count().min(max);
        all.reserve(count);
        for _ in 0..count {
            let Some((item, bytes)) = current.take() else { break };
            self.yielded += 1;
            let decoded = decode::<R>(bytes, &Limits::DEFAULT);
            all.push(decoded.map_err(|error| TaskError::decode(item, &error))?);
        }
        Ok(())
    }
}

/// What an [`Imap`] has.
enum Step<R> {
    Yield(Option<Result<R, TaskError>>),
    /// Nothing before more outcomes arrive.
    Wait,
}

impl<I: Iterator, R: Message> Imap<'_, I, R> {
    /// Pulls input and finds what is next, without waiting.
    #[inline]
    fn step(&mut self) -> Step<R> {
        let step = self.find_next();
        #[cfg(feature = "progress")]
        if let (Some(bar), Step::Yield(next)) = (&mut self.bar, &step) {
            bar.note(next.as_ref().map(Result::is_ok));
        }
        step
    }

    #[inline]
    fn find_next(&mut self) -> Step<R> {
        if !self.core.is_ours() {
            return Step::Yield(self.give_up());
        }
        loop {
            self.feed();
            if let Some(result) = self.next_of_current() {
                return Step::Yield(Some(result));
            }
            match self.next_delivery() {
                Some(Delivery::Results(results)) => self.current = Some(results),
                Some(single) => {
                    self.yielded += 1;
                    return Step::Yield(single.into_result(self.core.config.trust()));
                }
                None if self.outstanding() == 0 => return Step::Yield(self.end.take().map(Err)),
                None => return Step::Wait,
            }
        }
    }
}

impl<I: Iterator, R: Message> Iterator for Imap<'_, I, R> {
    type Item = Result<R, TaskError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Step::Yield(next) => return next,
                Step::Wait => self.fetch(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (low, high) = self.input.as_ref().map_or((0, Some(0)), Iterator::size_hint);
        let outstanding = self.outstanding() + usize::from(self.end.is_some());
        let high = high.and_then(|high| high.checked_add(outstanding));
        (low.saturating_add(outstanding), high)
    }
}

impl<I: ExactSizeIterator, R: Message> ExactSizeIterator for Imap<'_, I, R> {}

impl<I: Iterator, R: Message> FusedIterator for Imap<'_, I, R> {}

impl<I: Iterator, R> Drop for Imap<'_, I, R> {
    fn drop(&mut self) {
        if !self.core.is_ours() {
            return;
        }
        self.core.with(|state| state.cancel_call(self.call));
    }
}

impl<I: Iterator, R> fmt::Debug for Imap<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("is_ordered", &self.is_ordered)
            .field("pulled", &self.pulled)
            .field("yielded", &self.yielded)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_a_processor_works_for_a_share_of_the_time() {
        let worked = |workers, cores| worked_in(CHUNK_SPAN, workers, cores).as_micros();
        assert_eq!([worked(1, 2), worked(2, 2), worked(256, 256)], [500; 3]);
        assert_eq!([worked(3, 2), worked(64, 2), worked(usize::MAX, 1)], [250, 15, 0]);
    }
}
