//! Everything the pool knows, behind one lock, and the steps that move it on.
//!
//! The pool has no scheduler thread. Whoever waits for a result takes the lock, moves the state on as far as it goes
//! ([`State::advance`]), and sleeps on the workers' words until there is news. This module has the steps that belong to the
//! state as a whole; [`schedule`](super::schedule) hands chunks to workers, [`receive`](super::receive) takes results,
//! [`death`](super::death) deals with workers that end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use procession_process::link::SharedValue;

use super::books::Books;
use super::call::{Call, Calls, Consumer, Options};
use super::chunk::{CallId, Chunk, Delivery};
use super::death::Death;
use super::errand;
use super::lane::{Lane, Sentence};
use super::queue::Queue;
use super::retire::Policy;
use super::spares::Spares;
use super::takers::Takers;
use crate::error::{PoolError, TaskError};

/// Everything the pool knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The places for workers; an empty one is filled as soon as somebody has the time.
    pub(crate) lanes: Vec<Option<Lane>>,
    pub(crate) takers: Takers,
    pub(crate) queue: Queue,
    pub(crate) calls: Calls,
    pub(crate) spares: Spares,
    next_call: CallId,
    /// Items that were handed to the pool and have no outcome yet.
    pub(crate) unfinished: usize,
    /// Those of them that need a driver also while their owner does not wait.
    pub(crate) unattended: usize,
    pub(crate) driver: Driver,
    /// The call that the driver waits for, if it is one.
    pub(crate) driver_call: Option<CallId>,
    /// Threads that wait while somebody else drives, oldest first.
    pub(crate) parked: Vec<Thread>,
    /// Who must be told something as soon as the lock is free.
    pub(crate) notices: Vec<Notice>,
    /// What workers have said and nobody has been told yet.
    #[cfg(feature = "tracing")]
    pub(crate) heard: crate::trace::Heard,
    /// Consumers that are not needed any more, to be dropped as soon as the lock is free: a waker may own other tasks of this
    /// pool, whose drop takes the lock.
    pub(crate) discarded: Vec<Consumer>,
    pub(crate) closed: bool,
    pub(crate) broken: Option<Arc<PoolError>>,
    pub(crate) staffing: Staffing,
    pub(crate) policy: Policy,
    pub(crate) books: Books,
    /// What exit hooks returned, oldest first, until it is taken.
    pub(crate) exit_values: Vec<Delivery>,
    /// The worker that finished last: the one most likely to be awake.
    pub(crate) hot: usize,
    /// Counts everything that moves, so that a sleeper can tell whether anything did.
    pub(crate) progress: u64,
    /// Calls that were called off and of which workers may still hold items that they have not begun.
    pub(crate) called_off: Vec<CallId>,
    /// Something changed that a driver must not sleep over: look again before the next sleep.
    pub(crate) unseen: Unseen,
    /// The last sleep of a driver ended with its nap, and nothing had moved.
    pub(crate) slept_in_vain: bool,
    /// The background thread drives or is about to.
    pub(crate) background_drives: bool,
    /// The background thread waits to be told that there is something for it.
    pub(crate) background_rests: bool,
    /// A future was polled and not ready: somebody must drive at once.
    pub(crate) is_awaited: bool,
    /// The background thread was started.
    pub(crate) has_background: bool,
    /// Workers have to be in the family of this process, because a handle that it sends them needs that.
    pub(crate) wants_kin: bool,
    /// The pool is being taken down: nobody is hired any more.
    pub(crate) retiring: bool,
    /// The worker is a thread of this process, which cannot be killed.
    pub(crate) is_inline: bool,
    /// Where the pool was made.
    #[cfg(feature = "tracing")]
    pub(crate) origin: crate::trace::Origin,
}

/// What has changed since the driver last looked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unseen {
    #[default]
    Nothing,
    /// A worker was given something: a driver that does not sleep yet must look again. One that sleeps is woken by the worker.
    Work,
    /// Something that no worker wakes for: a sleeping driver must be woken.
    Alarm,
}

/// Who drives the pool.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    #[default]
    Nobody,
    /// A thread that looks at the workers' words.
    Awake,
    /// A thread that sleeps on them.
    Asleep,
    /// The same, but it wakes up by itself in a moment and looks at everything.
    Napping,
}

impl Driver {
    /// Whether it is a thread that sleeps, for however long.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Self::Asleep | Self::Napping)
    }
}

/// Somebody to be told that there is something for him.
#[derive(Debug)]
pub(crate) enum Notice {
    Thread(Thread),
    Waker(Waker),
}

/// How starting workers goes.
#[derive(Debug, Default)]
pub(crate) struct Staffing {
    /// Places that are empty and that nobody is filling yet.
    pub(crate) vacancies: Vec<usize>,
    /// Deaths of workers whose places were not theirs yet: they died while the thread that started them waited for the lock.
    pub(crate) early_deaths: Vec<Death>,
    /// Workers in a row that did not get ready.
    pub(crate) failures: u32,
    /// Times in a row that the system would not start one: that says nothing of the workers.
    pub(crate) refusals: u32,
    /// No worker is started before this.
    pub(crate) not_before: Option<Instant>,
    /// Places whose workers had nothing to do for so long that they were let go: filled when there is.
    pub(crate) dormant: Vec<usize>,
    /// When workers died by themselves, as far as it still counts.
    pub(crate) deaths: VecDeque<Instant>,
}

impl State {
    /// Nothing yet. `wants_kin`: workers are to be in the family from the beginning.
    pub(crate) fn new(wants_kin: bool, is_inline: bool, policy: Policy) -> Self {
        Self {
            wants_kin,
            is_inline,
            policy,
            #[cfg(feature = "tracing")]
            origin: crate::trace::Origin::here(),
            ..Self::default()
        }
    }

    /// Whether somebody has to be told something as soon as the lock is free.
    pub(crate) fn has_something_to_tell(&self) -> bool {
        #[cfg(feature = "tracing")]
        if !self.heard.is_empty() {
            return true;
        }
        !self.notices.is_empty()
    }

    /// Begins a call.
    pub(crate) fn open_call(
        &mut self,
        options: Options,
        context: Option<Arc<SharedValue>>,
        unattended: bool,
    ) -> CallId {
        let id = self.next_call;
        self.next_call += 1;
        let unattended = unattended || options.timeout.is_some();
        #[cfg(feature = "tracing")]
        let origin = crate::trace::Origin::here();
        let call = Call {
            #[cfg(feature = "tracing")]
            origin,
            options,
            context,
            unattended,
            ..Call::default()
        };
        self.calls.insert(id, call);
        id
    }

    /// From now on somebody must drive the pool for the call also while its owner does not wait.
    #[cfg(feature = "stream")]
    pub(crate) fn leave_unattended(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !std::mem::replace(&mut call.unattended, true) {
            self.unattended += call.unfinished;
        }
    }

    /// Hands a chunk of a call to the pool, which must not [refuse](Self::refusal) it.
    pub(crate) fn submit(&mut self, chunk: Chunk) {
        let count = chunk.left();
        let Some(call) = self.calls.get_mut(&chunk.call) else { return };
        self.wants_kin |= call.needs_kin(&chunk);
        call.unfinished += count;
        self.unfinished += count;
        self.unattended += if call.unattended { count } else { 0 };
        self.queue.push(call.options.priority, chunk);
        self.dispatch();
    }

    /// Ends a call: what no worker has begun is not run, what runs is not waited for.
    pub(crate) fn cancel_call(&mut self, id: CallId) {
        self.call_off(id);
        self.detach_call(id);
        self.dispatch();
    }

    /// Lets a call go on without anybody who fetches its outcomes.
    pub(crate) fn detach_call(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.deliveries.clear();
        call.detached = true;
        self.set_consumer(id, Consumer::Nobody);
        self.forget_if_over(id);
    }

    /// Gives outcomes to a call and tells its consumer.
    pub(crate) fn deliver(&mut self, id: CallId, delivery: Delivery) {
        self.progress += 1;
        self.settle(id, delivery.count());
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.detached {
            self.forget_if_over(id);
            return;
        }
        let is_cancelled = call.called_off && !self.is_inline;
        call.has_failed |= is_cancelled || delivery.is_failure();
        if is_cancelled {
            // It came after somebody was told that the task is cancelled, which it is to stay.
            let cancelled = |item| Delivery::Failed { item, error: TaskError::Cancelled { item } };
            call.deliveries.extend(delivery.items().map(cancelled));
        } else {
            call.deliveries.push(delivery);
        }
        if self.driver_call.is_none_or(|waited_for| waited_for == id) {
            // It may be what the driver waits for, which registers nowhere because it looks by itself once it is awake.
            self.unseen = Unseen::Alarm;
        }
        match std::mem::take(&mut call.consumer) {
            Consumer::Nobody => {}
            Consumer::Thread(thread) => self.notices.push(Notice::Thread(thread)),
            Consumer::Waker(waker) => self.notices.push(Notice::Waker(waker)),
        }
        if !call.onlookers.is_empty() {
            self.notices.extend(call.take_onlookers());
        }
    }

    /// Sets who is told when outcomes of a call arrive.
    pub(crate) fn set_consumer(&mut self, id: CallId, consumer: Consumer) {
        if let Some(call) = self.calls.get_mut(&id) {
            let before = std::mem::replace(&mut call.consumer, consumer);
            self.discard(before);
        }
    }

    fn discard(&mut self, consumer: Consumer) {
        if !matches!(consumer, Consumer::Nobody) {
            self.discarded.push(consumer);
        }
    }

    /// `count` items of a call have an outcome now.
    fn settle(&mut self, id: CallId, count: usize) {
        self.unfinished -= count;
        if let Some(call) = self.calls.get_mut(&id) {
            call.unfinished -= count;
            self.unattended -= if call.unattended { count } else { 0 };
        }
    }

    fn forget_if_over(&mut self, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| call.detached && call.unfinished == 0) {
            self.close_call(id);
        }
    }

    /// Forgets a call that has no unfinished items.
    pub(crate) fn close_call(&mut self, id: CallId) {
        if let Some(call) = self.calls.remove(&id) {
            self.discard(call.consumer);
            if self.calls.is_empty() {
                self.spares = Spares::default();
                self.lanes.iter_mut().flatten().for_each(|lane| lane.link.let_memory_go());
            }
            debug_assert_eq!(call.unfinished, 0, "a call ends after its last item");
            if call.context.is_some() {
                self.forget_contexts(id);
            }
        }
    }

    /// An item will not be tried again: its owner gets the error.
    pub(crate) fn fail(&mut self, id: CallId, item: usize, error: TaskError) {
        self.deliver(id, Delivery::Failed { item, error });
    }

    /// All that is unfinished ends with the error that `why` makes for an item.
    pub(crate) fn fail_everything(&mut self, why: impl Fn(usize) -> TaskError) {
        let mut chunks: Vec<Chunk> = std::iter::from_fn(|| self.queue.pop()).collect();
        self.takers.are_stale();
        for lane in self.lanes.iter_mut().flatten() {
            chunks.extend(std::mem::take(&mut lane.in_flight));
        }
        for chunk in chunks {
            if errand::is_one(chunk.call) {
                self.errand_failed(chunk.call, why(0));
                continue;
            }
            for item in chunk.items_left() {
                self.fail(chunk.call, item, why(item));
            }
        }
    }

    /// The pool cannot go on: everything that waits is told why. Workers that have nothing to do are let go, all others killed: what
    /// they do nobody waits for any more. What comes of that changes nothing of why it is so.
    pub(crate) fn break_down(&mut self, error: PoolError) {
        if self.broken.is_some() {
            return;
        }
        let error = Arc::new(error);
        self.broken = Some(Arc::clone(&error));
        let is_free = |lane: &Lane| lane.is_available() && lane.in_flight.is_empty();
        let (free, busy): (Vec<usize>, Vec<usize>) = (0..self.lanes.len())
            .partition(|&index| self.lanes[index].as_ref().is_some_and(is_free));
        self.fail_everything(|_| TaskError::Broken(Arc::clone(&error)));
        free.into_iter().for_each(|index| self.send_home(index));
        busy.into_iter().for_each(|index| self.condemn(index, Sentence::Cancelled));
        self.notices.extend(self.parked.drain(..).map(Notice::Thread));
    }

    /// Moves everything on as far as it goes without waiting.
    pub(crate) fn advance(&mut self) {
        for index in 0..self.lanes.len() {
            self.receive_some(index);
        }
        self.enforce_timeouts();
        self.take_back_called_off();
        self.dispatch();
        self.rebalance();
        if self.policy.lets_workers_go {
            self.let_workers_go();
        }
    }

    /// Wakes the workers that were sent something since this was called last and that sleep.
    pub(crate) fn ring_workers(&mut self) {
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.is_unrung) {
            lane.is_unrung = false;
            lane.link.ring();
        }
    }

    /// When something must be looked at although no worker has news.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let timeouts = self.lanes.iter().flatten().filter_map(|lane| self.alarm_of(lane));
        let hires = !self.hires_nobody() && !self.staffing.vacancies.is_empty();
        let staffing = hires.then_some(self.staffing.not_before);
        timeouts
            .chain(staffing.flatten())
            .chain(self.rebalance_alarm())
            .chain(self.idle_alarm())
            .min()
    }

    /// How many workers have something to do.
    pub(crate) fn busy(&self) -> usize {
        self.lanes.iter().flatten().filter(|lane| !lane.in_flight.is_empty()).count()
    }

    /// Whether a result that comes in the middle of a chunk would otherwise not be noticed before its end.
    pub(crate) fn has_long_chunks(&self) -> bool {
        self.lanes.iter().flatten().any(Lane::has_long_chunk)
    }

    /// The lane at `index`, if somebody works there. It may stand elsewhere among the takers after this.
    pub(crate) fn lane(&mut self, index: usize) -> Option<&mut Lane> {
        self.takers.are_stale();
        self.lanes.get_mut(index)?.as_mut()
    }
}

/// How long `instant` is from now, zero if it has passed.
pub(crate) fn until(instant: Instant) -> Duration {
    instant.saturating_duration_since(Instant::now())
}
