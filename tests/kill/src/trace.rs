//! What one walk through the whole operation has shown, and where to kill.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::options::Density;

/// A place at which somebody can be killed, and what it is found again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    /// After so many instructions of the recorded walk. Another may have some more or fewer.
    pub(crate) steps: usize,
    /// In the middle of the instruction after these, a system call in which it sleeps.
    pub(crate) is_asleep: bool,
    /// After so many changes of the shared state.
    pub(crate) changes: usize,
    /// Right behind the last of them.
    pub(crate) is_change: bool,
    /// Where the instruction after these lies, if there is one.
    pub(crate) position: Option<u64>,
    /// How often it has come up since the last change, this time included.
    pub(crate) times: usize,
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
    /// How many changes there were before each, and before the end.
    counts: Vec<usize>,
    /// After how many instructions something has changed, or the kernel was called.
    events: BTreeSet<usize>,
    /// After how many each state was seen first.
    firsts: BTreeSet<usize>,
    /// After how many somebody slept, and where.
    sleeps: BTreeMap<usize, u64>,
    /// Where the instructions lay with which something has changed.
    writers: HashSet<u64>,
    states: HashSet<u64>,
    seen: Changes,
}

impl Trace {
    /// The state before the first instruction.
    pub(crate) fn begin(&mut self, state: u64) {
        self.events.insert(0);
        self.note(state);
    }

    /// An instruction at `position`, after which the state is `state`.
    pub(crate) fn step(&mut self, position: u64, is_call: bool, state: u64) {
        self.positions.push(position);
        let has_changed = self.note(state);
        if has_changed {
            self.writers.insert(position);
        }
        if has_changed || is_call {
            self.events.insert(self.len());
        }
    }

    /// The next instruction, at `position`, has put the victim to sleep.
    pub(crate) fn sleep(&mut self, position: u64) {
        self.sleeps.insert(self.len(), position);
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn states(&self) -> usize {
        self.states.len()
    }

    /// Whether an instruction at `position` has ever changed something.
    pub(crate) fn has_changed_at(&self, position: u64) -> bool {
        self.writers.contains(&position)
    }

    /// Where each shared state was seen first, and each sleep: the points that differ for whoever is left.
    pub(crate) fn distinct_points(&self) -> Vec<Point> {
        self.all(self.firsts.iter().copied())
    }

    /// Where to kill. The end is not among them: everybody kills there.
    pub(crate) fn points(&self, density: Density) -> Vec<Point> {
        let mut steps = self.events.clone();
        if self.len() <= density.short {
            steps.extend(0..self.len());
        } else {
            steps.extend((0..density.sample).map(|index| index * self.len() / density.sample));
        }
        self.all(steps.into_iter().filter(|steps| *steps < self.len()))
    }

    /// The points after so many steps each, and those of all sleeps.
    fn all(&self, awake: impl Iterator<Item = usize>) -> Vec<Point> {
        let sleeps = self.sleeps.keys().map(|steps| self.point(*steps, true));
        let mut points: Vec<_> =
            awake.map(|steps| self.point(steps, false)).chain(sleeps).collect();
        points.sort_unstable();
        points
    }

    fn point(&self, steps: usize, is_asleep: bool) -> Point {
        let changes = self.counts[steps];
        let start = self.counts.partition_point(|count| *count < changes);
        let position = self.positions.get(steps).or_else(|| self.sleeps.get(&steps)).copied();
        let since = self.positions[start..steps].iter();
        let times = since.filter(|at| Some(**at) == position).count();
        let times = times + usize::from(position.is_some());
        let is_change = steps == start && changes > 0;
        Point { steps, is_asleep, changes, is_change, position, times }
    }

    fn note(&mut self, state: u64) -> bool {
        let has_changed = self.seen.look(state);
        self.counts.push(self.seen.count());
        if self.states.insert(state) {
            self.firsts.insert(self.len());
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
        trace.sleep(102);
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
    fn a_point_is_counted_from_the_last_change() {
        let mut trace = trace();
        trace.step(102, false, 7);
        trace.step(102, false, 7);
        let last = trace.points(Density { short: 9, sample: 0 }).pop().unwrap();
        let found_by = (last.steps, last.changes, last.is_change, last.position, last.times);
        assert_eq!(found_by, (5, 2, false, Some(102), 2));
        let after_change = trace.points(Density { short: 9, sample: 0 })[2];
        assert_eq!((after_change.changes, after_change.is_change), (1, true));
    }

    #[test]
    fn all_is_every_instruction_and_every_sleep() {
        assert_eq!(trace().points(Density { short: 4, sample: 0 }).len(), 5);
    }

    #[test]
    fn a_sample_is_spread_over_the_operation() {
        let points = trace().points(Density { short: 0, sample: 4 });
        assert_eq!(points.len(), 5);
    }
}
