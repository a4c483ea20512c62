//! What a process keeps of the family it belongs to, and how it talks to the root.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::error::FamilyError;
use super::identity;
use super::invitation::Invitation;
use super::kernel;
use super::member::Member;
use super::packet::{self, Arrival, Fds, Packet};
use super::roster::Roster;
use super::table::{self, Table};
use crate::segment::Segment;
use crate::sync::atomic::{AtomicU32, Ordering};

/// A process' part in a family. Published ones are never freed (I2 in [`identity`]).
#[derive(Debug)]
pub(super) struct Session {
    member: Member,
    table: Arc<Table>,
    role: Role,
    standing: AtomicU32,
    /// Whether the table's pids mean the same to this process as to the root.
    same_namespace: bool,
}

#[derive(Debug)]
enum Role {
    /// The founder. The door is the socket by which its bare-forked children reach it.
    Root {
        roster: Arc<Roster>,
        door: OwnedFd,
    },
    Guest(Line),
}

/// A member's connection to the root.
#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    /// The root's pidfd: its death shows even while a forked copy of it keeps the sockets open.
    root: OwnedFd,
    /// One question at a time.
    talk: Mutex<()>,
}

const BELONGS: u32 = 0;
const LEFT: u32 = 1;
const ROOT_GONE: u32 = 2;

impl Session {
    pub(super) fn of_root(member: Member, roster: Arc<Roster>, door: OwnedFd) -> Self {
        let table = Arc::clone(roster.table());
        Self::new(member, table, Role::Root { roster, door })
    }

    fn new(member: Member, table: Arc<Table>, role: Role) -> Self {
        let namespace = kernel::pid_namespace();
        let same_namespace = namespace != 0 && namespace == table.namespace();
        Self { member, table, role, standing: AtomicU32::new(BELONGS), same_namespace }
    }

    /// Takes a seat in the family. When the root has stored `Live`, this process is watched (T1) and a member.
    pub(super) fn join(invitation: Invitation) -> Result<Self, FamilyError> {
        let table = open_table(invitation.table)?;
        let line = Line { socket: invitation.socket, root: invitation.root, talk: Mutex::new(()) };
        let pidfd = kernel::own_pidfd();
        let fds: Vec<BorrowedFd<'_>> = pidfd.iter().map(AsFd::as_fd).collect();
        let (member, _) = line.ask(Packet::Join(invitation.member), &fds)?;
        Ok(Self::new(member, table, Role::Guest(line)))
    }

    /// Takes a seat for a process that was forked from a member, whose session this is.
    pub(super) fn rejoin(ancestor: &Self) -> Result<Self, FamilyError> {
        ancestor.standing()?;
        let (door, root) = ancestor.ways_to_the_root()?;
        let pidfd = own_pidfd()?;
        let (ours, theirs) = pair()?;
        packet::send(door, Packet::Rejoin, &[pidfd.as_fd(), theirs.as_fd()])
            .map_err(|errno| ancestor.from_send(errno))?;
        drop(theirs);
        let line = Line { socket: ours, root: duplicate(root)?, talk: Mutex::new(()) };
        let (member, fds) = line.answer()?;
        let [table] = fds.exactly().ok_or(MISSING_FDS)?;
        Ok(Self::new(member, open_table(table)?, Role::Guest(line)))
    }

    fn ways_to_the_root(&self) -> Result<(BorrowedFd<'_>, BorrowedFd<'_>), FamilyError> {
        match &self.role {
            Role::Root { roster, door } => Ok((door.as_fd(), roster.pidfd()?)),
            Role::Guest(line) => Ok((line.socket.as_fd(), line.root.as_fd())),
        }
    }

    pub(super) fn member(&self) -> Member {
        self.member
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The member that this process is, or why it is none any more.
    pub(super) fn standing(&self) -> Result<Member, FamilyError> {
        match self.standing.load(Ordering::Acquire) {
            BELONGS => Ok(self.member),
            LEFT => Err(FamilyError::Left { pid: std::process::id() }),
            _ => Err(self.root_gone()),
        }
    }

    fn root_gone(&self) -> FamilyError {
        let root = self.table.holder_of(table::ROOT);
        FamilyError::RootGone { pid: root.map_or(0, |holder| holder.pid) }
    }

    fn from_send(&self, errno: Errno) -> FamilyError {
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => self.root_gone(),
            other => FamilyError::from_errno("sendmsg", other),
        }
    }

    /// Whether this session's reaper is this roster's.
    pub(super) fn drives(&self, watched: &Arc<Roster>) -> bool {
        matches!(&self.role, Role::Root { roster, .. } if Arc::ptr_eq(roster, watched))
    }

    pub(super) fn invite(&self) -> Result<Invitation, FamilyError> {
        self.standing()?;
        match &self.role {
            Role::Root { roster, .. } => roster.invite(),
            Role::Guest(line) => {
                let (member, fds) = self.noting_root(line.ask(Packet::Invite, &[]))?;
                if fds.lost {
                    return Err(FamilyError::OutOfDescriptors);
                }
                let [table, socket, root] = fds.exactly().ok_or(MISSING_FDS)?;
                Ok(Invitation { member, table, socket, root })
            }
        }
    }

    pub(super) fn attach(&self, member: Member, pidfd: BorrowedFd<'_>) -> Result<(), FamilyError> {
        self.standing()?;
        match &self.role {
            Role::Root { roster, .. } => {
                roster.attach(member, duplicate(pidfd)?).map_err(FamilyError::from)
            }
            Role::Guest(line) => {
                self.noting_root(line.ask(Packet::Attach(member), &[pidfd])).map(drop)
            }
        }
    }

    pub(super) fn leave(&self) -> Result<(), FamilyError> {
        self.standing()?;
        let Role::Guest(line) = &self.role else {
            return Err(FamilyError::RootStays { pid: std::process::id() });
        };
        self.ends(LEFT);
        self.noting_root(line.ask(Packet::Leave, &[])).map(drop)
    }

    /// Looks whether the root is still there, and takes this process out of the family if it is not.
    pub(super) fn check_root(&self) -> Result<(), FamilyError> {
        self.standing()?;
        let Role::Guest(line) = &self.role else { return Ok(()) };
        let gone = kernel::has_ended(line.root.as_fd()) || kernel::has_hung_up(line.socket.as_fd());
        if gone { self.noting_root(Err(self.root_gone())) } else { Ok(()) }
    }

    fn noting_root<T>(&self, result: Result<T, FamilyError>) -> Result<T, FamilyError> {
        if matches!(result, Err(FamilyError::RootGone { .. })) {
            self.ends(ROOT_GONE);
            return Err(self.root_gone());
        }
        result
    }

    fn ends(&self, standing: u32) {
        self.standing.store(standing, Ordering::Release);
        identity::forget();
    }

    /// The second line: asks the kernel where the table says that a member lives.
    pub(super) fn verify(&self, member: Member) -> bool {
        let alive = self.table.is_alive(member);
        if alive && self.same_namespace && self.is_proven_gone(member) && self.table.bury(member) {
            self.table.announce();
        }
        alive && self.table.is_alive(member)
    }

    fn is_proven_gone(&self, member: Member) -> bool {
        self.table.holder_of(member).is_some_and(kernel::is_proven_gone)
    }

    /// The descriptors that a forked copy of this process has of it, and has no use for.
    ///
    /// They are listed without waiting for any lock, which nobody in the copy might ever release; what is locked stays.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        match &self.role {
            Role::Root { roster, door } => {
                let mut fds = roster.descriptors();
                fds.push(door.as_raw_fd());
                fds
            }
            Role::Guest(line) => vec![line.socket.as_raw_fd(), line.root.as_raw_fd()],
        }
    }
}

const MISSING_FDS: FamilyError =
    FamilyError::Protocol { reason: "an answer came without its descriptors" };

impl Line {
    /// Asks the root and waits for its answer, which comes unless the root ends.
    fn ask(&self, packet: Packet, fds: &[BorrowedFd<'_>]) -> Result<(Member, Fds), FamilyError> {
        // Nothing is left half-done by a panic under this lock: there is nothing in it.
        let _one_at_a_time = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        packet::send(&self.socket, packet, fds).map_err(|errno| match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => FamilyError::RootGone { pid: 0 },
            other => FamilyError::from_errno("sendmsg", other),
        })?;
        self.answer()
    }

    fn answer(&self) -> Result<(Member, Fds), FamilyError> {
        loop {
            let readable = kernel::readable_before(&self.socket, &self.root)
                .map_err(|errno| FamilyError::from_errno("poll", errno))?;
            let arrival = packet::receive(&self.socket)
                .map_err(|errno| FamilyError::from_errno("recvmsg", errno))?;
            match arrival {
                Arrival::Packet(Some(Packet::Accepted(member)), fds) => return Ok((member, fds)),
                Arrival::Packet(Some(Packet::Refused(refusal)), _) => return Err(refusal.into()),
                Arrival::Packet(..) => {
                    return Err(FamilyError::Protocol { reason: "an answer that no root gives" });
                }
                Arrival::Nothing if readable => {}
                Arrival::Nothing | Arrival::End => return Err(FamilyError::RootGone { pid: 0 }),
            }
        }
    }
}

fn open_table(fd: OwnedFd) -> Result<Arc<Table>, FamilyError> {
    Ok(Arc::new(Table::new(Segment::from_fd(fd, table::LEN)?.map()?)))
}

fn own_pidfd() -> Result<OwnedFd, FamilyError> {
    kernel::own_pidfd().map_err(|errno| FamilyError::from_errno("pidfd_open", errno))
}

pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), FamilyError> {
    packet::pair().map_err(|errno| FamilyError::from_errno("socketpair", errno))
}

pub(super) fn duplicate(fd: impl AsFd) -> Result<OwnedFd, FamilyError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
        .map_err(|errno| FamilyError::from_errno("fcntl(F_DUPFD_CLOEXEC)", errno))
}
