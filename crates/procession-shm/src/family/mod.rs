//! Who is alive.

mod error;
mod member;
mod table;

#[cfg(not(procession_loom))]
mod identity;
#[cfg(not(procession_loom))]
mod invitation;
#[cfg(not(procession_loom))]
mod kernel;
#[cfg(procession_loom)]
mod model;
#[cfg(not(procession_loom))]
mod packet;
#[cfg(not(procession_loom))]
mod process;
#[cfg(not(procession_loom))]
mod roster;
#[cfg(not(procession_loom))]
mod session;
#[cfg(not(procession_loom))]
mod watcher;

use std::time::Duration;

use crate::Deadline;

pub use error::FamilyError;
#[cfg(not(procession_loom))]
pub use invitation::Invitation;
pub use member::Member;
#[cfg(procession_loom)]
pub use model::{enter, epoch, is_alive, kill, leave, me, pid_of, verify};
#[cfg(not(procession_loom))]
pub use process::{
    attach, check_root, epoch, found, invite, is_alive, join, leave, me, pid_of, rejoin_after_fork,
    verify,
};
pub use table::MEMBERS_MAX;
#[cfg(not(procession_loom))]
pub use watcher::Watcher;

/// Recheck.
pub fn recheck_deadline(attempt: u32) -> Deadline {
    Deadline::after(match attempt {
        0 => Duration::from_millis(100),
        1 => Duration::from_secs(1),
        _ => Duration::from_secs(10),
    })
}

