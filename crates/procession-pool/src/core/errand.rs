//! What a worker is to run besides items: the initializer before all of them, the exit hook after the last one.
//!
//! An errand goes to the worker like an item, as a chunk of a call that nobody has made, so that its death, its panic and its
//! result are told apart as those of an item are. It belongs to its worker: no other one ever gets it.

use std::sync::Arc;
use std::time::Instant;

use procession_process::link::Frame;

use super::chunk::{CallId, Chunk, Delivery};
use super::death::FAILED_STARTS_MAX;
use super::lane::{Lane, Sentence, Ungiven};
use super::state::State;
use crate::error::{PoolError, TaskError};

/// The call of the initializer.
pub(crate) const SETUP: CallId = CallId::MAX - 1;

/// The call of the exit hook.
pub(crate) const FAREWELL: CallId = CallId::MAX - 2;

/// Whether nobody has made this call.
#[inline]
pub(crate) fn is_one(call: CallId) -> bool {
    call >= FAREWELL
}

/// The error of a pool whose initializer cannot be sent to a worker that was just started.
pub(super) fn broken_start(why: Ungiven) -> PoolError {
    let reason = match why {
        Ungiven::Corrupt(error) => error.to_string(),
        Ungiven::Unsent(error) => error.to_string(),
    };
    PoolError::Init(Box::new(TaskError::Encode { item: 0, reason: reason.into() }))
}

impl Lane {
    /// Sends the worker on an errand.
    pub(super) fn run_errand(&mut self, call: CallId, frame: Arc<Frame>) -> Result<(), Ungiven> {
        if call == SETUP {
            self.initializing = None;
        }
        self.give(Chunk::of_errand(call, frame), None)
    }
}

impl State {
    /// An errand has a result.
    pub(super) fn errand_done(&mut self, call: CallId, delivery: Delivery) {
        self.progress += 1;
        if call == SETUP {
            self.staffing.failures = 0;
        } else {
            self.exit_values.push(delivery);
        }
    }

    /// An errand has none. After some failed initializers in a row there is no point in going on.
    pub(super) fn errand_failed(&mut self, call: CallId, error: TaskError) {
        match call {
            SETUP if self.retiring || self.broken.is_some() => {}
            SETUP => {
                self.staffing.failures += 1;
                if self.staffing.failures >= FAILED_STARTS_MAX {
                    return self.break_down(PoolError::Init(Box::new(error)));
                }
                self.delay_start();
            }
            FAREWELL => self.exit_values.push(Delivery::Failed { item: 0, error }),
            _ => {}
        }
    }

    /// Tells a worker that has nothing to do to leave, and before that to run the exit hook.
    pub(super) fn send_home(&mut self, index: usize) {
        let hook = self.policy.exit_hook.clone();
        let Some(lane) = self.lane(index).filter(|lane| lane.leaving.is_none()) else { return };
        lane.leaving = Some(Instant::now());
        let hook = hook.map_or(Ok(()), |hook| lane.run_errand(FAREWELL, hook));
        let sent = hook.and_then(|()| Ok(lane.send(&Arc::new(Frame::quit()))?));
        match sent {
            Ok(()) => {}
            Err(Ungiven::Corrupt(error)) => self.condemn(index, Sentence::Corrupt(error)),
            Err(Ungiven::Unsent(_)) => self.condemn(index, Sentence::Lingering),
        }
    }
}
