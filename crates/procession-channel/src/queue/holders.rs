//! How many items each member has got and not done.
//!
//! A cell for each slot of the family, so that there is always one. It is changed under the lock of those who get.
//!
//! `count` has the number of items in its lower half, and in its upper half the item up to which that counts: the item of the
//! cursor when the member took last. By that, who repairs after a death knows whether the last take was counted (Q6).
//!
//! A count stops at its largest number: nobody who says that items are done comes near it.

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::control::{Control, HolderCell, low};

/// A member that died with items that it had not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) pid: Option<u32>,
    pub(super) items: u32,
}

#[derive(Clone, Copy)]
struct Count(u64);

impl Count {
    fn new(items: u32, upto: u32) -> Self {
        Self(u64::from(upto) << 32 | u64::from(items))
    }

    fn items(self) -> u32 {
        low(self.0)
    }

    fn upto(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Counts `items` more that `member` took, the last of them before item `upto`.
#[inline]
pub(super) fn add(control: &Control, member: Member, items: u32, upto: u32) {
    let cell = cell_of(control, member);
    let items = Count(cell.count.load(Relaxed)).items().saturating_add(items);
    cell.count.store(Count::new(items, upto).0, Release);
}

/// Whether the take of `member` before item `upto` was counted.
pub(super) fn is_counted(control: &Control, member: Member, upto: u32) -> bool {
    Count(cell_of(control, member).count.load(Relaxed)).upto() == upto
}

/// What the cell of the member is to hold when it has taken one more, which moved no cursor.
pub(super) fn one_more(control: &Control, member: Member) -> u64 {
    let count = Count(cell_of(control, member).count.load(Relaxed));
    Count::new(count.items().saturating_add(1), count.upto()).0
}

pub(super) fn set(control: &Control, member: Member, count: u64) {
    cell_of(control, member).count.store(count, Release);
}

/// Counts one item of `member` as done. Says how many are left, or `None` if there was none.
pub(super) fn done(control: &Control, member: Member) -> Option<u32> {
    let cell = cell_of(control, member);
    let count = Count(cell.count.load(Relaxed));
    let left = count.items().checked_sub(1)?;
    cell.count.store(Count::new(left, count.upto()).0, Release);
    Some(left)
}

/// How many items the living have not done.
pub(super) fn total(control: &Control) -> u64 {
    control.holders.iter().map(|cell| u64::from(Count(cell.count.load(Relaxed)).items())).sum()
}

/// A debt of the dead, which is forgotten by this.
pub(super) fn take_debt(control: &Control) -> Option<Debt> {
    let forgotten = control.get.forgotten.load(Relaxed);
    if forgotten > 0 {
        control.get.forgotten.store(0, Release);
        return Some(Debt { pid: None, items: u32::try_from(forgotten).unwrap_or(u32::MAX) });
    }
    control.holders.iter().find_map(take_debt_of)
}

fn take_debt_of(cell: &HolderCell) -> Option<Debt> {
    let count = Count(cell.count.load(Relaxed));
    let member = Member::from_bits(cell.member.load(Acquire))?;
    if count.items() == 0 || family::is_alive(member) {
        return None;
    }
    cell.count.store(Count::new(0, count.upto()).0, Release);
    Some(Debt { pid: family::pid_of(member), items: count.items() })
}

/// The cell of the member's slot, in its name. What an earlier holder of the slot left is kept without his name; killed
/// between the two stores, it is told twice.
#[inline]
fn cell_of(control: &Control, member: Member) -> &HolderCell {
    let cell = &control.holders[usize::from(member.slot()) - 1];
    if cell.member.load(Relaxed) != member.to_bits() {
        rename(control, cell, member);
    }
    cell
}

#[cold]
fn rename(control: &Control, cell: &HolderCell, member: Member) {
    let left = u64::from(Count(cell.count.load(Relaxed)).items());
    if left > 0 {
        let forgotten = control.get.forgotten.load(Relaxed);
        control.get.forgotten.store(forgotten.saturating_add(left), Release);
    }
    cell.count.store(0, Release);
    cell.member.store(member.to_bits(), Release);
}
