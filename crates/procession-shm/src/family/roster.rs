//! The root's book of members: which slot is whose, and through which descriptors each is watched.
//!
//! It lives in the root's private memory. Its loss with the root is no loss, because the family ends with the root; and no
//! member can spoil it.
//!
//! * **R1** A seat is in the book, and its socket in the epoll set, from before the other end of its socket leaves this
//!   process until the slot goes back to the free ones. So an invitation whose every copy is gone is noticed.
//! * **R2** A seat is `Live` in the table only while its pidfd is in the epoll set too (this is T1).
//! * **R3** A descriptor is taken out of the epoll set before it is closed: a forked copy of this process may hold it open,
//!   and the set would go on reporting it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::error::FamilyError;
use super::invitation::Invitation;
use super::kernel;
use super::member::Member;
use super::packet::{self, Arrival, Fds, Packet, Refusal};
use super::session::duplicate;
use super::table::{self, MEMBERS_MAX, Table};
use crate::segment::Segment;

/// What an event of the epoll set is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    Door,
    Timer,
    Socket(Member),
    Pidfd(Member),
}

impl Topic {
    fn encode(self) -> EventData {
        EventData::new_u64(match self {
            Self::Door => 0,
            Self::Timer => 1 << 16,
            Self::Socket(member) => 2 << 16 | member.to_bits(),
            Self::Pidfd(member) => 3 << 16 | member.to_bits(),
        })
    }

    pub(super) fn decode(data: EventData) -> Option<Self> {
        let bits = data.u64();
        let member = Member::from_bits(bits & !(3 << 16));
        match bits >> 16 & 3 {
            0 => Some(Self::Door),
            1 => Some(Self::Timer),
            2 => member.map(Self::Socket),
            _ => member.map(Self::Pidfd),
        }
    }
}

/// The book, and what it takes to keep it.
#[derive(Debug)]
pub(super) struct Roster {
    table: Arc<Table>,
    segment: Segment,
    epoll: OwnedFd,
    /// The inner side of the door at which forked processes ask to be let in.
    door: OwnedFd,
    pidfd: Result<OwnedFd, Errno>,
    seats: Mutex<Seats>,
}

#[derive(Debug)]
struct Seats {
    /// The longest free slot first: a stale slot and generation are the more certainly stale the later they come back.
    free: VecDeque<u16>,
    taken: Vec<Option<Seat>>,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    socket: OwnedFd,
    pidfd: Option<OwnedFd>,
    is_live: bool,
}

/// An invitation's seat, and the other end of its socket.
struct Opened {
    member: Member,
    theirs: OwnedFd,
}

impl Roster {
    /// A new family of which this process is the first member; also the outer side of its door.
    pub(super) fn found() -> Result<(Arc<Self>, OwnedFd), FamilyError> {
        let segment = Segment::new(table::LEN)?;
        let table = Arc::new(Table::new(segment.map()?));
        table.set_namespace(kernel::pid_namespace());
        let pidfd = kernel::own_pidfd();
        let mut holder = pidfd
            .as_ref()
            .map_or_else(|_| table::Holder::default(), |fd| kernel::holder_behind(fd.as_fd()));
        holder.pid = std::process::id();
        table.admit(table.reserve(table::ROOT.slot()), holder);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| FamilyError::from_errno("epoll_create", errno))?;
        let (door, outside) = super::session::pair()?;
        let free = (table::ROOT.slot() + 1..=MEMBERS_MAX).collect();
        let seats = Mutex::new(Seats { free, taken: Vec::new() });
        let this = Self { table, segment, epoll, door, pidfd, seats };
        this.watch(&this.door, Topic::Door)
            .map_err(|errno| FamilyError::from_errno("epoll_ctl", errno))?;
        Ok((Arc::new(this), outside))
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    pub(super) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(super) fn pidfd(&self) -> Result<BorrowedFd<'_>, FamilyError> {
        let pidfd = self.pidfd.as_ref().map(AsFd::as_fd);
        pidfd.map_err(|&errno| FamilyError::from_errno("pidfd_open", errno))
    }

    /// Has the watcher look at a descriptor.
    pub(super) fn watch(&self, fd: impl AsFd, topic: Topic) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, topic.encode(), EventFlags::IN)
    }

    fn unwatch(&self, fd: OwnedFd) {
        let deleted = epoll::delete(&self.epoll, &fd);
        debug_assert!(deleted.is_ok(), "what is in the book is in the epoll set: {deleted:?}");
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // A panic under this lock is one of the watcher, which ends the process.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn invite(&self) -> Result<Invitation, FamilyError> {
        let root = duplicate(self.pidfd()?)?;
        let table = duplicate(&self.segment)?;
        let Opened { member, theirs } = self.open(&mut self.seats())?;
        Ok(Invitation { member, table, socket: theirs, root })
    }

    /// Reserves a slot and watches over it (R1).
    fn open(&self, seats: &mut Seats) -> Result<Opened, Refusal> {
        if seats.free.is_empty() {
            return Err(Refusal::FULL);
        }
        let (socket, theirs) = packet::pair()?;
        let member = self.seat(seats, socket)?;
        Ok(Opened { member, theirs })
    }

    fn seat(&self, seats: &mut Seats, socket: OwnedFd) -> Result<Member, Refusal> {
        let slot = seats.free.pop_front().ok_or(Refusal::FULL)?;
        let member = self.table.reserve(slot);
        if let Err(errno) = self.watch(&socket, Topic::Socket(member)) {
            self.table.vacate(member);
            seats.free.push_back(slot);
            return Err(errno.into());
        }
        seats.put(Seat { member, socket, pidfd: None, is_live: false });
        Ok(member)
    }

    /// Watches the process behind the pidfd as the one that was invited, until it joins with a pidfd of its own.
    pub(super) fn attach(&self, member: Member, pidfd: OwnedFd) -> Result<(), Refusal> {
        self.attach_to(&mut self.seats(), member, pidfd)
    }

    fn attach_to(&self, seats: &mut Seats, member: Member, pidfd: OwnedFd) -> Result<(), Refusal> {
        let seat = seats.get(member).ok_or(Refusal::closed(member.slot()))?;
        if seat.is_live || seat.pidfd.is_some() {
            return Ok(());
        }
        self.watch(&pidfd, Topic::Pidfd(member))?;
        seat.pidfd = Some(pidfd);
        Ok(())
    }

    /// Does what a member's socket asks for, and says whether the member died.
    pub(super) fn hear(&self, member: Member) -> bool {
        let mut seats = self.seats();
        while let Some(seat) = seats.get(member) {
            match packet::receive(&seat.socket) {
                Ok(Arrival::Nothing) => return false,
                Ok(Arrival::Packet(Some(Packet::Leave), _)) => {
                    return self.let_go(&mut seats, member);
                }
                Ok(Arrival::Packet(Some(packet), fds)) => {
                    self.serve(&mut seats, member, packet, fds);
                }
                // What speaks another language is no member, and a socket that fails is as good as closed.
                Ok(Arrival::Packet(None, _) | Arrival::End) | Err(_) => {
                    return self.end(&mut seats, member);
                }
            }
        }
        false
    }

    /// The process behind a member's pidfd has ended. What it said last counts: it may have left before.
    pub(super) fn has_ended(&self, member: Member) -> bool {
        let died = self.hear(member);
        died | self.end(&mut self.seats(), member)
    }

    fn serve(&self, seats: &mut Seats, member: Member, packet: Packet, fds: Fds) {
        if packet == Packet::Rejoin {
            // Not the member speaks, but one that was forked from it; it has brought a socket of its own for the answer.
            return self.readmit(seats, fds);
        }
        let lost = fds.lost;
        let (result, opened) = match packet {
            Packet::Join(claimed) => (self.admit(seats, member, claimed, fds), None),
            Packet::Attach(invited) => (self.attach_sent(seats, invited, fds), None),
            Packet::Invite => match self.open_for(seats) {
                Ok(opened) => (Ok(opened.member), Some(opened.theirs)),
                Err(refusal) => (Err(refusal), None),
            },
            _ => (Err(Refusal::closed(member.slot())), None),
        };
        let result =
            result.map_err(|refusal| if lost { Refusal::OUT_OF_DESCRIPTORS } else { refusal });
        let Some(seat) = seats.get(member) else { return };
        self.answer(&seat.socket, result, opened.as_ref());
    }

    fn open_for(&self, seats: &mut Seats) -> Result<Opened, Refusal> {
        self.pidfd.as_ref().map_err(|&errno| Refusal::pidfd_denied(errno))?;
        self.open(seats)
    }

    fn attach_sent(&self, seats: &mut Seats, invited: Member, fds: Fds) -> Result<Member, Refusal> {
        let [pidfd] = fds.exactly().ok_or(Refusal::closed(invited.slot()))?;
        self.attach_to(seats, invited, pidfd)?;
        Ok(invited)
    }

    /// Answers, with an invitation's descriptors if `opened` is the socket of one. Nobody is there to hear it if the send
    /// fails: then the invitation's socket is closed here, and its seat ends as that of any dropped invitation.
    fn answer(&self, socket: &OwnedFd, result: Result<Member, Refusal>, opened: Option<&OwnedFd>) {
        let packet = result.map_or_else(Packet::Refused, Packet::Accepted);
        let sent = match (opened, &self.pidfd) {
            (Some(theirs), Ok(root)) => {
                packet::send(socket, packet, &[self.segment.as_fd(), theirs.as_fd(), root.as_fd()])
            }
            _ => packet::send(socket, packet, &[]),
        };
        if let Err(errno) = sent {
            // A refusal has no descriptors, so it also gets through where those were the trouble.
            let _ = packet::send(socket, Packet::Refused(errno.into()), &[]);
        }
    }

    /// R2: watch, then `Live`.
    fn admit(
        &self,
        seats: &mut Seats,
        member: Member,
        claimed: Member,
        fds: Fds,
    ) -> Result<Member, Refusal> {
        let closed = Refusal::closed(claimed.slot());
        let seat =
            seats.get(member).filter(|seat| claimed == member && !seat.is_live).ok_or(closed)?;
        if let Some([own]) = fds.exactly() {
            self.watch(&own, Topic::Pidfd(member))?;
            if let Some(attached) = seat.pidfd.replace(own) {
                self.unwatch(attached);
            }
        }
        let pidfd = seat.pidfd.as_ref().ok_or(Refusal::pidfd_denied(Errno::PERM))?;
        self.table.admit(member, self.holder_behind(pidfd));
        seat.is_live = true;
        Ok(member)
    }

    /// T4; what `/proc` says of a pid is worth nothing where it counts otherwise than this process.
    fn holder_behind(&self, pidfd: &OwnedFd) -> table::Holder {
        let holder = kernel::holder_behind(pidfd.as_fd());
        if self.table.namespace() == 0 { table::Holder { pid: 0, ..holder } } else { holder }
    }

    /// Somebody forked from this process stands at the door.
    pub(super) fn open_door(&self) {
        while let Ok(Arrival::Packet(packet, fds)) = packet::receive(&self.door) {
            if packet == Some(Packet::Rejoin) {
                self.readmit(&mut self.seats(), fds);
            }
        }
    }

    /// A forked process is let in: reserved, watched and `Live` in one go, since it is here already. It hears the end of its
    /// socket when the root has no descriptor left for it.
    fn readmit(&self, seats: &mut Seats, fds: Fds) {
        let Some([pidfd, socket]) = fds.exactly() else { return };
        let Ok(answer_to) = duplicate(&socket) else { return };
        let result = self.seat(seats, socket).and_then(|member| {
            self.attach_to(seats, member, pidfd)?;
            self.admit(seats, member, member, Fds::default())
        });
        let packet = result.map_or_else(Packet::Refused, Packet::Accepted);
        let table = [self.segment.as_fd()];
        let fds = if result.is_ok() { &table[..] } else { &[] };
        // Nobody hears it if it fails: the applicant is dead, and its pidfd says so.
        let _ = packet::send(&answer_to, packet, fds);
    }

    /// A clean leave: the slot is free, and nobody needs to be woken.
    fn let_go(&self, seats: &mut Seats, member: Member) -> bool {
        let Some(seat) = seats.take(member) else { return false };
        self.table.vacate(member);
        self.answer(&seat.socket, Ok(member), None);
        self.clear(seats, seat);
        false
    }

    /// A seat's end that nobody announced: a death if a member sat there, else only an unused invitation.
    fn end(&self, seats: &mut Seats, member: Member) -> bool {
        let Some(seat) = seats.take(member) else { return false };
        let died = seat.is_live;
        if died {
            // Somebody on the second line may have buried it already, and may have died before he told anybody.
            self.table.bury(member);
        } else {
            self.table.vacate(member);
        }
        self.clear(seats, seat);
        died
    }

    fn clear(&self, seats: &mut Seats, seat: Seat) {
        if crate::seeded!("slot-reused-last-first") {
            seats.free.push_front(seat.member.slot());
        } else {
            seats.free.push_back(seat.member.slot());
        }
        self.unwatch(seat.socket);
        if let Some(pidfd) = seat.pidfd {
            self.unwatch(pidfd);
        }
    }

    /// All descriptors, for a forked copy to close; those of the seats only if the book was not open when it was copied.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let own = [self.segment.as_fd(), self.epoll.as_fd(), self.door.as_fd()];
        let mut fds: Vec<RawFd> = own.iter().map(AsRawFd::as_raw_fd).collect();
        fds.extend(self.pidfd.iter().map(AsRawFd::as_raw_fd));
        if let Ok(seats) = self.seats.try_lock() {
            for seat in seats.taken.iter().flatten() {
                fds.push(seat.socket.as_raw_fd());
                fds.extend(seat.pidfd.iter().map(AsRawFd::as_raw_fd));
            }
        }
        fds
    }
}

impl Seats {
    fn get(&mut self, member: Member) -> Option<&mut Seat> {
        let seat = self.taken.get_mut(usize::from(member.slot()))?.as_mut();
        seat.filter(|seat| seat.member == member)
    }

    fn take(&mut self, member: Member) -> Option<Seat> {
        self.get(member)?;
        self.taken[usize::from(member.slot())].take()
    }

    fn put(&mut self, seat: Seat) {
        let index = usize::from(seat.member.slot());
        if self.taken.len() <= index {
            self.taken.resize_with(index + 1, || None);
        }
        self.taken[index] = Some(seat);
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
