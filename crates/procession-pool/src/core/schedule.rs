//! Which worker gets what.
//!
//! A worker is given a chunk when it has none, and a second one behind it while items are known to be short, so that it never
//! waits for the parent between two of them. What waits behind a slow item is taken back as soon as another worker has
//! nothing to do, so a worker that hangs holds up the item it is on and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_channel::bell::AT_REST;
use procession_process::link::{Frame, LinkError};

use super::chunk::{CallId, Chunk};
use super::lane::{Lane, Sentence, Ungiven};
use super::state::{Driver, State, Unseen};
use crate::error::TaskError;

/// Items known to take longer than this are never queued behind another one.
const SHORT: Duration = Duration::from_millis(10);

/// How long a worker may be on one item before what waits behind it is given to an idle one.
const PATIENCE: Duration = Duration::from_millis(1);

/// How long a worker shall be busy with what it is given, if items are known to be short: long enough that the parent need
/// not wake up for each chunk. It always gets at least one chunk to work on and one to go on with.
const BACKLOG: Duration = Duration::from_micros(400);

impl State {
    /// Gives what waits to workers that can take it.
    #[inline]
    pub(crate) fn dispatch(&mut self) {
        if self.queue.len() > 0 {
            self.dispatch_all();
        }
    }

    fn dispatch_all(&mut self) {
        while self.dispatch_next() {}
        if self.queue.len() > 0 && !self.staffing.dormant.is_empty() {
            self.wake_dormant();
        }
    }

    /// Gives the first chunk that waits to a worker, if one can take it.
    fn dispatch_next(&mut self) -> bool {
        let Some(chunk) = self.queue.peek() else { return false };
        let needs_kin = self.wants_kin && self.needs_kin(chunk);
        let is_ordinary = !needs_kin && !chunk.has_handles();
        let is_short = self.short_item(chunk.call).is_some();
        // For one chunk alone a look at all is cheaper than to sort them.
        let is_sorted = is_ordinary && self.queue.len() > 1;
        let first = if is_sorted { self.first_taker() } else { None };
        let first = first.filter(|taker| taker.is_idle() || is_short);
        let look = || self.queue.peek().and_then(|chunk| self.taker_of(chunk));
        let index = if is_sorted { first.map(|taker| taker.index) } else { look() };
        debug_assert_eq!(index, look(), "the heap knows what a look at all finds");
        let Some(index) = index else { return false };
        let Some(chunk) = self.queue.pop() else { return false };
        let chunk = self.within_quota(index, chunk);
        if self.give(index, chunk)
            && let Some(first) = first
        {
            self.has_taken(first);
        }
        true
    }

    /// A worker that has nothing to do, the one that finished last before all others; else one that can have a second chunk.
    fn taker_of(&self, chunk: &Chunk) -> Option<usize> {
        let needs_kin = self.wants_kin && self.needs_kin(chunk);
        let is_idle = |&index: &usize| {
            let lane = self.lanes[index].as_ref();
            let lane = lane.filter(|lane| lane.is_kin || !needs_kin);
            lane.is_some_and(|lane| lane.is_available() && lane.in_flight.is_empty())
        };
        if is_idle(&self.hot) {
            return Some(self.hot);
        }
        let idle = (0..self.lanes.len()).find(is_idle);
        // What has handles is never queued behind something else: it could not always be taken back from there.
        idle.or_else(|| {
            if needs_kin || chunk.has_handles() {
                return None;
            }
            self.short_item(chunk.call)?;
            let lanes = self.lanes.iter().enumerate();
            let open =
                lanes.filter_map(|(index, lane)| Some((self.load_of(lane.as_ref()?)?, index)));
            open.min().map(|(_, index)| index)
        })
    }

    /// How long an item of the call takes, if it is known to be short.
    fn short_item(&self, call: CallId) -> Option<Duration> {
        self.calls.get(&call)?.pace.item().filter(|&item| item <= SHORT)
    }

    /// How long the worker will be busy with what it has; nothing if it should not be given more.
    pub(super) fn load_of(&self, lane: &Lane) -> Option<Duration> {
        if !lane.is_available() || lane.has_outbox() || lane.is_slow {
            return None;
        }
        let first = lane.in_flight.front().filter(|chunk| !chunk.has_handles())?;
        let item = self.short_item(first.call)?;
        let items = u32::try_from(lane.items_in_flight()).unwrap_or(u32::MAX);
        let load = item.saturating_mul(items);
        (lane.in_flight.len() < 2 || load < BACKLOG).then_some(load)
    }

    /// Gives a chunk to a worker. Whether it has it; otherwise others may have changed, too.
    fn give(&mut self, index: usize, chunk: Chunk) -> bool {
        self.progress += 1;
        let parties = self.busy_seen() + 2;
        let call = self.calls.get(&chunk.call);
        let timed = call.is_some_and(|call| call.options.timeout.is_some());
        let context = call.and_then(|call| call.context.clone());
        let (driver, time_asked) = (self.driver, self.books.slowest.nanos_wanted());
        let Some(lane) = self.lane(index) else { return false };
        lane.link.set_parties(parties);
        lane.link.ask_for_time(time_asked);
        if driver.sleeps() {
            // The driver sleeps on this worker's bell, too, but has not asked it to ring.
            lane.link.announce(AT_REST, lane.halfway());
        }
        let (id, items) = (chunk.call, chunk.items_left());
        let given = lane.give(chunk, context.as_deref());
        let is_overlooked = driver == Driver::Asleep && lane.has_long_chunk();
        let must_look = timed || lane.has_outbox() || is_overlooked;
        let unseen = if must_look { Unseen::Alarm } else { Unseen::Work };
        self.unseen = self.unseen.max(unseen);
        let is_given = given.is_ok();
        match given {
            Ok(()) => {}
            Err(Ungiven::Corrupt(error)) => self.condemn(index, Sentence::Corrupt(error)),
            Err(Ungiven::Unsent(error)) => {
                // They may be those of the context, which each of the items needs.
                let reason: Arc<str> =
                    format!("its file descriptors cannot be sent: {error}").into();
                for item in items {
                    self.fail(id, item, TaskError::Encode { item, reason: Arc::clone(&reason) });
                }
            }
        }
        is_given
    }

    /// Kills a worker because of the item that it is on, unless it is done with that by now. An item on a thread goes on.
    pub(crate) fn stop(&mut self, index: usize, sentence: Sentence) {
        let Some(item) = self.lane(index).and_then(|lane| lane.current_item()) else { return };
        // First what waits behind the item is taken back: then no other item can be hit.
        if self.lane(index).is_some_and(|lane| lane.can_be_revoked()) {
            self.take_back(index, 1);
        }
        self.receive_from(index);
        let is_on_it = self.lane(index).is_some_and(|lane| lane.current_item() == Some(item));
        if is_on_it && !self.is_inline {
            self.condemn(index, sentence);
        }
    }

    /// Kills a worker for a reason. Its death is noticed and dealt with like any other.
    pub(crate) fn condemn(&mut self, index: usize, sentence: Sentence) {
        let Some(lane) = self.lane(index) else { return };
        if lane.sentence.is_none() {
            lane.sentence = Some(sentence);
            lane.sentenced = lane.current_item();
            lane.end();
        }
    }

    /// Gives idle workers what waits behind a slow item.
    pub(crate) fn rebalance(&mut self) {
        let idle = self.idle();
        if idle == 0 || self.queue.len() > 0 {
            return;
        }
        let slow = |lane: &Lane| lane.can_be_revoked() && lane.item_since.elapsed() >= PATIENCE;
        let found = (0..self.lanes.len()).find(|&i| self.lanes[i].as_ref().is_some_and(slow));
        if let Some(index) = found {
            self.take_back(index, idle);
            self.dispatch();
        }
    }

    /// When a worker runs out of patience, if an idle one could take over.
    pub(crate) fn rebalance_alarm(&self) -> Option<Instant> {
        if self.idle() == 0 || self.queue.len() > 0 {
            return None;
        }
        let loaded = self.lanes.iter().flatten().filter(|lane| lane.can_be_revoked());
        loaded.map(|lane| lane.item_since + PATIENCE).min()
    }

    fn idle(&self) -> usize {
        let idle = |lane: &&Lane| lane.is_available() && lane.in_flight.is_empty();
        self.lanes.iter().flatten().filter(idle).count()
    }

    /// Takes back what a worker has not begun, in pieces for `idle` others.
    pub(super) fn take_back(&mut self, index: usize, idle: usize) {
        let Some(lane) = self.lane(index) else { return };
        match lane.revoke() {
            Ok(taken) => self.requeue(taken, idle.max(1)),
            Err(error) => self.condemn(index, Sentence::Corrupt(error)),
        }
    }

    /// Puts chunks back in front of what waits, in their order, each cut into at most `pieces`.
    pub(crate) fn requeue(&mut self, chunks: Vec<Chunk>, pieces: usize) {
        let is_off = |chunk: &Chunk| self.calls.get(&chunk.call).is_none_or(|call| call.called_off);
        let (off, chunks): (Vec<_>, Vec<_>) = chunks.into_iter().partition(is_off);
        self.drop_chunks(off);
        for chunk in chunks.into_iter().rev() {
            let Some(call) = self.calls.get(&chunk.call) else { continue };
            let priority = call.options.priority;
            let (start, end) = (chunk.done, chunk.frame.count());
            let size = (end - start).div_ceil(pieces.max(1)).max(1);
            let cuts: Vec<usize> = (start..end).step_by(size).collect();
            for &cut in cuts.iter().rev() {
                self.queue.push_front(priority, chunk.part(cut..end.min(cut + size)));
            }
        }
    }

    /// Takes everything of a cancelled call back that no worker has begun.
    pub(crate) fn take_back_unstarted(&mut self, id: CallId) {
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lane(index) else { continue };
            let holds = lane.in_flight.iter().any(|chunk| chunk.call == id);
            if !holds || !lane.can_be_revoked() {
                continue;
            }
            match lane.revoke() {
                Ok(taken) => self.requeue(taken, 1),
                Err(error) => self.condemn(index, Sentence::Corrupt(error)),
            }
        }
    }

    /// Tells every worker that has the context of a call that it is not needed any more.
    pub(crate) fn forget_contexts(&mut self, id: CallId) {
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lane(index) else { continue };
            let Some(at) = lane.contexts.iter().position(|&call| call == id) else { continue };
            lane.contexts.swap_remove(at);
            let sent: Result<(), LinkError> = lane.send(&Arc::new(Frame::forget(id)));
            if let Err(error) = sent {
                self.condemn(index, Sentence::Corrupt(error));
            }
        }
    }
}
