//! Workers that can take something, in the order in which they are given it.
//!
//! A call of many items hands over a chunk after the other, and a look at all workers for each of them is what a pool of many
//! workers would spend most of its time with. So the look is taken once, everybody who can take something is put into a heap, and
//! whoever is given a chunk goes back to where it stands then. Whatever else may change where a worker stands makes the heap stale, above
//! all [`State::lane`], by which workers are changed; the next chunk begins with another look. Rejected: to keep the heap right through
//! each change. What a worker's load is follows from how fast the items of a call are, so one result may move all of them.
//!
//! In debug builds each choice is compared with that of a [plain look at all](State::taker_of).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::state::State;

/// Where a worker stands: the least is given something first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    rank: Rank,
    /// How long it will be busy with what it has.
    load: Duration,
    pub(super) index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Has nothing to do and finished last: it is the one most likely to be awake.
    Hot,
    Idle,
    /// Can have a second chunk, if that is of short items.
    Busy,
}

impl Standing {
    pub(super) fn is_idle(self) -> bool {
        self.rank != Rank::Busy
    }
}

/// All workers that can take something, at the last look.
#[derive(Debug, Default)]
pub(crate) struct Takers {
    is_current: bool,
    heap: BinaryHeap<Reverse<Standing>>,
    busy: usize,
}

impl Takers {
    /// A worker may stand elsewhere now.
    #[inline]
    pub(super) fn are_stale(&mut self) {
        self.is_current = false;
    }

    /// The one to be given something, if somebody can take it and nothing has changed since the last look.
    fn first(&self) -> Option<Standing> {
        self.heap.peek().map(|first| first.0)
    }
}

impl State {
    /// Who is given an ordinary chunk, one without handles, if anybody can have one.
    pub(super) fn first_taker(&mut self) -> Option<Standing> {
        if !self.takers.is_current {
            self.look_for_takers();
        }
        self.takers.first()
    }

    fn look_for_takers(&mut self) {
        let mut heap = std::mem::take(&mut self.takers.heap);
        heap.clear();
        heap.extend((0..self.lanes.len()).filter_map(|index| self.standing(index)).map(Reverse));
        self.takers = Takers { is_current: true, heap, busy: self.busy() };
    }

    /// `first`, who was the first taker, has been given a chunk, and nobody else has changed.
    pub(super) fn has_taken(&mut self, first: Standing) {
        let now = self.standing(first.index);
        let taken = self.takers.heap.pop();
        debug_assert_eq!(taken, Some(Reverse(first)), "it was the first");
        self.takers.heap.extend(now.map(Reverse));
        self.takers.busy += usize::from(first.is_idle());
        self.takers.is_current = true;
    }

    fn standing(&self, index: usize) -> Option<Standing> {
        let lane = self.lanes[index].as_ref().filter(|lane| lane.is_available())?;
        if !lane.in_flight.is_empty() {
            return Some(Standing { rank: Rank::Busy, load: self.load_of(lane)?, index });
        }
        let rank = if index == self.hot { Rank::Hot } else { Rank::Idle };
        Some(Standing { rank, load: Duration::ZERO, index })
    }

    /// How many workers had something to do at the last look, if that still holds.
    pub(super) fn busy_seen(&self) -> usize {
        if self.takers.is_current { self.takers.busy } else { self.busy() }
    }
}
