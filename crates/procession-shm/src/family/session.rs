//! What a process keeps of the family it belongs to, and how it talks to the root.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::error::FamilyError;
use super::identity;
use super::invitation::Invitation;
use super::kernel;
use super::member::Member;
use super::packet::{self, Arrival, Fds, Packet};
use super::process;
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
    /// Kept here because a forked copy of this process, which asks for it, has no table.
    root_pid: u32,
    /// Whether the table's pids mean the same to this process as to the root.
    same_namespace: bool,
    /// By which a forked copy knows that the way to the root is still open.
    way_inode: u64,
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
    root_pid: u32,
    /// One question at a time.
    talk: Mutex<()>,
}

impl Role {
    /// The socket by which this process, or a forked copy of it, reaches the root.
    fn way_to_the_root(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root { door, .. } => door.as_fd(),
            Self::Guest(line) => line.socket.as_fd(),
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>, FamilyError> {
        match self {
            Self::Root { roster, .. } => roster.pidfd(),
            Self::Guest(line) => Ok(line.root.as_fd()),
        }
    }
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
        let way_inode = kernel::inode_of_socket(role.way_to_the_root());
        let root_pid = pid_of_root(&table);
        let standing = AtomicU32::new(BELONGS);
        Self { member, table, role, standing, root_pid, same_namespace, way_inode }
    }

    /// Takes a seat in the family. When the root has stored `Live`, this process is watched (T1) and a member.
    pub(super) fn join(invitation: Invitation) -> Result<Self, FamilyError> {
        let table = open_table(invitation.table)?;
        let Invitation { member, socket, root, .. } = invitation;
        let line = Line { socket, root, root_pid: pid_of_root(&table), talk: Mutex::new(()) };
        let pidfd = kernel::own_pidfd();
        let fds: Vec<BorrowedFd<'_>> = pidfd.iter().map(AsFd::as_fd).collect();
        let asked = line.ask(Packet::Join(member), &fds).map_err(|error| match (error, &pidfd) {
            // What the root does without is there for others, and this process knows why not for itself.
            (FamilyError::PidfdDenied { .. }, Err(errno)) => {
                FamilyError::from_errno("pidfd_open", *errno)
            }
            (other, _) => other,
        });
        let (member, _) = asked?;
        Ok(Self::new(member, table, Role::Guest(line)))
    }

    /// Takes a seat for a process that was forked from a member, whose session this is.
    pub(super) fn rejoin(ancestor: &Self) -> Result<Self, FamilyError> {
        ancestor.standing()?;
        let door = ancestor.role.way_to_the_root();
        if kernel::inode_of_socket(door) != ancestor.way_inode {
            return Err(DOOR_CLOSED);
        }
        let root = duplicate(ancestor.role.root()?)?;
        let (ours, theirs) = pair()?;
        let root_pid = ancestor.root_pid;
        let line = Line { socket: ours, root, root_pid, talk: Mutex::new(()) };
        let pidfd = own_pidfd()?;
        line.say_through(door, Packet::Rejoin, &[pidfd.as_fd(), theirs.as_fd()])?;
        drop(theirs);
        let (member, fds) = line.answer().map_err(|error| ancestor.unheard(error))?;
        let [table] = fds.exactly().ok_or(MISSING_FDS)?;
        Ok(Self::new(member, open_table(table)?, Role::Guest(line)))
    }

    /// A root that lives and says nothing could not take the descriptors that came with the request.
    fn unheard(&self, error: FamilyError) -> FamilyError {
        let root_lives = self.role.root().is_ok_and(|root| !kernel::has_ended(root))
            && !kernel::has_hung_up(self.role.way_to_the_root());
        match error {
            FamilyError::RootGone { .. } if root_lives => FamilyError::OutOfDescriptors,
            other => other,
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
        FamilyError::RootGone { pid: self.root_pid }
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
        if process::has_slept() {
            // A wake-up that one of its threads may have used up is passed on to all, in case it was for one of them.
            self.table().announce();
        }
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

    /// Closes what a forked copy of this process has of it and has no use for once it is a member itself.
    ///
    /// What lies behind a lock is left open if somebody held it at the fork: nobody would ever release it in the copy.
    pub(super) fn close_in_copy(&self) {
        let mut fds = vec![self.role.way_to_the_root().as_raw_fd()];
        match &self.role {
            Role::Root { roster, .. } => fds.extend(roster.descriptors()),
            Role::Guest(line) => fds.push(line.root.as_raw_fd()),
        }
        for fd in fds {
            // SAFETY: these are copies, made by the fork, of descriptors that a session owns which this process uses no
            // more: it has one of its own now (I3), and the old one is never dropped (I2).
            unsafe { rustix::io::close(fd) };
        }
    }
}

const DOOR_CLOSED: FamilyError = FamilyError::Protocol {
    reason: "this forked process has closed the descriptors by which it could reach the root",
};

const MISSING_FDS: FamilyError =
    FamilyError::Protocol { reason: "an answer came without its descriptors" };

impl Line {
    /// Asks the root and waits for its answer, which comes unless the root ends.
    fn ask(&self, packet: Packet, fds: &[BorrowedFd<'_>]) -> Result<(Member, Fds), FamilyError> {
        // Nothing is left half-done by a panic under this lock: there is nothing in it.
        let _one_at_a_time = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        self.say_through(self.socket.as_fd(), packet, fds)?;
        self.answer()
    }

    /// Says something to the root through a socket that others may use as well: waits for room while it is full of what the root
    /// has not heard yet.
    fn say_through(
        &self,
        socket: BorrowedFd<'_>,
        packet: Packet,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), FamilyError> {
        loop {
            match packet::send(socket, packet, fds) {
                Err(Errno::AGAIN) if self.awaits_room(socket)? => {}
                sent => return sent.map_err(|errno| self.send_failed(errno)),
            }
        }
    }

    /// Whether there is room, or was for somebody, before the root ended.
    fn awaits_room(&self, socket: BorrowedFd<'_>) -> Result<bool, FamilyError> {
        kernel::writable_before(socket, self.root.as_fd())
            .map_err(|errno| FamilyError::from_errno("poll", errno))
    }

    fn root_gone(&self) -> FamilyError {
        FamilyError::RootGone { pid: self.root_pid }
    }

    /// A socket whose other side is closed is one that the root has given up, with which it ended; so is one that stayed full until
    /// its end.
    fn send_failed(&self, errno: Errno) -> FamilyError {
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::AGAIN => self.root_gone(),
            other => FamilyError::from_errno("sendmsg", other),
        }
    }

    fn answer(&self) -> Result<(Member, Fds), FamilyError> {
        loop {
            let readable = kernel::readable_before(self.socket.as_fd(), self.root.as_fd())
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
                Arrival::Nothing | Arrival::End => return Err(self.root_gone()),
            }
        }
    }
}

fn pid_of_root(table: &Table) -> u32 {
    table.holder_of(table::ROOT).map_or(0, |holder| holder.pid)
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
