//! Who holds how much of something that many may hold at once: read locks, permits, arrivals at a barrier.
//!
//! # Algorithm
//!
//! A table of cells, each with a member's name and a count. A claim is one compare-and-swap that writes both, so there is
//! no moment at which something is counted for nobody; a release is one decrement. Totals are not stored but counted from
//! the cells, and the cell of a dead member counts for nothing. A cell whose count is zero is free, whatever name it bears.
//!
//! Rejected: a total beside the names. Killed between the two, a member leaves a count that nobody can attribute.
//!
//! A member looks for its own cell first, starting at a place given by its slot, then for a free one, then for one of a dead
//! member; if that place bears its name, it has no other. Two threads of a member that race may take a cell each; so the table
//! has room for as many members as it has cells, less such doubles.
//!
//! So a member's first claim reads every cell once, and so does each claim of one whose place has another's name: eight cache lines
//! in a table of 64 cells, 125 where 1,000 processes have a cell each. A list of who sits where, which would spare it that, would be
//! one more thing to repair.
//!
//! # Layout of a cell
//!
//! | bits | meaning |
//! |---|---|
//! | 0-15 | the member's slot |
//! | 16-30 | how much it holds |
//! | 31 | the *side*: of which of two alternating rounds the count is; always 0 but in a barrier |
//! | 32-63 | the member's generation |
//!
//! # Invariants
//!
//! * **H1** A cell with a count above zero, of a live member, changes its name only after it has dropped to zero. So who has
//!   claimed may decrement the cell without looking.
//! * **H2** A count never exceeds [`COUNT_MAX`]; a claim beyond it takes another cell or fails.
//!
//! # Ordering
//!
//! * **E6** [`Holders::release`] (decrement, release) pairs with [`Holders::live_holder`] and [`Holders::total`] (loads,
//!   acquire): what was done while holding.
//! * **E12** [`Holders::claim`] (release) pairs with the looks at the cells (acquire): who reads a holder's name sees in the
//!   family's table that it is a member.
//!
//! # Crash points
//!
//! A member killed before its claim holds nothing, killed after it holds what the cell says, until somebody finds it dead:
//! whoever needs the room or the total clears the cell with one compare-and-swap, which may be repeated.

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::{AtomicU64, Ordering};

use crate::patience::Patience;

const ONE: u64 = 1 << 16;
const COUNT: u64 = 0x7fff << 16;
const SIDE: u64 = 1 << 31;
const NAME: u64 = 0xffff_ffff_0000_ffff;

/// The most that one cell counts.
pub(crate) const COUNT_MAX: u64 = COUNT >> 16;

/// The table is full.
#[derive(Debug)]
pub(crate) struct Full;

/// Which of two alternating rounds a count belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side(u64);

impl Side {
    pub(crate) const ONLY: Self = Self(0);

    pub(crate) fn of_round(round: u32) -> Self {
        Self(u64::from(round & 1) * SIDE)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(u64);

impl Cell {
    fn first(member: Member, side: Side) -> Self {
        Self(member.to_bits() | side.0 | ONE)
    }

    /// Whether the name is this member's, though it may hold nothing.
    fn bears(self, member: Member) -> bool {
        self.0 & NAME == member.to_bits()
    }

    fn count(self, side: Side) -> u64 {
        if self.0 & SIDE == side.0 { (self.0 & COUNT) >> 16 } else { 0 }
    }

    /// The member who holds something for `side`, if anybody does.
    fn holder(self, side: Side) -> Option<Member> {
        if self.count(side) == 0 { None } else { Member::from_bits(self.0 & NAME) }
    }

    /// The cell after one more claim of `member`, if it has room for that.
    fn claimed(self, member: Member, side: Side) -> Option<Self> {
        match self.holder(side) {
            None => Some(Self::first(member, side)),
            Some(holder) if holder == member && self.count(side) < COUNT_MAX => {
                Some(Self(self.0 + ONE))
            }
            Some(_) => None,
        }
    }
}

/// The table.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Holders<const N: usize> {
    cells: [AtomicU64; N],
}

impl<const N: usize> Holders<N> {
    #[cfg(not(procession_loom))]
    pub(crate) const fn new() -> Self {
        const { assert!(N > 0, "a table without cells holds nobody") };
        Self { cells: [const { AtomicU64::new(0) }; N] }
    }

    #[cfg(procession_loom)]
    pub(crate) fn new() -> Self {
        Self { cells: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts one more for `me`, and says in which cell: the commit point of every claim.
    pub(crate) fn claim(&self, me: Member, side: Side) -> Result<usize, Full> {
        let claimed = self.claim_beside_the_dead(me, side);
        claimed.or_else(|full| if self.bury(side) { self.claim(me, side) } else { Err(full) })
    }

    /// As [`claim`](Self::claim), and leaves to the dead what they have: for whom it matters that they had it.
    pub(crate) fn claim_beside_the_dead(&self, me: Member, side: Side) -> Result<usize, Full> {
        let home = usize::from(me.slot()) % N;
        if load(&self.cells[home]).bears(me) && self.claim_cell(home, me, side) {
            return Ok(home);
        }
        self.claim_elsewhere(home, me, side).ok_or(Full)
    }

    /// Takes one away from a cell in which the caller, who still is the same member, has claimed (H1).
    pub(crate) fn release(&self, cell: usize) {
        self.cells[cell].fetch_sub(ONE, Ordering::Release); // E6
    }

    /// How much all hold together, the dead included.
    pub(crate) fn total(&self, side: Side) -> u64 {
        self.cells.iter().map(|cell| load(cell).count(side)).sum()
    }

    /// Clears the cells of the dead and says whether there were any.
    pub(crate) fn bury(&self, side: Side) -> bool {
        let mut found = false;
        for cell in &self.cells {
            let seen = load(cell);
            if seen.holder(side).is_some_and(|holder| !family::is_alive(holder)) {
                found = true;
                clear(cell, seen);
            }
        }
        found
    }

    /// Some live member who holds something. The cells of the dead are cleared on the way.
    pub(crate) fn live_holder(&self, patience: &Patience) -> Option<Member> {
        self.cells.iter().find_map(|cell| {
            loop {
                let seen = load(cell); // E6
                let holder = seen.holder(Side::ONLY)?;
                if !patience.finds_dead(holder) {
                    return Some(holder);
                }
                clear(cell, seen);
            }
        })
    }

    /// Clears all cells that count for the other side.
    pub(crate) fn keep_only(&self, side: Side) {
        for cell in &self.cells {
            let seen = load(cell);
            if seen.0 & COUNT != 0 && seen.count(side) == 0 {
                clear(cell, seen);
            }
        }
    }

    /// Whether a member who is dead, as far as the family knows, holds something.
    pub(crate) fn has_dead_holder(&self, side: Side) -> bool {
        let mut holders = self.cells.iter().filter_map(|cell| load(cell).holder(side));
        holders.any(|holder| !family::is_alive(holder))
    }

    /// Some dead member who holds something.
    pub(crate) fn dead_holder(&self, side: Side, patience: &Patience) -> Option<Member> {
        let mut holders = self.cells.iter().filter_map(|cell| load(cell).holder(side));
        holders.find(|holder| patience.finds_dead(*holder))
    }

    #[cold]
    fn claim_elsewhere(&self, home: usize, me: Member, side: Side) -> Option<usize> {
        let order = || (0..N).map(|step| (home + step) % N);
        let is_mine = |index: &usize| load(&self.cells[*index]).holder(side) == Some(me);
        let claim = |index: &usize| self.claim_cell(*index, me, side);
        order().filter(is_mine).find(claim).or_else(|| order().find(claim))
    }

    /// Claims in this cell, if it is free or the caller's own.
    fn claim_cell(&self, index: usize, me: Member, side: Side) -> bool {
        let cell = &self.cells[index];
        let mut seen = load(cell);
        while let Some(claimed) = seen.claimed(me, side) {
            if procession_shm::seeded!("permit-before-name") {
                cell.store(claimed.0 & !NAME, Ordering::Release);
                seen = load(cell);
            }
            let order = (Ordering::AcqRel, Ordering::Acquire); // E12
            match cell.compare_exchange(seen.0, claimed.0, order.0, order.1) {
                Ok(_) => return true,
                Err(now) => seen = Cell(now),
            }
        }
        false
    }
}

fn load(cell: &AtomicU64) -> Cell {
    Cell(cell.load(Ordering::Acquire)) // E6, E12
}

fn clear(cell: &AtomicU64, seen: Cell) {
    // If it fails, somebody else has cleared the cell, and perhaps claimed in it.
    let _ = cell.compare_exchange(seen.0, 0, Ordering::AcqRel, Ordering::Acquire);
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use super::*;

    /// Both have the same place. The one that was second goes on in the cell that it has when the first has gone.
    #[test]
    fn a_member_takes_one_place_however_often_it_claims() {
        let holders: Holders<2> = Holders::new();
        let claim = |slot| {
            let member = Member::new(slot, 1).expect("a slot of the table");
            holders.claim(member, Side::ONLY).ok()
        };
        let (one, other) = (claim(1).expect("a free cell"), claim(3).expect("a free cell"));
        holders.release(one);
        assert_eq!(claim(3), Some(other));
        assert_eq!(claim(1), Some(one));
        assert_eq!(holders.total(Side::ONLY), 3);
    }
}
