//! Taking results from workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_process::answer::{self, Trouble};
use procession_process::link::{DESCRIPTORS_MAX, HELLO, LinkError, NoHandles, Received, SPENT};

use super::chunk::{Chunk, Delivery, Short};
use super::errand;
use super::lane::Sentence;
use super::results::Results;
use super::spares::Spares;
use super::state::State;
use crate::error::{Attempts, Panic, TaskError};
use crate::parcel::{Lost, Parcel};

impl State {
    /// Takes all that the worker at `index` has sent.
    pub(crate) fn receive_from(&mut self, index: usize) {
        while self.receive_some(index) {}
    }

    /// Takes a part of what the worker at `index` has sent, so that it can be decoded while it is in this processor's cache, in
    /// memory that is used again for the next part. Says whether there may be more.
    pub(crate) fn receive_some(&mut self, index: usize) -> bool {
        let Some(lane) = self.lane(index).filter(|lane| lane.is_credible()) else { return false };
        if let Err(error) = lane.pump() {
            self.condemn(index, Sentence::Corrupt(error));
            return false;
        }
        if !lane.link.has_results() {
            #[cfg(feature = "tracing")]
            if let Err(sentence) = self.hear(index) {
                self.condemn(index, sentence);
            }
            return false;
        }
        let done_before = lane.done;
        let has_more = match self.take_results(index) {
            Ok(has_more) => has_more,
            Err(sentence) => {
                self.condemn(index, sentence);
                return false;
            }
        };
        let Some(lane) = self.lane(index) else { return false };
        lane.link.release_much();
        if lane.done > done_before {
            let now = Instant::now();
            lane.made_progress(now);
            self.hot = index;
            self.observe_pace(index, now);
        }
        has_more
    }

    /// Takes one inbox of results, or long ones until there are none. Says whether there are more.
    fn take_results(&mut self, index: usize) -> Result<bool, Sentence> {
        loop {
            let Some(lane) = self.lane(index) else { return Ok(false) };
            let received = lane.link.receive(&mut lane.inbox).map_err(Sentence::Corrupt)?;
            #[cfg(feature = "tracing")]
            self.hear(index)?;
            match received {
                Received::Nothing | Received::Part => return Ok(false),
                Received::Bytes => {
                    self.sort_inbox(index)?;
                    return Ok(self.lane(index).is_some_and(|lane| lane.link.has_results()));
                }
                Received::Long(answer::OK, body) => {
                    self.accept_one(index, |item| Delivery::Single { item, body })?;
                }
                Received::Long(tag, body) => self.accept_other(index, tag, &body)?,
            }
        }
    }

    /// Deals with every whole result in the inbox. What is not whole yet stays there.
    fn sort_inbox(&mut self, index: usize) -> Result<(), Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(()) };
        let first = lane.link.whole_result(&lane.inbox, 0).map_err(Sentence::Corrupt)?;
        let Some(first) = first else { return Ok(()) };
        if first.tag == answer::OK
            && first.end == lane.inbox.len()
            && let Some(value) = Short::of(&lane.inbox[first.body])
        {
            lane.inbox.clear();
            return self.accept_one(index, |item| Delivery::Short { item, value });
        }
        let inbox = Arc::new(std::mem::take(&mut lane.inbox));
        let spare = self.spares.take();
        if let Some(lane) = self.lane(index) {
            lane.inbox = spare;
        }
        let mut at = 0;
        while self.accept_next(index, &inbox, &mut at)? {}
        if let Some(lane) = self.lane(index) {
            lane.inbox.extend_from_slice(&inbox[at..]);
        }
        Ok(())
    }

    /// Deals with the values at `at` in the inbox that belong to one chunk, or with one result that is no plain value; false
    /// when there is no whole one.
    fn accept_next(
        &mut self,
        index: usize,
        inbox: &Arc<Vec<u8>>,
        at: &mut usize,
    ) -> Result<bool, Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(false) };
        let start = *at;
        let count = lane.pass_values(inbox, at);
        if count > 0 {
            let (inbox, place) = (Arc::clone(inbox), start..*at);
            self.accept_values(index, count, |first| {
                Delivery::Results(Results::new(inbox, place, first, count))
            });
            return Ok(true);
        }
        let found = lane.link.whole_result(inbox, start).map_err(Sentence::Corrupt)?;
        let Some(other) = found else { return Ok(false) };
        *at = other.end;
        self.accept_other(index, other.tag, &inbox[other.body])?;
        Ok(true)
    }

    /// Deals with the value of one item.
    fn accept_one(
        &mut self,
        index: usize,
        delivery: impl FnOnce(usize) -> Delivery,
    ) -> Result<(), Sentence> {
        self.expect_value(index)?;
        self.accept_values(index, 1, delivery);
        Ok(())
    }

    fn expect_value(&mut self, index: usize) -> Result<(), Sentence> {
        let expected = self.lane(index).map_or(0, |lane| lane.values_expected());
        if expected == 0 { Err(Sentence::Nonsense) } else { Ok(()) }
    }

    /// The next `count` items of the first chunk in flight have values.
    fn accept_values(
        &mut self,
        index: usize,
        count: usize,
        delivery: impl FnOnce(usize) -> Delivery,
    ) {
        let Some(lane) = self.lane(index) else { return };
        let Some(chunk) = lane.in_flight.front_mut() else { return };
        let (call, first) = (chunk.call, chunk.next_item());
        chunk.done += count;
        let is_last = chunk.left() == 0;
        lane.settle(count);
        if is_last {
            self.finish_chunk(index);
        }
        if errand::is_one(call) {
            return self.errand_done(call, delivery(first));
        }
        self.deliver(call, delivery(first));
    }

    /// Deals with a result that is not the plain value of an item.
    fn accept_other(&mut self, index: usize, tag: u8, body: &[u8]) -> Result<(), Sentence> {
        let is_ready = self.lane(index).is_some_and(|lane| lane.ready);
        match tag {
            _ if !is_ready => self.welcome(index, tag),
            answer::OK_WITH_HANDLES => self.accept_handles(index, body),
            SPENT => self.accept_time(index, body),
            _ => self.accept_failure(index, tag, body),
        }
    }

    /// The worker says how long it took for the message whose last result comes next: once for each, and it cannot be longer than
    /// the worker has been there.
    #[cold]
    fn accept_time(&mut self, index: usize, nanos: &[u8]) -> Result<(), Sentence> {
        let Some(lane) = self.lanes[index].as_mut() else { return Ok(()) };
        let is_due = |chunk: &&Chunk| {
            chunk.left() > 0 && chunk.frame.message_of(chunk.done).end == chunk.done + 1
        };
        let chunk = lane.in_flight.front().filter(is_due).ok_or(Sentence::Nonsense)?;
        let place = Some((chunk.end, chunk.done));
        if lane.told_time_at == place {
            return Err(Sentence::Nonsense);
        }
        let nanos = nanos.try_into().map_err(|_| Sentence::Nonsense)?;
        lane.told_time_at = place;
        let spent = Duration::from_nanos(u64::from_le_bytes(nanos)).min(lane.hired.elapsed());
        if let Some(call) = self.calls.get(&chunk.call) {
            self.books.slowest.note(chunk, &call.options.about, spent, lane.child.pid());
        }
        Ok(())
    }

    /// Deals with a value whose descriptors came beside it.
    #[cold]
    fn accept_handles(&mut self, index: usize, body: &[u8]) -> Result<(), Sentence> {
        self.expect_value(index)?;
        let max = descriptors_max(self.lanes.len());
        let Some(lane) = self.lane(index) else { return Ok(()) };
        let handles = match lane.link.receive_handles() {
            Ok(descriptors) => {
                lane.budget.lease(descriptors.len(), max).map(|lease| (descriptors, lease))
            }
            Err(NoHandles::Missing) => return Err(Sentence::Corrupt(LinkError::Descriptors)),
            Err(NoHandles::NoRoom(why)) => return Err(Sentence::Corrupt(LinkError::NoRoom(why))),
            Err(lack) => Err(Lost::NotReceived(lack)),
        };
        let id = lane.in_flight.front().map(|chunk| chunk.call);
        if let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) {
            call.pace.note_handles();
        }
        let parcel = Parcel { body: body.to_vec(), handles };
        self.accept_values(index, 1, |item| Delivery::WithHandles { item, parcel });
        Ok(())
    }

    /// The worker says hello.
    fn welcome(&mut self, index: usize, result: u8) -> Result<(), Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(()) };
        if result != HELLO {
            return Err(Sentence::Nonsense);
        }
        lane.ready = true;
        let now = Instant::now();
        // What it was sent before it was there has not taken any of its time.
        (lane.ready_since, lane.chunk_since) = (Some(now), now);
        if lane.in_flight.is_empty() {
            self.staffing.failures = 0;
        }
        self.progress += 1;
        Ok(())
    }

    /// The item has no result but a reason: try again, or tell.
    fn accept_failure(&mut self, index: usize, tag: u8, reason: &[u8]) -> Result<(), Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(()) };
        let Some(chunk) = lane.in_flight.front_mut() else { return Err(Sentence::Nonsense) };
        let error = explain(tag, chunk.next_item(), reason).ok_or(Sentence::Nonsense)?;
        let retry = chunk.retry_of_next(error.clone());
        let (call, item, earlier) = (chunk.call, chunk.next_item(), chunk.attempts.clone());
        chunk.done += 1;
        let is_last = chunk.left() == 0;
        lane.settle(1);
        if is_last {
            self.finish_chunk(index);
        }
        if call == errand::SETUP {
            // It runs, and is of no use.
            self.condemn(index, Sentence::Unfit);
        }
        let is_retried = self.retry_or_fail(call, item, error, earlier, retry);
        if let Some(lane) = self.lane(index) {
            lane.retried += u64::from(is_retried);
        }
        Ok(())
    }

    /// Tries an item again if its call asks for it, else gives up on it. One that would be tried again, had its call not been
    /// called off, was cancelled: whoever did it may have come when its last try was lost already. Says whether it is tried again.
    pub(crate) fn retry_or_fail(
        &mut self,
        id: u64,
        item: usize,
        error: TaskError,
        earlier: Vec<TaskError>,
        retry: Chunk,
    ) -> bool {
        let Some(call) = self.calls.get(&id) else {
            self.errand_failed(id, error);
            return false;
        };
        let tries_left = earlier.len() < call.options.retries as usize && !retry.is_moved();
        let may_retry = tries_left && error.is_worth_a_retry();
        let is_retried = may_retry && !call.called_off;
        if is_retried {
            self.queue.push_front(call.options.priority, retry);
        } else if may_retry {
            self.fail(id, item, TaskError::Cancelled { item });
        } else {
            self.fail(id, item, error.with_attempts(earlier));
        }
        is_retried
    }

    fn finish_chunk(&mut self, index: usize) {
        let Some(lane) = self.lane(index) else { return };
        let Some(chunk) = lane.in_flight.pop_front() else { return };
        let (call, items) = (chunk.call, chunk.frame.count());
        match &mut lane.finished {
            Some((before, count)) if *before == call => *count += items,
            finished => {
                let has_other = finished.is_some();
                if has_other {
                    self.observe_pace(index, Instant::now());
                }
                if let Some(lane) = self.lane(index) {
                    lane.finished = Some((call, items));
                }
            }
        }
        if let Some(frame) = Arc::into_inner(chunk.frame) {
            let memory = frame.into_memory();
            if Spares::are_worth(&memory) {
                self.keep_memory(index, memory);
            }
        }
    }

    /// Keeps the memory of a message that is done for those that come.
    #[inline(never)]
    fn keep_memory(&mut self, index: usize, memory: Vec<u8>) {
        let left = match self.lane(index) {
            Some(lane) => lane.link.keep(memory),
            None => Some(memory),
        };
        if let Some(memory) = left {
            self.spares.keep(memory);
        }
    }

    /// Takes note of how long the chunks took that a worker has finished since the last time. A look at the clock for each of
    /// them would cost more than a short item.
    fn observe_pace(&mut self, index: usize, now: Instant) {
        let Some(lane) = self.lane(index) else { return };
        let Some((call, items)) = lane.finished.take() else { return };
        let elapsed = now - lane.chunk_since;
        lane.chunk_since = now;
        lane.book(call, elapsed);
        let worked = lane.worked(elapsed);
        if self.policy.max_memory_bytes.is_some() {
            self.weigh(index);
        }
        if let Some(call) = self.calls.get_mut(&call) {
            call.pace.observe(worked, items);
        }
    }
}

/// How many descriptors of results from one worker may wait to be taken: a worker cannot use up those of this process, and an
/// honest one can always have some results under way.
fn descriptors_max(workers: usize) -> usize {
    (procession_shm::limit::descriptor_share() / workers.max(1)).max(2 * DESCRIPTORS_MAX)
}

/// What a worker says went wrong with an item, or nothing if it makes no sense.
fn explain(result: u8, item: usize, bytes: &[u8]) -> Option<TaskError> {
    let attempts = Attempts::default();
    Some(match Trouble::read(result, bytes)? {
        Trouble::Failed(report) => TaskError::Failed { item, report, attempts },
        Trouble::Panicked((message, location, backtrace)) => {
            let panic = Arc::new(Panic { message, location, backtrace });
            TaskError::Panicked { item, panic, attempts }
        }
        Trouble::Decode(reason) => TaskError::Decode { item, reason: reason.into() },
        Trouble::Encode(reason) => TaskError::Encode { item, reason: reason.into() },
    })
}
