//! The thread that drives the pool while nobody waits: for submitted tasks, futures, and timeouts.
//!
//! A thread that waits for a result does it better, because the result need not change hands. So this one looks in once in a
//! while, takes over only when nothing has moved since, and stands back as soon as somebody waits.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procession_shm::Deadline;

use super::Core;
use super::call::Options;
use super::chunk::CallId;
use super::state::{Driver, State, until};
use crate::error::PoolError;

/// How often it looks in while there is something that somebody must see to.
const LOOK: Duration = Duration::from_millis(1);

/// How often it looks after a worker that is on its way out.
const LOOK_AT_LEAVERS: Duration = Duration::from_millis(20);

/// How many times it looks in with nothing to see to before it rests until it is called.
const LOOKS_BEFORE_REST: u32 = 50;

impl Core {
    /// Makes sure that somebody sees to tasks whose owners do not wait.
    pub(crate) fn ensure_background(self: &Arc<Self>) -> Result<(), PoolError> {
        let before = std::mem::replace(&mut self.lock().has_background, true);
        if before {
            return Ok(());
        }
        let core = Arc::clone(self);
        let name = format!("{}-pool", self.config.name);
        let started = thread::Builder::new().name(name).spawn(move || core.stand_by());
        started.map(drop).map_err(|error| {
            self.lock().has_background = false;
            PoolError::Thread(Arc::new(error))
        })
    }

    /// Begins a call that somebody sees to although its owner does not wait.
    pub(crate) fn open_attended(self: &Arc<Self>, options: Options) -> Result<CallId, PoolError> {
        Ok(self.lock_attended()?.open_call(options, None, true))
    }

    /// The state, with a thread there that sees to what is handed over although its owner does not wait. If it rests, it is called when
    /// the lock is given back and there is something for it.
    pub(crate) fn lock_attended(self: &Arc<Self>) -> Result<MutexGuard<'_, State>, PoolError> {
        let state = self.lock();
        if state.has_background {
            return Ok(state);
        }
        drop(state);
        self.ensure_background()?;
        Ok(self.lock())
    }

    /// A future waits: somebody must drive at once.
    pub(crate) fn rouse_background(&self) {
        self.duty.notify_all();
    }

    fn stand_by(self: &Arc<Self>) {
        let mut state = self.lock();
        let (mut idle_looks, mut progress) = (0, state.progress);
        while !state.retiring {
            idle_looks = if state.unattended > 0 { 0 } else { idle_looks + 1 };
            if idle_looks > LOOKS_BEFORE_REST {
                state = self.rest(state);
                idle_looks = 0;
            } else if self.is_needed(&state, progress) {
                state = self.stand_in(state);
            } else {
                progress = state.progress;
                let waited = self.duty.wait_timeout(state, LOOK);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Nobody drives, and nothing has moved since the last look.
    fn is_needed(&self, state: &State, progress: u64) -> bool {
        state.unattended > 0
            && state.driver == Driver::Nobody
            && (state.progress == progress || state.is_awaited)
    }

    /// Drives until somebody waits or there is nothing left to see to.
    fn stand_in<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.background_drives = true;
        state.is_awaited = false;
        self.unlock(state);
        self.wait_until(None, &Deadline::NEVER, |state| {
            let over = state.unattended == 0 || state.retiring || !state.parked.is_empty();
            over.then_some(())
        });
        let mut state = self.lock();
        state.background_drives = false;
        state
    }

    fn rest<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.background_rests = true;
        while state.background_rests && !state.retiring {
            state = match state.rest_alarm() {
                Some(alarm) => self.rest_until(state, alarm),
                None => self.duty.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.background_rests = false;
        state
    }

    /// Rests until it is called, or sends home who has been idle for too long.
    fn rest_until<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
        alarm: Instant,
    ) -> MutexGuard<'a, State> {
        let waited = self.duty.wait_timeout(state, until(alarm));
        let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if !result.timed_out() {
            return state;
        }
        let state = self.turn(state);
        self.unlock(state);
        self.lock()
    }
}

impl State {
    /// When something has to be looked at though nobody uses the pool: only where workers are let go that have nothing to do.
    fn rest_alarm(&self) -> Option<Instant> {
        self.policy.idle_timeout?;
        let leavers = self.has_leavers().then(|| Instant::now() + LOOK_AT_LEAVERS);
        self.idle_alarm().into_iter().chain(leavers).min()
    }
}
