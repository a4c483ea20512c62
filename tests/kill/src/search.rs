//! Finding a place again that an earlier walk has recorded.
//!
//! No two walks are the same: an allocator takes another way, a clock is read once more. So a place is not so many instructions
//! from the start, but the n-th time that its instruction comes up after the last change of the shared state, and that is
//! found again by the number of changes before. To look at the whole state after each instruction would be slow. It changes
//! where it has changed in the recorded walk, so only there, and after system calls, it is looked at.

use std::cmp::Ordering;

use crate::trace::{Changes, Point, Trace};

/// A place of a recorded walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) point: Point,
    pub(crate) walk: &'a Trace,
}

/// A walk to a place, or to the end where there is none.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    aim: Option<Aim<'a>>,
    changes: Changes,
    /// How often the instruction has come up since the last change.
    times: usize,
}

impl<'a> Search<'a> {
    /// Begins with what the state is at first, which is only asked for where there is something to be found.
    pub(crate) fn new(aim: Option<Aim<'a>>, state: impl FnOnce() -> u64) -> Self {
        let mut changes = Changes::default();
        if aim.is_some() {
            changes.look(state());
        }
        Self { aim, changes, times: 0 }
    }

    /// Whether to go no further than before the instruction at `position`: the place is here, or was passed by unseen.
    pub(crate) fn is_over(&mut self, position: u64) -> bool {
        let Some(Aim { point, .. }) = self.aim else { return false };
        self.times += usize::from(point.position == Some(position));
        let is_place = self.times == point.times && point.position == Some(position);
        let is_here = !point.is_asleep && (point.is_change || is_place);
        let is_behind = self.times > point.times;
        match self.changes.count().cmp(&point.changes) {
            Ordering::Less => false,
            Ordering::Equal => is_here || is_behind,
            Ordering::Greater => true,
        }
    }

    /// The same, in the sleep of the instruction that [`is_over`](Self::is_over) was asked about.
    pub(crate) fn is_over_asleep(&self, position: u64) -> bool {
        self.aim.is_some_and(|aim| self.is_at(aim.point, position, true))
    }

    /// The instruction at `position` is done.
    pub(crate) fn step(&mut self, position: u64, is_call: bool, state: impl FnOnce() -> u64) {
        let Some(Aim { walk, .. }) = self.aim else { return };
        if (is_call || walk.has_changed_at(position)) && self.changes.look(state()) {
            self.times = 0;
        }
    }

    /// Whether the walk has ended elsewhere than was meant: before another instruction, or in another state.
    pub(crate) fn has_drifted(
        mut self,
        position: u64,
        is_asleep: bool,
        state: impl FnOnce() -> u64,
    ) -> bool {
        let Some(Aim { point, .. }) = self.aim else { return false };
        self.changes.look(state());
        !self.is_at(point, position, is_asleep)
    }

    fn is_at(&self, point: Point, position: u64, is_asleep: bool) -> bool {
        is_asleep == point.is_asleep
            && self.changes.count() == point.changes
            && self.times == point.times
            && point.position.is_none_or(|at| at == position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Density;

    /// Where instructions lie, with the state after each.
    type Walk = [(u64, u64)];

    fn recorded(walk: &Walk) -> Trace {
        let mut trace = Trace::default();
        trace.begin(0);
        walk.iter().for_each(|(position, state)| trace.step(*position, false, *state));
        trace
    }

    /// Where a walk stops that looks for the place after `steps` instructions of `recording`, and whether that is another place.
    fn found(recording: &Walk, steps: usize, walk: &Walk) -> (usize, bool) {
        let trace = recorded(recording);
        let point = trace.points(Density { short: usize::MAX, sample: 0 })[steps];
        let mut search = Search::new(Some(Aim { point, walk: &trace }), || 0);
        let mut before = 0;
        for (steps, (position, state)) in walk.iter().enumerate() {
            if search.is_over(*position) {
                return (steps, search.has_drifted(*position, false, || before));
            }
            search.step(*position, false, || *state);
            before = *state;
        }
        (walk.len(), search.has_drifted(0, false, || before))
    }

    const LOOP: &Walk = &[(1, 0), (2, 0), (1, 7), (2, 7), (1, 7), (3, 8)];

    #[test]
    fn every_place_is_found_in_the_walk_itself() {
        for steps in 0..LOOP.len() {
            assert_eq!(found(LOOP, steps, LOOP), (steps, false));
        }
    }

    #[test]
    fn a_detour_before_moves_no_place() {
        let with_detour = [&[(9, 0), (8, 0)], LOOP].concat();
        for steps in 1..LOOP.len() {
            assert_eq!(found(LOOP, steps, &with_detour), (steps + 2, false));
        }
    }

    #[test]
    fn a_place_that_does_not_come_ends_with_the_state_and_is_another_one() {
        let without = [(1, 0), (9, 7), (5, 7), (1, 7), (3, 8), (4, 8)];
        assert_eq!(found(LOOP, 1, &without), (4, true), "seen with the next");
        let without = [(1, 7), (1, 7), (3, 8), (4, 8)];
        assert_eq!(found(LOOP, 1, &without), (1, true));
    }
}
