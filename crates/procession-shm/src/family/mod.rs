//! Who is alive: the processes that share locks, and how each learns of another one's death.
//!
//! A lock in shared memory names its owner. For the others to get past an owner that died, three things must be true: the
//! name must not come to mean somebody else, the death must be noticed whoever it was, and those who sleep must be woken.
//! The family is that: a table of slots that all members map ([`Member`] is a slot and which of its holders), one process,
//! the *root*, that watches all the others, and one word, the *death epoch*, that everybody who sleeps on something shared
//! watches beside his own ([`epoch`]).
//!
//! # How it works
//!
//! The first use in a process that was given no family founds one, with that process as its root. A member asks the root
//! for an [`Invitation`] ([`invite`]), passes it to the process it starts, and that one [`join`]s. Each member holds a
//! socket to the root, closed on exec, and the root holds a pidfd of each member. The root's [`Watcher`] polls both:
//!
//! * the pidfd is readable: the member died;
//! * the socket is at its end and the pidfd is not: it runs another program now, which for its locks is the same;
//! * the socket says so: the member left and holds nothing ([`leave`]).
//!
//! At a death the watcher marks the slot, *then* moves the epoch, *then* wakes all. A sleeper reads the epoch before it
//! looks at the owner; so either it sees the mark, or the epoch moves after it read it and its [`wait`](crate::wait())
//! comes back (edge E1 in the table's docs). A clean leave moves nothing and wakes nobody, unless the member has ever slept: a
//! wake-up for one of several sleepers may have gone to it, and it leaves without having passed it on. Then it moves the epoch
//! itself before it leaves.
//!
//! Why not robust mutexes: the kernel's robust list wakes one waiter, and loses it where that one is not there any more. Why
//! not a check of the owner's pid before each sleep: pids come back, differ between pid namespaces, and a sleeper that has
//! looked once sleeps on. Why the root watches everybody and not each parent its children: a parent that dies together with
//! its child would leave nobody to tell.
//!
//! # Invariants
//!
//! * **F1** Nobody owns a slot that a live watcher does not watch. The invited process itself brings its pidfd, and its slot
//!   becomes `Live` in the one store that the root makes after it watches that pidfd.
//! * **F2** Proof of death is a pidfd, an end of file, or the kernel's word that there is no such process; never a timeout.
//!   A stopped process is alive.
//! * **F3** Slots are handed out by the root alone, the longest free first, each time with the next generation.
//! * **F4** The descriptor of the table travels in invitations and nowhere else. A process that is not trusted gets none of
//!   it, not even to read: a reader of a futex word can take sleepers off it.
//! * **F5** Who this process is lies on a page that a fork wipes; a forked process is nobody until it asks
//!   ([`rejoin_after_fork`]).
//!
//! # States and commit points of a membership
//!
//! | step | by | one store that makes it real | killed before | killed after |
//! |---|---|---|---|---|
//! | invite | root | `Reserved(g)`, the socket being watched | nothing happened | the end of the socket frees the slot |
//! | pass on | inviter | the packet or `exec` that carries it | the end of the socket frees the slot | the invited holds it |
//! | attach | root | the pidfd enters the watch | as if not attached | death of the invited frees the slot |
//! | join | root | `Live(g)`, the pidfd being watched | the end of the socket frees the slot | its pidfd tells of its death |
//! | leave | root | `Free(g)` | the member dies: `Dead(g)` | the slot is free |
//! | death | root, or [`verify`] | `Dead(g)`; told by the epoch after it | the pidfd stays readable | the root tells it again |
//!
//! "Killed" is whoever acts in this step but the root; in every row the root's watcher is who repairs. A root that is killed
//! ends the family: its members' sockets and its pidfd tell them ([`check_root`]), and members that were started with a
//! parent-death signal do not outlive it. The table's words, their layout and their ordering are described at the table.
//!
//! # What is not guaranteed
//!
//! Between a death and its announcement lie the scheduling of the root's watcher and, in a crowd of deaths, up to 1 ms. A
//! root that is stopped announces nothing; then the second line applies: whoever sleeps on an owned word comes back at
//! [`recheck_deadline`] and asks [`verify`] and [`check_root`]. A member in another pid namespace than the root's cannot ask
//! the kernel by pid, and its `verify` only repeats the table. Nor can anybody where the root has no `/proc`, or that of another
//! namespace: the pids in it would be nobody's here, or somebody else's. A member whose socket was copied by a fork is not seen
//! to `exec` until that copy is closed. Members are not protected from each other: the table is for processes that trust one
//! another.

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

use crate::sync::atomic::Ordering;
use crate::{Deadline, Watch};

pub use error::FamilyError;
#[cfg(not(procession_loom))]
pub use invitation::Invitation;
pub use member::Member;
#[cfg(procession_loom)]
pub(crate) use model::{check_end, note_sleep};
#[cfg(procession_loom)]
pub use model::{enter, epoch, is_alive, is_me, kill, leave, me, pid_of, verify};
#[cfg(not(procession_loom))]
pub use process::{
    attach, check_root, epoch, found, invite, is_alive, is_me, join, leave, me, pid_of,
    rejoin_after_fork, verify,
};
#[cfg(not(procession_loom))]
pub(crate) use process::{check_end, note_sleep};
pub use table::MEMBERS_MAX;
#[cfg(not(procession_loom))]
pub use watcher::Watcher;

/// A watch on the death epoch as it is now. To be taken before the last look at what a dead member may have held: a death
/// that this look misses ends the [`wait`](crate::wait()).
///
/// ```
/// use procession_shm::family;
/// use procession_shm::sync::atomic::Ordering;
///
/// family::me()?;
/// let deaths = family::watch_deaths();
/// assert_eq!(deaths.word().load(Ordering::Acquire), deaths.expected()); // nobody has died since
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn watch_deaths() -> Watch<'static> {
    let epoch = epoch();
    Watch::shared_kept(epoch, epoch.load(Ordering::Acquire)) // E1
}

/// When a sleeper on something that a member owns shall come back and look after the owner, though nobody woke it: 100 ms
/// from now, then 1 s, then every 10 s. `attempt` counts from 0.
///
/// The second line, for the day on which the root is stopped, or so busy that its watcher does not run. On coming back, ask
/// `verify` about the owner and `check_root` about the family.
///
/// ```
/// use procession_shm::family::recheck_deadline;
///
/// assert!(recheck_deadline(0).remaining() < recheck_deadline(1).remaining());
/// assert!(!recheck_deadline(u32::MAX).is_never());
/// ```
pub fn recheck_deadline(attempt: u32) -> Deadline {
    Deadline::after(match attempt {
        0 => Duration::from_millis(100),
        1 => Duration::from_secs(1),
        _ => Duration::from_secs(10),
    })
}
