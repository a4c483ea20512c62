//! Workers that share locks with this process, and for that are members of its family.
//!
//! A pool's workers are strangers as a rule: they map nothing of the family, and their deaths wake nobody. Only when a handle
//! that needs it is to be sent (an argument or a context with a `Shared` in it), or in a pool that trusts its workers, are
//! they invited. Each is sent its invitation once, in front of everything that needs it.

use std::sync::{Arc, MutexGuard};

use procession_process::link::Frame;
use procession_shm::family;

use super::Core;
use super::chunk::Chunk;
use super::lane::{Lane, Sentence, Ungiven};
use super::state::{State, Unseen};
use crate::error::{PoolError, TaskError};

impl Core {
    /// Invites the workers that have to be in the family and are not. The lock is free while the family's root is asked.
    pub(super) fn adopt_strangers<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        while let Some((index, id)) = state.next_stranger() {
            self.unlock(state);
            let invitation = family::invite();
            state = self.lock();
            match invitation {
                Ok(invitation) => state.invite(index, id, Frame::join(invitation)),
                Err(error) => state.give_up_on_kin(&error.to_string()),
            }
            state.unseen = Unseen::Alarm;
        }
        state
    }
}

/// The error of a pool whose initializer needs workers in the family, when there can be none.
pub(super) fn no_kin(why: &str) -> PoolError {
    let reason = format!("the worker cannot share locks with this process: {why}").into();
    PoolError::Init(Box::new(TaskError::Encode { item: 0, reason }))
}

impl Lane {
    /// Tells the worker how to get into the family.
    pub(super) fn be_kin(&mut self, frame: Frame) -> Result<(), Ungiven> {
        self.send_beside(&frame)?;
        self.send(&Arc::new(frame))?;
        self.is_kin = true;
        Ok(())
    }
}

impl State {
    /// Whether a worker must be in the family for this chunk.
    pub(super) fn needs_kin(&self, chunk: &Chunk) -> bool {
        self.calls.get(&chunk.call).is_some_and(|call| call.needs_kin(chunk))
    }

    fn next_stranger(&self) -> Option<(usize, u64)> {
        if !self.wants_kin || self.retiring {
            return None;
        }
        let lanes = self.lanes.iter().enumerate();
        let mut strangers = lanes.filter_map(|(index, lane)| {
            let lane = lane.as_ref().filter(|lane| !lane.is_kin && lane.sentence.is_none())?;
            Some((index, lane.id))
        });
        strangers.next()
    }

    fn invite(&mut self, index: usize, id: u64, frame: Frame) {
        // Another thread may have seen the same stranger, and was faster; the place that is too many is free again.
        let is_stranger = |lane: &&mut Lane| lane.id == id && !lane.is_kin;
        let Some(lane) = self.lane(index).filter(is_stranger) else { return };
        match lane.be_kin(frame) {
            Ok(()) => self.dispatch(),
            Err(Ungiven::Corrupt(error)) => self.condemn(index, Sentence::Corrupt(error)),
            Err(Ungiven::Unsent(error)) => self.give_up_on_kin(&error.to_string()),
        }
    }

    /// Nobody can be invited: what waits for a worker that is in the family ends. The next that comes may have more luck.
    fn give_up_on_kin(&mut self, why: &str) {
        self.wants_kin = false;
        let mut kept = Vec::new();
        while let Some(chunk) = self.queue.pop() {
            if !self.needs_kin(&chunk) {
                kept.push(chunk);
                continue;
            }
            for item in chunk.items_left() {
                let reason = format!("its worker cannot share locks with this process: {why}");
                self.fail(chunk.call, item, TaskError::Encode { item, reason: reason.into() });
            }
        }
        self.requeue(kept, 1);
    }
}
