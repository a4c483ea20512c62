//! Taking results from workers.

use std::sync::Arc;
use std::time::Instant;

use procession_process::answer::{self, Trouble};
use procession_process::link::{HELLO, RESULT_HEAD_LEN, Received};

use super::chunk::Delivery;
use super::lane::Sentence;
use super::state::State;
use crate::error::{Attempts, Panic, TaskError};

impl State {
    /// Takes what the worker at `index` has sent.
    pub(crate) fn receive_from(&mut self, index: usize) {
        let Some(lane) = self.lane(index).filter(|lane| lane.is_credible()) else { return };
        if let Err(error) = lane.pump() {
            return self.condemn(index, Sentence::Corrupt(error));
        }
        if !lane.link.has_results() {
            return;
        }
        let done_before = lane.done;
        let taken = self.take_results(index);
        self.flush(index);
        if let Err(sentence) = taken {
            return self.condemn(index, sentence);
        }
        let Some(lane) = self.lane(index) else { return };
        lane.link.release();
        if lane.done > done_before {
            lane.made_progress();
            self.hot = index;
        }
    }

    fn take_results(&mut self, index: usize) -> Result<(), Sentence> {
        loop {
            let Some(lane) = self.lane(index) else { return Ok(()) };
            match lane.link.receive(&mut lane.inbox).map_err(Sentence::Corrupt)? {
                Received::Nothing | Received::Part => return Ok(()),
                Received::Result(tag) => self.accept(index, tag)?,
            }
        }
    }

    /// Deals with one complete result, whose bytes are the last in the inbox.
    fn accept(&mut self, index: usize, result: u8) -> Result<(), Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(()) };
        if !lane.ready {
            return self.welcome(index, result);
        }
        let Some(chunk) = lane.in_flight.front_mut() else { return Err(Sentence::Nonsense) };
        if result == answer::OK {
            chunk.done += 1;
            let is_last = chunk.left() == 0;
            lane.settle_one();
            lane.inbox_count += 1;
            lane.inbox_whole = lane.inbox.len();
            if is_last {
                self.finish_chunk(index);
            }
            return Ok(());
        }
        self.accept_failure(index, result)
    }

    /// The worker says hello.
    fn welcome(&mut self, index: usize, result: u8) -> Result<(), Sentence> {
        let Some(lane) = self.lane(index) else { return Ok(()) };
        if result != HELLO {
            return Err(Sentence::Nonsense);
        }
        lane.ready = true;
        lane.inbox.clear();
        self.staffing.failures = 0;
        self.progress += 1;
        Ok(())
    }

    /// The item has no result but a reason: try again, or tell.
    fn accept_failure(&mut self, index: usize, result: u8) -> Result<(), Sentence> {
        let failure = self.cut_failure(index);
        self.flush(index);
        let Some(lane) = self.lane(index) else { return Ok(()) };
        let Some(chunk) = lane.in_flight.front_mut() else { return Ok(()) };
        let error = explain(result, chunk.next_item(), &failure).ok_or(Sentence::Nonsense)?;
        let retry = chunk.retry_of_next(error.clone());
        let (call, item, earlier) = (chunk.call, chunk.next_item(), chunk.attempts.clone());
        chunk.done += 1;
        let is_last = chunk.left() == 0;
        lane.settle_one();
        if is_last {
            self.finish_chunk(index);
        }
        self.retry_or_fail(call, item, error, earlier, retry);
        Ok(())
    }

    /// Tries an item again if its call asks for it, else gives up on it.
    pub(crate) fn retry_or_fail(
        &mut self,
        id: u64,
        item: usize,
        error: TaskError,
        earlier: Vec<TaskError>,
        retry: super::chunk::Chunk,
    ) {
        let Some(call) = self.calls.get(&id) else { return };
        let tries_left = !call.called_off && earlier.len() < call.options.retries as usize;
        if tries_left && error.is_worth_a_retry() {
            self.queue.push_front(call.options.priority, retry);
        } else {
            self.fail(id, item, error.with_attempts(earlier));
        }
    }

    /// Removes the last result from the inbox and returns its bytes without the head.
    fn cut_failure(&mut self, index: usize) -> Vec<u8> {
        let Some(lane) = self.lane(index) else { return Vec::new() };
        lane.inbox.split_off(lane.inbox_whole).split_off(RESULT_HEAD_LEN)
    }

    fn finish_chunk(&mut self, index: usize) {
        self.flush(index);
        let Some(lane) = self.lane(index) else { return };
        let Some(chunk) = lane.in_flight.pop_front() else { return };
        let now = Instant::now();
        let elapsed = now - lane.chunk_since;
        lane.chunk_since = now;
        if let Some(call) = self.calls.get_mut(&chunk.call) {
            call.pace.observe(elapsed, chunk.frame.count());
        }
    }

    /// Delivers the results in the inbox. They are the last ones of the first chunk in flight.
    fn flush(&mut self, index: usize) {
        let Some(lane) = self.lane(index) else { return };
        let count = std::mem::take(&mut lane.inbox_count);
        let Some(chunk) = lane.in_flight.front().filter(|_| count > 0) else { return };
        let (call, first) = (chunk.call, chunk.next_item() - count);
        let partial = lane.inbox.split_off(std::mem::take(&mut lane.inbox_whole));
        let bytes = std::mem::replace(&mut lane.inbox, partial);
        self.deliver(call, Delivery::Results { first, count, bytes });
    }
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
