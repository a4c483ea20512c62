//! The family in a model: threads stand for processes, and a death is an event like any other.
//!
//! The table and its transitions are the ones that ship. What the model leaves out is how the root learns of a death: the
//! model says who dies, and when, with [`kill`].

use std::cell::Cell;

use super::error::FamilyError;
use super::member::Member;
use super::table::{Holder, Table};
use crate::sync::atomic::AtomicU32;

loom::lazy_static! {
    static ref TABLE: Table = Table::new();
}

loom::thread_local! {
    static ME: Cell<Option<Member>> = Cell::new(None);
}

/// Makes the calling thread the next holder of `slot`, with `slot` for a pid.
///
/// Call it once per thread and slot, unless the slot's last holder was killed or has left.
pub fn enter(slot: u16) -> Member {
    let member = TABLE.reserve(slot);
    TABLE.admit(member, Holder { pid: u32::from(slot), inode: 0 });
    ME.with(|me| me.set(Some(member)));
    member
}

/// What the root does when it learns that `member` is dead: mark it, move the epoch, wake all.
///
/// The model has to see to it that the thread which stood for the member does nothing more.
pub fn kill(member: Member) {
    TABLE.bury(member);
    TABLE.announce();
}

/// What the root does when the calling thread's member leaves cleanly: its slot is free, nobody is woken.
pub fn leave() {
    if let Some(member) = ME.with(Cell::take) {
        TABLE.vacate(member);
    }
}

/// The member that the calling thread stands for.
///
/// # Errors
///
/// [`NotAMember`](FamilyError::NotAMember) when it has not [`enter`]ed.
pub fn me() -> Result<Member, FamilyError> {
    ME.with(Cell::get).ok_or(FamilyError::NotAMember { pid: 0 })
}

/// Whether the member holds its slot.
pub fn is_alive(member: Member) -> bool {
    TABLE.is_alive(member)
}

/// The pid of a member, also of a dead one, until its slot is used again.
pub fn pid_of(member: Member) -> Option<u32> {
    TABLE.holder_of(member).map(|holder| holder.pid)
}

/// The death epoch of the model's one family.
pub fn epoch() -> &'static AtomicU32 {
    TABLE.epoch()
}

/// There is no kernel to ask in a model: the table is the truth.
pub fn verify(member: Member) -> bool {
    is_alive(member)
}
