//! What one walk through the whole operation has shown, and where to kill.

use std::collections::{BTreeSet, HashSet};

use crate::options::Density;

/// A place at which the victim can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    /// After so many instructions.
    pub(crate) steps: usize,
    /// In the middle of the instruction after these, a system call in which it sleeps.
    pub(crate) is_asleep: bool,
    /// After so many changes of the shared state, if it is found again by these and not by the instructions: another walk may have
    /// some more or fewer of them, in an allocator for one.
    pub(crate) change: Option<usize>,
}

impl Point {
    fn awake(steps: usize) -> Self {
        Self { steps, is_asleep: false, change: None }
    }

    /// Whether who has done so many instructions, and has seen so many changes, is there.
    pub(crate) fn is_at(&self, steps: usize, changes: usize, is_asleep: bool) -> bool {
        is_asleep == self.is_asleep
            && self.change.map_or(steps == self.steps, |change| changes == change)
    }
}

/// Counts the changes of a state.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    last: Option<u64>,
    count: usize,
}

impl Changes {
    /// Whether it has changed since the last look. The first look counts as none.
    pub(crate) fn look(&mut self, state: u64) -> bool {
        let before = self.last.replace(state);
        let has_changed = before.is_some_and(|before| before != state);
        self.count += usize::from(has_changed);
        has_changed
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

/// A record of all instructions of an operation.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Where each instruction lay.
    positions: Vec<u64>,
    /// After how many instructions something has changed.
    changes: BTreeSet<Point>,
    /// After how many each state was seen first.
    firsts: BTreeSet<Point>,
    states: HashSet<u64>,
    seen: Changes,
}

impl Trace {
    /// The state before the first instruction.
    pub(crate) fn begin(&mut self, state: u64) {
        self.changes.insert(Point::awake(0));
        self.note(state);
    }

    /// An instruction at `position`, after which the state is `state`.
    pub(crate) fn step(&mut self, position: u64, is_call: bool, state: u64) {
        self.positions.push(position);
        if self.note(state) || is_call {
            self.changes.insert(Point::awake(self.positions.len()));
        }
    }

    /// The next instruction has put the victim to sleep.
    pub(crate) fn sleep(&mut self, state: u64) {
        self.note(state);
        let steps = self.positions.len();
        self.changes.insert(Point { steps, is_asleep: true, change: None });
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn states(&self) -> usize {
        self.states.len()
    }

    /// Where the instruction after `steps` others lay.
    pub(crate) fn position(&self, steps: usize) -> Option<u64> {
        self.positions.get(steps).copied()
    }

    /// Where each shared state was seen first, and each sleep: the points that differ for whoever is left.
    pub(crate) fn distinct_points(&self) -> Vec<Point> {
        let sleeps = self.changes.iter().filter(|point| point.is_asleep);
        self.firsts.iter().chain(sleeps).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Where to kill. The end is not among them: everybody kills there.
    pub(crate) fn points(&self, density: Density) -> Vec<Point> {
        let mut points = self.changes.clone();
        if self.len() <= density.short {
            points.extend((0..self.len()).map(Point::awake));
        } else {
            let spread = |index| Point::awake(index * self.len() / density.sample);
            points.extend((0..density.sample).map(spread));
        }
        points.into_iter().filter(|point| point.steps < self.len() || point.is_asleep).collect()
    }

    fn note(&mut self, state: u64) -> bool {
        let has_changed = self.seen.look(state);
        if self.states.insert(state) {
            let change = Some(self.seen.count());
            self.firsts.insert(Point { change, ..Point::awake(self.len()) });
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let mut trace = Trace::default();
        trace.begin(7);
        trace.step(100, false, 7);
        trace.step(101, false, 8);
        trace.sleep(8);
        trace.step(102, true, 8);
        trace.step(103, false, 7);
        trace
    }

    #[test]
    fn changes_calls_and_sleeps_are_points() {
        let points = trace().points(Density { short: 0, sample: 0 });
        let steps: Vec<_> = points.iter().map(|point| (point.steps, point.is_asleep)).collect();
        assert_eq!(steps, [(0, false), (2, false), (2, true), (3, false)]);
        assert_eq!(trace().states(), 2);
    }

    #[test]
    fn a_state_that_comes_back_is_no_other_one() {
        let steps: Vec<_> = trace().distinct_points().iter().map(|point| point.steps).collect();
        assert_eq!(steps, [0, 2, 2]);
    }

    #[test]
    fn all_is_every_instruction_and_every_sleep() {
        assert_eq!(trace().points(Density { short: 5, sample: 0 }).len(), 5);
    }

    #[test]
    fn a_sample_is_spread_over_the_operation() {
        let points = trace().points(Density { short: 0, sample: 4 });
        assert_eq!(points.len(), 5);
    }
}
