//! Hiring workers and letting them go.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use procession_process::link::{Frame, ParentLink};
use procession_process::{Exit, Launcher, Launching};
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Deadline, family};

use super::Core;
use super::death::Death;
use super::errand::{self, broken_start};
#[cfg(feature = "tracing")]
use super::hear;
use super::kin;
use super::lane::{Lane, Sentence};
use super::retire::FAREWELL;
use super::state::{State, Unseen};
use crate::error::{PoolError, TaskError};
use crate::worker;

/// Attempts in a row to start a process that the system may refuse.
const REFUSALS_MAX: u32 = 5;

/// A worker that is being started.
struct Ordered {
    id: u64,
    launching: Launching,
    link: ParentLink,
    #[cfg(feature = "tracing")]
    ear: crate::trace::Ear,
}

impl Core {
    /// Starts all workers. If one cannot be started, those that were are killed.
    pub(super) fn staff_up(self: &Arc<Self>) -> Result<(), PoolError> {
        if self.workers == 0 {
            return Err(PoolError::NoWorkers);
        }
        let (ordered, mut failure) = self.order_all();
        // As many as there are, and not as were asked for: that may be more than there is memory for.
        self.with(|state| state.lanes.resize_with(ordered.len(), || None));
        for (index, ordered) in ordered.into_iter().enumerate() {
            match self.welcome(ordered) {
                Ok(lane) => self.with(|state| state.install(index, lane)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) => {
                self.terminate();
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Has all workers started, up to the first that cannot be. The rings of one are made while the one before is being executed.
    fn order_all(self: &Arc<Self>) -> (Vec<Ordered>, Option<PoolError>) {
        let mut all = Vec::new();
        for index in 0..self.workers {
            match self.order(index) {
                Ok(ordered) => all.push(ordered),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    }

    /// Starts a worker for the place `index`.
    fn hire(self: &Arc<Self>, index: usize) -> Result<Lane, PoolError> {
        self.order(index).and_then(|ordered| self.welcome(ordered))
    }

    /// Has a worker started for the place `index`.
    fn order(self: &Arc<Self>, index: usize) -> Result<Ordered, PoolError> {
        let (link, fds) = ParentLink::new(self.config.ring_len, self.config.answer_len_max())?;
        #[cfg(feature = "tracing")]
        let (ear, fds) = hear::with_ear(fds)?;
        let id = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let core = Arc::downgrade(self);
        let mourn = move |exit: Exit| {
            if let Some(core) = core.upgrade() {
                core.mourn(Death { index, id, exit });
            }
        };
        let launcher = Launcher::new(worker::main)
            .name(&format!("{}-{index}", self.config.name))
            .payload(worker::payload(&self.config))
            .fds(fds)
            .stdin_null(true)
            .ignore_interrupt(true)
            .start_method(self.start_method)
            .limits(self.config.limits)
            .on_exit(mourn);
        let launcher = self.config.preload.into_iter().fold(launcher, Launcher::preload);
        let launcher = self.config.program.iter().fold(launcher, |launcher, (path, arguments)| {
            launcher.program(path).program_args(arguments)
        });
        let launcher = self.config.cgroup.iter().fold(launcher, Launcher::cgroup);
        #[cfg(feature = "sandbox")]
        let launcher = self.config.sandbox.iter().cloned().fold(launcher, Launcher::sandbox);
        Ok(Ordered {
            id,
            launching: launcher.begin()?,
            link,
            #[cfg(feature = "tracing")]
            ear,
        })
    }

    /// Takes a worker in that was ordered, as soon as it is there.
    fn welcome(&self, ordered: Ordered) -> Result<Lane, PoolError> {
        let child = ordered.launching.finish()?;
        #[cfg(feature = "tracing")]
        let mut lane = Lane::new(ordered.id, child, ordered.link, ordered.ear);
        #[cfg(not(feature = "tracing"))]
        let mut lane = Lane::new(ordered.id, child, ordered.link);
        lane.quota = self.config.policy.max_tasks;
        if let Err(error) = self.send_initializer(&mut lane) {
            // Nobody will ever send it anything. If it cannot be killed, it is dead already.
            let _ = lane.child.kill();
            return Err(error);
        }
        Ok(lane)
    }

    fn send_initializer(&self, lane: &mut Lane) -> Result<(), PoolError> {
        let Some(frame) = &self.config.initializer else { return Ok(()) };
        if frame.handles().needs_family() && !lane.is_kin {
            let invited = family::invite().map_err(|error| kin::no_kin(&error.to_string()))?;
            lane.be_kin(Frame::join(invited)).map_err(broken_start)?;
        }
        lane.run_errand(errand::SETUP, Arc::clone(frame)).map_err(broken_start)?;
        lane.link.ring();
        Ok(())
    }

    /// Fills the places of workers that died. The lock is free while a process is being started.
    fn fill_vacancies<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        while let Some(index) = state.next_vacancy() {
            self.unlock(state);
            let hired = self.hire(index);
            state = self.lock();
            // Somebody may have begun to drive meanwhile, and sleeps on the words of the workers that there were.
            state.unseen = Unseen::Alarm;
            match hired {
                Ok(lane) if state.hires_nobody() => drop(lane.child.kill()),
                Ok(lane) => state.install(index, lane),
                Err(error) => state.refused(index, error),
            }
        }
        state
    }

    /// Starts the workers that are missing and makes them what they have to be. The lock is free meanwhile.
    pub(super) fn see_to_staff<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let state = self.fill_vacancies(state);
        self.adopt_strangers(state)
    }

    /// Takes no more tasks.
    pub(crate) fn close(&self) {
        self.with(|state| state.closed = true);
    }

    /// Closes, waits until all is done, and lets the workers go.
    pub(crate) fn join(self: &Arc<Self>) {
        self.close();
        let over = |state: &mut State| (state.unfinished == 0).then_some(());
        self.wait_until(None, &Deadline::NEVER, over);
        self.dismiss(&Deadline::NEVER);
    }

    /// As [`join`](Self::join), but what is not done by the deadline is cancelled, exit hooks included. Says whether all was done.
    pub(crate) fn shutdown(self: &Arc<Self>, deadline: &Deadline) -> bool {
        self.close();
        let over = |state: &mut State| (state.unfinished == 0).then_some(());
        if self.wait_until(None, deadline, over).is_some() {
            return self.dismiss(deadline) || self.config.policy.exit_hook.is_none();
        }
        self.terminate();
        false
    }

    /// Cancels everything and kills the workers. Does not wait for any task.
    pub(crate) fn terminate(self: &Arc<Self>) {
        self.with(|state| {
            state.closed = true;
            state.retiring = true;
            state.fail_everything(|item| TaskError::Cancelled { item });
            for index in 0..state.lanes.len() {
                state.condemn(index, Sentence::Cancelled);
            }
        });
        self.see_off(&Deadline::after(FAREWELL));
    }

    /// Lets workers that have nothing to do go, and kills those that do not by the deadline, or within the time that is usual. Says
    /// whether all went by themselves.
    fn dismiss(self: &Arc<Self>, deadline: &Deadline) -> bool {
        self.with(|state| {
            state.retiring = true;
            for index in 0..state.lanes.len() {
                state.send_home(index);
            }
        });
        let gone = self.see_off(&deadline.min(Deadline::after(self.config.policy.farewell())));
        if !gone {
            self.terminate();
        }
        gone
    }

    /// Waits until no worker is left.
    fn see_off(self: &Arc<Self>, deadline: &Deadline) -> bool {
        let gone = |state: &mut State| {
            let gone = state.lanes.iter().all(Option::is_none);
            gone.then_some(())
        };
        let gone = self.wait_until(None, deadline, gone).is_some();
        self.duty.notify_all();
        gone
    }
}

impl State {
    /// Whether there is no use for a worker any more.
    pub(super) fn hires_nobody(&self) -> bool {
        self.broken.is_some() || self.retiring
    }

    /// A place to be filled now.
    fn next_vacancy(&mut self) -> Option<usize> {
        let idle = self.hires_nobody();
        let staffing = &mut self.staffing;
        let too_early = staffing.not_before.is_some_and(|instant| instant > Instant::now());
        if idle || too_early {
            return None;
        }
        staffing.not_before = None;
        staffing.vacancies.pop()
    }

    /// The system would not start a worker: try again a little later, but not for ever.
    fn refused(&mut self, index: usize, error: PoolError) {
        self.staffing.vacancies.push(index);
        self.staffing.refusals += 1;
        if self.staffing.refusals >= REFUSALS_MAX && self.lanes.iter().all(Option::is_none) {
            self.break_down(error);
        } else {
            self.delay_start();
        }
    }
}
