//! Items that are claimed: out of the order of the queue, but in its memory until they are done.
//!
//! A cell for each. It is changed under the lock of those who get.
//!
//! | `owner` | state | `place` |
//! |---|---|---|
//! | 0 | free | |
//! | a member | claimed by it, if the cursor is behind the place; else about to be | of the frame |
//! | 1 `OFFERED` | given back, by its claimer or for it after its death: the next one to get gets it | of the frame |
//! | a member and `TAKEN` | got by it; not counted yet | of the frame |
//! | a member and `COUNTED` | got by it; its count is to be what is in `place` | a count |
//!
//! | transition | one store that makes it real |
//! |---|---|
//! | an item is claimed | that of the cursor (Q4) |
//! | an offered one is claimed | `OFFERED` to the member |
//! | an offered one is got | `OFFERED` to `TAKEN` |
//! | it is done | the member to 0 |
//! | it is given back | the member to `OFFERED` |
//!
//! From `TAKEN` on whoever has the lock next finishes: what a count is to be is written down before it is written, so that
//! doing it again is the same.

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::control::{CLAIMS_MAX, ClaimCell, Control, Place};
use super::holders;

const OFFERED: u64 = 1;
/// In bits of which a member's name has none.
const TAKEN: u64 = 1 << 16;
const COUNTED: u64 = 1 << 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Claimed(Member),
    Offered,
    Taken(Member),
    Counted(Member),
}

fn state(cell: &ClaimCell) -> State {
    let owner = cell.owner.load(Acquire);
    let member = Member::from_bits(owner & !(TAKEN | COUNTED));
    match (owner, member) {
        (OFFERED, _) => State::Offered,
        (owner, Some(member)) if owner & TAKEN != 0 => State::Taken(member),
        (owner, Some(member)) if owner & COUNTED != 0 => State::Counted(member),
        (_, Some(member)) => State::Claimed(member),
        // Nothing else is written; what somebody has scribbled here is nobody's claim.
        (_, None) => State::Free,
    }
}

fn cell_at(control: &Control, index: u32) -> &ClaimCell {
    &control.claims[index as usize]
}

fn place(cell: &ClaimCell) -> Place {
    Place(cell.place.load(Relaxed))
}

/// The cells that may be in use, with their numbers.
fn in_use(control: &Control) -> impl Iterator<Item = (u32, &ClaimCell)> {
    (0..control.get.claims_end.load(Relaxed)).zip(&control.claims)
}

/// Whether no item is claimed or offered again.
#[inline]
pub(super) fn is_empty(control: &Control) -> bool {
    control.get.claims_end.load(Relaxed) == 0
}

/// Writes down who is about to claim what is at `place`; moving the cursor makes it real. The number of the cell, or `None` if
/// all are in use.
pub(super) fn prepare(control: &Control, me: Member, place: Place) -> Option<u32> {
    let mut free = (0..CLAIMS_MAX).zip(&control.claims);
    let (index, cell) = free.find(|(_, cell)| state(cell) == State::Free)?;
    let end = control.get.claims_end.load(Relaxed).max(index + 1);
    control.get.claims_end.store(end, Release);
    cell.place.store(place.0, Release);
    cell.owner.store(me.to_bits(), Release);
    Some(index)
}

/// The first that is offered again.
pub(super) fn oldest_offered(control: &Control) -> Option<(u32, Place)> {
    let cursor = Place(control.get.cursor.load(Relaxed));
    let offered = in_use(control).filter(|(_, cell)| state(cell) == State::Offered);
    offered.map(|(index, cell)| (index, place(cell))).max_by_key(|(_, at)| cursor.items_since(*at))
}

/// Claims one that is offered.
pub(super) fn claim_offered(control: &Control, index: u32, me: Member) {
    cell_at(control, index).owner.store(me.to_bits(), Release);
}

/// Gets one that is offered.
pub(super) fn take_offered(control: &Control, index: u32, me: Member) {
    cell_at(control, index).owner.store(me.to_bits() | TAKEN, Release);
    settle(control, cell_at(control, index));
}

/// Ends a claim of `me` at `place`, which is done or to be offered again. False if it is not there.
pub(super) fn end(control: &Control, index: u32, me: Member, at: Place, is_done: bool) -> bool {
    let cell = cell_at(control, index);
    if state(cell) != State::Claimed(me) || place(cell) != at {
        return false;
    }
    cell.owner.store(if is_done { 0 } else { OFFERED }, Release);
    true
}

/// Offers again what the dead have claimed. Says whether there was anything.
pub(super) fn bury(control: &Control, is_dead: impl Fn(Member) -> bool) -> bool {
    let mut found = false;
    for (_, cell) in in_use(control) {
        if let State::Claimed(member) = state(cell)
            && is_dead(member)
        {
            cell.owner.store(OFFERED, Release);
            found = true;
        }
    }
    found
}

/// After a death under the lock: undoes claims that were not made real, finishes takes that were, and says whether the item
/// at `item` was claimed.
pub(super) fn repair(control: &Control, cursor: Place, item: u32) -> bool {
    let mut was_claimed = false;
    for cell in &control.claims {
        match state(cell) {
            State::Claimed(_) if place(cell).items() == cursor.items() => {
                cell.owner.store(0, Release);
            }
            State::Claimed(_) | State::Offered => was_claimed |= place(cell).items() == item,
            State::Taken(_) | State::Counted(_) => settle(control, cell),
            State::Free => {}
        }
    }
    control.get.claims_end.store(CLAIMS_MAX, Release);
    was_claimed
}

/// The head for this cursor: nothing that is claimed is written over. Forgets cells at the end that are free.
pub(super) fn head(control: &Control, cursor: Place) -> Place {
    let (mut head, mut claimed, mut end) = (cursor, 0, 0);
    for (index, cell) in in_use(control) {
        if matches!(state(cell), State::Claimed(_) | State::Offered) {
            (claimed, end) = (claimed + 1, index + 1);
            if cursor.bytes_since(place(cell)) > cursor.bytes_since(head) {
                head = place(cell);
            }
        }
    }
    control.get.claims_end.store(end, Release);
    head.with_items(cursor.items().wrapping_sub(claimed))
}

/// Brings a take that is real to its end, from wherever it is.
fn settle(control: &Control, cell: &ClaimCell) {
    if let State::Taken(member) = state(cell) {
        cell.place.store(holders::one_more(control, member), Release);
        cell.owner.store(member.to_bits() | COUNTED, Release);
    }
    if let State::Counted(member) = state(cell) {
        holders::set(control, member, cell.place.load(Relaxed));
        cell.owner.store(0, Release);
    }
}

/// Whether `member` is not alive, as far as the family's table says.
pub(super) fn is_dead(member: Member) -> bool {
    !family::is_alive(member)
}
