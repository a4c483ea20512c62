//! The family as a process sees it.

use std::os::fd::BorrowedFd;

use crate::sync::atomic::AtomicU32;

use super::error::FamilyError;
use super::identity;
use super::invitation::Invitation;
use super::member::Member;
use super::session::Session;
use super::watcher::{self, Watcher};

/// The member that this process is.
#[inline]
pub fn me() -> Result<Member, FamilyError> {
    match identity::cached() {
        Some(member) => Ok(member),
        None => my_session()?.standing(),
    }
}

#[cold]
fn my_session() -> Result<&'static Session, FamilyError> {
    match (identity::session(), identity::last_session()) {
        (Some(session), _) => Ok(session),
        (None, Some(_)) => Err(FamilyError::NotAMember { pid: std::process::id() }),
        (None, None) => match watcher::found_with_thread() {
            // Another thread was faster.
            Err(FamilyError::AlreadyMember { .. }) => {
                identity::session().ok_or(FamilyError::NotAMember { pid: std::process::id() })
            }
            founded => founded,
        },
    }
}

/// Founds.
pub fn found() -> Result<Watcher, FamilyError> {
    if identity::last_session().is_some() {
        return Err(FamilyError::AlreadyMember { pid: std::process::id() });
    }
    watcher::found().map(|(_, watcher)| watcher)
}

/// Alive by the table.
pub fn is_alive(member: Member) -> bool {
    identity::session().is_none_or(|session| session.table().is_alive(member))
}

/// Pid.
pub fn pid_of(member: Member) -> Option<u32> {
    let pid = identity::session()?.table().holder_of(member)?.pid;
    (pid != 0).then_some(pid)
}

/// Epoch.
pub fn epoch() -> &'static AtomicU32 {
    static NOBODYS: AtomicU32 = AtomicU32::new(0);
    identity::session().map_or(&NOBODYS, |session| session.table().epoch())
}

/// Verify.
pub fn verify(member: Member) -> bool {
    identity::session().is_none_or(|session| session.verify(member))
}

/// Root.
pub fn check_root() -> Result<(), FamilyError> {
    my_session()?.check_root()
}

/// Invite.
pub fn invite() -> Result<Invitation, FamilyError> {
    my_session()?.invite()
}

/// Attach.
pub fn attach(member: Member, pidfd: BorrowedFd<'_>) -> Result<(), FamilyError> {
    my_session()?.attach(member, pidfd)
}

/// Join.
pub fn join(invitation: Invitation) -> Result<Member, FamilyError> {
    let before = identity::session();
    if before.is_some_and(|session| session.standing().is_ok()) {
        return Err(FamilyError::AlreadyMember { pid: std::process::id() });
    }
    let session = Session::join(invitation)?;
    identity::install(Box::new(session), before).map(Session::member)
}

/// Leave.
pub fn leave() -> Result<(), FamilyError> {
    my_session()?.leave()
}

/// Rejoin.
pub fn rejoin_after_fork() -> Result<Member, FamilyError> {
    let (None, Some(ancestor)) = (identity::session(), identity::last_session()) else {
        return me();
    };
    let session = Session::rejoin(ancestor)?;
    let session = identity::install(Box::new(session), None)?;
    Ok(session.member())
}
