//! The books of a pool: what [`Insights`] is made of.
//!
//! Nothing is counted for each item: a worker's lane knows what it was given and what came back, and the clock is read where
//! the pool reads it anyway, when what travelled together is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_process::{Child, Exit, Usage};

use super::Core;
use super::lane::{Lane, Sentence};
use super::state::State;
use crate::insights::{Cause, Insights, Share, Slow, Slowest};

/// What is known of workers that have ended, and of slow items.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By place.
    ended: Vec<Share>,
    deaths: Vec<(Cause, u64)>,
    pub(super) slowest: Slowest,
}

impl State {
    /// A worker has ended: what it has done is written down.
    pub(super) fn write_down(&mut self, index: usize, lane: &Lane, exit: Exit) {
        let books = &mut self.books;
        books.ended.resize_with(books.ended.len().max(index + 1), Share::default);
        let mut share = lane.share(Instant::now());
        if let Some(usage) = lane.child.usage() {
            share.add(&used(usage));
        }
        books.ended[index].add(&share);
        if let Some(cause) = cause(lane, exit) {
            match books.deaths.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, count)) => *count += 1,
                None => books.deaths.push((cause, 1)),
            }
        }
    }

    /// The worker of this place, of which all else is written down, has taken an item with it.
    pub(super) fn write_down_victim(&mut self, index: usize) {
        if let Some(share) = self.books.ended.get_mut(index) {
            share.tasks += 1;
        }
    }

    /// What is known of each place, and who works there now.
    fn places(&self) -> (Vec<Share>, Vec<(usize, Arc<Child>)>) {
        let (now, mut living) = (Instant::now(), Vec::new());
        let mut workers = self.books.ended.clone();
        workers.resize_with(self.lanes.len(), Share::default);
        for (index, lane) in self.lanes.iter().enumerate() {
            let Some(lane) = lane else { continue };
            workers[index].add(&lane.share(now));
            workers[index].pid = Some(lane.child.pid());
            living.push((index, Arc::clone(&lane.child)));
        }
        (workers, living)
    }
}

impl Core {
    /// Everything that is known by now. What takes longer is done without the lock: files of workers that live are read, and
    /// arguments described.
    pub(crate) fn insights(&self) -> Insights {
        let ((mut workers, living), deaths, slowest) = self.with(|state| {
            (state.places(), state.books.deaths.clone(), state.books.slowest.items())
        });
        for (index, child) in living {
            if let Some(usage) = child.usage_so_far() {
                workers[index].add(&used(usage));
            }
        }
        let mut total = Share::default();
        workers.iter().for_each(|share| total.add(share));
        Insights { workers, total, deaths, slowest: slowest.into_iter().map(Slow::told).collect() }
    }
}

/// What the system says of a worker.
fn used(usage: Usage) -> Share {
    let Usage { user_cpu, system_cpu, peak_memory_bytes, .. } = usage;
    Share { user_cpu, system_cpu, peak_memory_bytes, ..Share::default() }
}

impl Lane {
    /// What it has done until `now`.
    fn share(&self, now: Instant) -> Share {
        let ready = self.ready_since.unwrap_or(now);
        let leaving = self.leaving.unwrap_or(now);
        let busy = self.in_flight.front().filter(|_| self.ready && self.leaving.is_none());
        let on_it =
            busy.map_or(Duration::ZERO, |_| now.saturating_duration_since(self.chunk_since));
        let known_of_life = leaving.saturating_duration_since(ready);
        let working =
            self.working + if self.initializing.is_some() { on_it } else { Duration::ZERO };
        let initializing = self.initializing.unwrap_or(on_it);
        Share {
            pid: None,
            tasks: self.done - self.errands_done - self.retried,
            starts: 1,
            starting: ready.saturating_duration_since(self.hired),
            initializing,
            working,
            waiting: known_of_life.saturating_sub(working + initializing),
            exiting: now.saturating_duration_since(leaving),
            bytes_in: self.promised(),
            bytes_out: self.link.received(),
            ..Share::default()
        }
    }
}

/// Why a worker has ended; nothing if it was let go and went.
fn cause(lane: &Lane, exit: Exit) -> Option<Cause> {
    Some(match lane.sentence {
        None if lane.leaving.is_some() && exit == Exit::Code(0) => return None,
        None => Cause::Exit(exit),
        Some(Sentence::TimedOut(_)) => Cause::TimedOut,
        Some(Sentence::Cancelled) => Cause::Cancelled,
        Some(Sentence::Corrupt(_) | Sentence::Nonsense) => Cause::Corrupt,
        Some(Sentence::NeverReady | Sentence::Unfit) => Cause::Unfit,
        Some(Sentence::Lingering) => Cause::Lingering,
    })
}
