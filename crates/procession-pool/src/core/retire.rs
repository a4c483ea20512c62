//! When workers come and go although nothing is wrong with them, and when too many die.

use std::any::TypeId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_process::Exit;
use procession_process::link::Frame;

use super::chunk::Chunk;
use super::lane::{Lane, Sentence};
use super::state::{State, Unseen};
use crate::error::PoolError;

/// How long workers may take to leave by themselves before they are killed.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// How long, if they have an exit hook to run.
const FAREWELL_WITH_HOOK: Duration = Duration::from_secs(60);

/// When workers come and go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// Any of the next three is set.
    pub(crate) lets_workers_go: bool,
    pub(crate) max_tasks: Option<u64>,
    pub(crate) max_memory_bytes: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    /// So many workers may die within so long.
    pub(crate) intensity: Option<(u32, Duration)>,
    pub(crate) exit_hook: Option<Arc<Frame>>,
    /// What the exit hook returns.
    pub(crate) exit_type: Option<TypeId>,
}

impl Policy {
    /// Workers stay as long as the pool.
    pub(crate) fn never_replace(&mut self) {
        (self.max_tasks, self.max_memory_bytes, self.idle_timeout) = (None, None, None);
        self.lets_workers_go = false;
    }

    /// How long a worker may take to leave.
    pub(super) fn farewell(&self) -> Duration {
        if self.exit_hook.is_some() { FAREWELL_WITH_HOOK } else { FAREWELL }
    }
}

impl State {
    /// Sends workers home that have done their share, have grown too large, or have had nothing to do for too long.
    pub(super) fn let_workers_go(&mut self) {
        if self.retiring {
            return;
        }
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes[index].as_ref() else { continue };
            if lane.is_bloated && lane.sentence.is_none() && lane.has_more_than_one() {
                self.take_back(index, 1);
            }
            let Some(lane) = self.lanes[index].as_ref() else { continue };
            let is_free = lane.ready && lane.sentence.is_none() && lane.in_flight.is_empty();
            let is_due =
                lane.is_spent() || self.idle_end(lane).is_some_and(|end| end <= Instant::now());
            if is_free && is_due {
                self.send_home(index);
            }
        }
        // What was taken back from one that is too large can go to others.
        self.dispatch();
    }

    /// Looks at the memory of a worker that has done something.
    pub(super) fn weigh(&mut self, index: usize) {
        let Some(max) = self.policy.max_memory_bytes else { return };
        let Some(lane) = self.lane(index) else { return };
        // A process that has just died has no memory to speak of.
        lane.is_bloated |= lane.child.memory_bytes().is_some_and(|bytes| bytes > max);
    }

    /// What a worker gets of a chunk: no more items than it may still be given. The rest waits on.
    pub(super) fn within_quota(&mut self, index: usize, chunk: Chunk) -> Chunk {
        let quota = self.lanes[index].as_ref().and_then(|lane| lane.quota);
        let quota = quota.map_or(usize::MAX, |quota| usize::try_from(quota).unwrap_or(usize::MAX));
        if chunk.left() <= quota {
            return chunk;
        }
        let cut = chunk.done + quota;
        if let Some(call) = self.calls.get(&chunk.call) {
            self.queue.push_front(call.options.priority, chunk.part(cut..chunk.frame.count()));
        }
        chunk.part(chunk.done..cut)
    }

    /// When a worker will have had nothing to do for too long.
    fn idle_end(&self, lane: &Lane) -> Option<Instant> {
        let is_idle = lane.is_available() && lane.in_flight.is_empty();
        lane.item_since.checked_add(self.policy.idle_timeout.filter(|_| is_idle)?)
    }

    /// When the first worker will have had nothing to do for too long.
    pub(super) fn idle_alarm(&self) -> Option<Instant> {
        self.policy.idle_timeout?;
        self.lanes.iter().flatten().filter_map(|lane| self.idle_end(lane)).min()
    }

    /// Whether a worker is on its way out.
    pub(super) fn has_leavers(&self) -> bool {
        self.lanes.iter().flatten().any(|lane| lane.leaving.is_some())
    }

    /// The place of a worker that has died: filled at once, unless the worker was let go because there was nothing to do.
    pub(super) fn leave_place(&mut self, index: usize, lane: &Lane) {
        let was_idle = lane.leaving.is_some() && !lane.is_spent();
        if was_idle && self.queue.len() == 0 {
            self.staffing.dormant.push(index);
        } else {
            self.staffing.vacancies.push(index);
        }
    }

    /// There is something to do again.
    pub(super) fn wake_dormant(&mut self) {
        let count = self.queue.len().min(self.staffing.dormant.len());
        let woken = self.staffing.dormant.split_off(self.staffing.dormant.len() - count);
        self.staffing.vacancies.extend(woken);
        self.unseen = Unseen::Alarm;
    }

    /// Counts a worker that died by itself; too many of them are the end of the pool.
    pub(super) fn count_death(&mut self, lane: &Lane, exit: Exit) {
        let Some((starts, within)) = self.policy.intensity else { return };
        let was_meant = lane.leaving.is_some()
            || matches!(lane.sentence, Some(Sentence::TimedOut(_) | Sentence::Cancelled));
        if was_meant || self.retiring || self.broken.is_some() {
            return;
        }
        let now = Instant::now();
        let deaths: &mut VecDeque<Instant> = &mut self.staffing.deaths;
        deaths.push_back(now);
        while deaths.front().is_some_and(|death| now - *death > within) {
            deaths.pop_front();
        }
        let died = u32::try_from(deaths.len()).unwrap_or(u32::MAX);
        if died > starts {
            let (pid, within) = (lane.child.pid(), Some(within));
            self.break_down(PoolError::TooManyRestarts { starts: died, within, pid, exit });
        }
    }
}
