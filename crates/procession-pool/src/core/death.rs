//! Workers that end: what their death costs, and deadlines that bring it about.
//!
//! The reaper thread only writes the death down and rings the pool's own bell. Whoever drives the pool then takes every
//! result that the worker committed, gives the one item that it was on its reason, and puts the rest back into the queue.
//!
//! A deadline counts from when its item was first seen to have begun, and not from when it was given to the worker: that may still be
//! asleep, or in the middle of a long argument. So it is looked at soon, and until it has, whether it has; which makes a deadline up to
//! one such interval late, and never early. Rejected: to have the worker write down when it begins. That would be a look at its clock
//! for each item, and nothing to rely on.

use std::time::{Duration, Instant};

use procession_process::Exit;

use super::chunk::Chunk;
use super::errand;
use super::lane::{Lane, Seen, Sentence};
use super::state::{State, Unseen};
use crate::error::{Attempts, PoolError, TaskError};

/// Workers in a row that may die before they are ready.
pub(super) const FAILED_STARTS_MAX: u32 = 4;

/// Workers in a row that may die with the same item first in line and not begun, before the item is held responsible: it may be
/// what kills them while they take it in.
const BEREAVEMENTS_MAX: u32 = 3;

/// How long a worker may take to get ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// In what part of its timeout it is looked at whether an item has begun, with these bounds.
const LOOKS_IN_TIMEOUT: u32 = 16;
const LOOK_MIN: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(10);

/// How long a worker may have an item with a timeout, an argument that comes in many parts included, and not begin it. It is most
/// probably stopped, and the item is given to another.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);

/// A worker's death, as the reaper wrote it down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) index: usize,
    pub(crate) id: u64,
    pub(crate) exit: Exit,
}

impl State {
    /// Deals with a death.
    pub(crate) fn bury(&mut self, death: Death) {
        if self.lane(death.index).is_none_or(|lane| lane.id != death.id) {
            return self.staffing.early_deaths.push(death);
        }
        self.progress += 1;
        // Whoever drives may wait for just this.
        self.unseen = Unseen::Alarm;
        #[cfg(feature = "tracing")]
        if let Err(sentence) = self.listen(death.index) {
            self.condemn(death.index, sentence);
        }
        self.receive_from(death.index);
        self.takers.are_stale();
        let Some(mut lane) = self.lanes[death.index].take() else { return };
        if !self.retiring {
            self.leave_place(death.index, &lane);
        }
        self.write_down(death.index, &lane, death.exit);
        self.settle_in_flight(death.index, &mut lane, death.exit);
        if !lane.ready && !self.retiring {
            self.count_failed_start(lane.child.pid(), death.exit);
        }
        self.count_death(&lane, death.exit);
    }

    /// Gives a place to a worker, which may have died meanwhile.
    pub(crate) fn install(&mut self, index: usize, lane: Lane) {
        let id = lane.id;
        self.lanes[index] = Some(lane);
        self.takers.are_stale();
        self.staffing.refusals = 0;
        let early = &mut self.staffing.early_deaths;
        if let Some(at) = early.iter().position(|death| death.id == id) {
            let death = early.swap_remove(at);
            self.bury(death);
        }
    }

    /// The item it was on gets its reason; what it had not begun goes back.
    fn settle_in_flight(&mut self, index: usize, lane: &mut Lane, exit: Exit) {
        // The word of a worker that has written nonsense is not taken for it: what it was on may have run.
        let has_begun = lane.begun() > 0 || !lane.is_credible();
        let mut chunks = std::mem::take(&mut lane.in_flight);
        if !has_begun {
            // Each worker has errands of its own.
            chunks.retain(|chunk| !errand::is_one(chunk.call));
        }
        let is_victim = |chunk: &mut Chunk| {
            chunk.bereaved += u32::from(!has_begun);
            has_begun
                || chunk.bereaved > BEREAVEMENTS_MAX
                || chunk.is_moved() && !lane.salvage(chunk)
        };
        let victim =
            if chunks.front_mut().is_some_and(is_victim) { chunks.pop_front() } else { None };
        let rest = victim.as_ref().filter(|chunk| chunk.left() > 1);
        let rest = rest.map(|chunk| chunk.part(chunk.done + 1..chunk.frame.count()));
        self.requeue(rest.into_iter().chain(chunks).collect(), 1);
        if let Some(chunk) = victim {
            self.blame(index, &chunk, reason(lane, &chunk, exit));
        }
    }

    /// The first unfinished item of `chunk` ended with `error`, and with the worker that was in this place.
    fn blame(&mut self, index: usize, chunk: &Chunk, error: TaskError) {
        let retry = chunk.retry_of_next(error.clone());
        let (item, earlier) = (chunk.next_item(), chunk.attempts.clone());
        let is_retried = self.retry_or_fail(chunk.call, item, error, earlier, retry);
        if !is_retried && !errand::is_one(chunk.call) {
            self.write_down_victim(index);
        }
    }

    /// A worker died before it was ready. After some in a row there is no point in going on.
    fn count_failed_start(&mut self, pid: u32, exit: Exit) {
        self.staffing.failures += 1;
        let starts = self.staffing.failures;
        if starts >= FAILED_STARTS_MAX {
            let within = None;
            return self.break_down(PoolError::TooManyRestarts { starts, within, pid, exit });
        }
        self.delay_start();
    }

    /// Waits a little longer before each start that follows a failed one.
    pub(crate) fn delay_start(&mut self) {
        let in_vain = self.staffing.failures + self.staffing.refusals;
        let delay = Duration::from_millis(1 << (2 * in_vain.min(5)));
        self.staffing.not_before = Some(Instant::now() + delay);
    }

    /// Kills workers that are over their time.
    pub(crate) fn enforce_timeouts(&mut self) {
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes[index].as_ref() else { continue };
            let Some(alarm) = self.alarm_of(lane) else { continue };
            if alarm <= Instant::now() {
                match self.timeout_of(lane) {
                    _ if lane.leaving.is_some() => self.condemn(index, Sentence::Lingering),
                    Some(_) if self.is_spared(index) => {}
                    Some(after) => self.stop(index, Sentence::TimedOut(after)),
                    None => self.condemn(index, Sentence::NeverReady),
                }
            }
        }
    }

    /// Whether the time of the item counts only from now on: it had not been seen to have begun.
    fn is_spared(&mut self, index: usize) -> bool {
        let Some(lane) = self.lane(index).filter(|lane| !lane.seen.has_begun) else { return false };
        let has_begun = lane.begun() > 0;
        lane.seen = Seen { at: Instant::now(), has_begun };
        has_begun || lane.item_since.elapsed() < BEGIN_TIMEOUT
    }

    /// When the worker will be over its time, if nothing happens, or has to be looked at.
    pub(crate) fn alarm_of(&self, lane: &Lane) -> Option<Instant> {
        if lane.sentence.is_some() || self.is_inline {
            return None;
        }
        if let Some(since) = lane.leaving {
            return Some(since + self.policy.farewell());
        }
        if !lane.ready {
            return Some(lane.hired + START_TIMEOUT);
        }
        let timeout = self.timeout_of(lane)?;
        let look = (timeout / LOOKS_IN_TIMEOUT).clamp(LOOK_MIN, LOOK_MAX);
        lane.seen.at.checked_add(if lane.seen.has_begun { timeout } else { look })
    }

    /// The timeout of the item that the worker is on.
    fn timeout_of(&self, lane: &Lane) -> Option<Duration> {
        let chunk = lane.in_flight.front()?;
        self.calls.get(&chunk.call)?.options.timeout
    }
}

fn reason(lane: &Lane, chunk: &Chunk, exit: Exit) -> TaskError {
    let (item, pid, attempts) = (chunk.next_item(), lane.child.pid(), Attempts::default());
    let is_meant = lane.sentenced == Some((chunk.call, item));
    match lane.sentence {
        Some(Sentence::TimedOut(after)) if is_meant => {
            TaskError::TimedOut { item, pid, after, attempts }
        }
        Some(Sentence::Cancelled) if is_meant => TaskError::Cancelled { item },
        Some(Sentence::Lingering) if is_meant => {
            let after = lane.leaving.map_or(Duration::ZERO, |since| since.elapsed());
            TaskError::TimedOut { item, pid, after, attempts }
        }
        Some(Sentence::Corrupt(error)) => {
            TaskError::Corrupt { item, pid, reason: error.to_string().into(), attempts }
        }
        Some(Sentence::Nonsense) => {
            let reason = "it sent what no worker sends".into();
            TaskError::Corrupt { item, pid, reason, attempts }
        }
        _ => TaskError::Died { item, pid, exit, attempts },
    }
}
