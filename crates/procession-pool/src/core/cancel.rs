//! Cancelling tasks, and asking after them.

use super::call::Consumer;
use super::chunk::{CallId, Chunk, Delivery};
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
        if !std::mem::replace(&mut call.called_off, true) && call.unfinished > 0 {
            self.called_off.push(id);
        }
        let waiting = self.queue.remove_call(id);
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

    /// Whether the outcome of a call of `items` items is known, of which `fetched` have been fetched.
    pub(crate) fn has_outcome(&self, id: CallId, fetched: usize, items: usize) -> bool {
        let Some(call) = self.calls.get(&id) else { return true };
        let arrived: usize = call.deliveries.iter().map(Delivery::count).sum();
        fetched + arrived >= items || self.has_failure(id)
    }

    /// Whether an item of a call has failed for good, and nobody has fetched that yet.
    pub(crate) fn has_failure(&self, id: CallId) -> bool {
        let call = self.calls.get(&id);
        call.is_some_and(|call| call.deliveries.iter().any(Delivery::is_failure))
    }

    /// Whether a worker is on an item of this call.
    pub(crate) fn is_running(&self, id: CallId) -> bool {
        self.lanes.iter().flatten().any(|lane| {
            lane.begun() > 0 && lane.in_flight.front().is_some_and(|chunk| chunk.call == id)
        })
    }
}
