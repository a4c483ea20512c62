//! Cancelling tasks, and asking after them.

use std::sync::Arc;
use std::task::Waker;

use super::call::Consumer;
use super::chunk::{CallId, Chunk};
use super::lane::Sentence;
use super::state::State;
use crate::error::TaskError;

impl State {
    /// Ends all unfinished items of a call as cancelled; kills workers that are on one. Says whether there were any.
    pub(crate) fn cancel_items(&mut self, id: CallId) -> bool {
        let unfinished = |state: &Self| state.calls.get(&id).map_or(0, |call| call.unfinished);
        for index in 0..self.lanes.len() {
            self.receive_from(index);
        }
        let before = unfinished(self);
        if before == 0 {
            return false;
        }
        self.call_off(id);
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lane(index) else { continue };
            if lane.in_flight.front().is_some_and(|chunk| chunk.call == id) {
                self.stop(index, Sentence::Cancelled);
            }
        }
        self.dispatch();
        !self.is_inline || unfinished(self) < before
    }

    /// From now on no item of the call is begun.
    pub(crate) fn call_off(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let unfinished = call.unfinished;
        if !std::mem::replace(&mut call.called_off, true) && unfinished > 0 {
            self.called_off.push(id);
        }
        if unfinished == 0 {
            return;
        }
        let waiting = self.queue.remove_call(id, unfinished);
        self.drop_chunks(waiting);
        self.take_back_called_off();
    }

    /// Takes back what workers hold of calls that were called off. A worker from which nothing can be taken back at the moment
    /// is asked again as soon as something moves.
    pub(crate) fn take_back_called_off(&mut self) {
        for id in std::mem::take(&mut self.called_off) {
            self.take_back_unstarted(id);
            if self.calls.get(&id).is_some_and(|call| call.unfinished > 0) {
                self.called_off.push(id);
            }
        }
    }

    /// Ends all items of these chunks as cancelled.
    pub(crate) fn drop_chunks(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            for item in chunk.items_left() {
                self.fail(chunk.call, item, TaskError::Cancelled { item });
            }
        }
    }

    /// Registers who is told when outcomes arrive.
    pub(crate) fn await_call(&mut self, id: CallId, consumer: Consumer) {
        self.is_awaited = true;
        self.set_consumer(id, consumer);
    }

    /// Registers somebody who is told as well, as long as he keeps the waker.
    pub(crate) fn watch_call(&mut self, id: CallId, waker: &Arc<Waker>) {
        self.is_awaited = true;
        if let Some(call) = self.calls.get_mut(&id) {
            call.tell_too(waker);
        }
    }

    /// Whether the outcome of a call is known, all of whose items have been submitted.
    pub(crate) fn has_outcome(&self, id: CallId) -> bool {
        self.calls.get(&id).is_none_or(|call| call.unfinished == 0 || call.has_failed)
    }

    /// Whether an item of a call has failed for good.
    pub(crate) fn has_failure(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| call.has_failed)
    }

    /// Whether a worker is on an item of this call.
    pub(crate) fn is_running(&self, id: CallId) -> bool {
        self.lanes.iter().flatten().any(|lane| {
            lane.begun() > 0 && lane.in_flight.front().is_some_and(|chunk| chunk.call == id)
        })
    }
}
