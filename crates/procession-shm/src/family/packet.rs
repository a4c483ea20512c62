//! What members and root say to each other: packets of 16 bytes with a few descriptors.
//!
//! The sockets are of type `SOCK_SEQPACKET`: a packet arrives whole or not at all, so a process killed in the middle of
//! saying something has not said it, and descriptors stay with the packet they were sent with.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::error::FamilyError;
use super::member::Member;

/// The most descriptors that travel with one packet.
const FDS_MAX: usize = 3;
const LEN: usize = 16;

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Packet {
    /// Invited to root, on the invited one's own socket: here I am. With its pidfd if it can have one.
    Join(Member),
    /// Member to root: I hold nothing and go.
    Leave,
    /// Member to root: I want to invite somebody.
    Invite,
    /// Member to root, with a pidfd: this is the process that I invited.
    Attach(Member),
    /// Forked process to root through the door, with its pidfd and a socket for the answer: let me be a member.
    Rejoin,
    /// Root: done. To `Invite` and `Rejoin`, with the descriptors that belong to it.
    Accepted(Member),
    /// Root: not done.
    Refused(Refusal),
}

/// Why the root did not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    reason: u32,
    detail: u64,
}

const FULL: u32 = 1;
const OUT_OF_DESCRIPTORS: u32 = 2;
const PIDFD_DENIED: u32 = 3;
const CLOSED: u32 = 4;

impl Refusal {
    /// The root has no pidfd to give or was given none, because the kernel answered `errno`.
    pub(super) fn pidfd_denied(errno: Errno) -> Self {
        Self { reason: PIDFD_DENIED, detail: u64::from(errno.raw_os_error().unsigned_abs()) }
    }

    pub(super) const FULL: Self = Self { reason: FULL, detail: 0 };
    pub(super) const OUT_OF_DESCRIPTORS: Self = Self { reason: OUT_OF_DESCRIPTORS, detail: 0 };

    pub(super) fn closed(slot: u16) -> Self {
        Self { reason: CLOSED, detail: u64::from(slot) }
    }

    fn of_errno(errno: Errno) -> Self {
        Self { reason: 0, detail: u64::from(errno.raw_os_error().unsigned_abs()) }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::TOOMANYREFS => Self::OUT_OF_DESCRIPTORS,
            other => Self::of_errno(other),
        }
    }
}

impl From<Refusal> for FamilyError {
    fn from(refusal: Refusal) -> Self {
        let errno = || Errno::from_raw_os_error(i32::try_from(refusal.detail).unwrap_or(i32::MAX));
        match refusal.reason {
            FULL => Self::FULL,
            OUT_OF_DESCRIPTORS => Self::OutOfDescriptors,
            PIDFD_DENIED => Self::from_errno("pidfd_open", errno()),
            CLOSED => {
                Self::InvitationClosed { slot: u16::try_from(refusal.detail).unwrap_or(u16::MAX) }
            }
            _ => Self::from_errno("a system call of the root", errno()),
        }
    }
}

impl Packet {
    fn encode(self) -> [u8; LEN] {
        let (kind, value, word) = match self {
            Self::Join(member) => (1, 0, member.to_bits()),
            Self::Leave => (2, 0, 0),
            Self::Invite => (3, 0, 0),
            Self::Attach(member) => (4, 0, member.to_bits()),
            Self::Rejoin => (5, 0, 0),
            Self::Accepted(member) => (6, 0, member.to_bits()),
            Self::Refused(refusal) => (7, refusal.reason, refusal.detail),
        };
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&u32::to_ne_bytes(kind));
        bytes[4..8].copy_from_slice(&u32::to_ne_bytes(value));
        bytes[8..].copy_from_slice(&u64::to_ne_bytes(word));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let word = u64::from_ne_bytes(rest.try_into().ok()?);
        Some(match u32::from_ne_bytes(*kind) {
            1 => Self::Join(Member::from_bits(word)?),
            2 => Self::Leave,
            3 => Self::Invite,
            4 => Self::Attach(Member::from_bits(word)?),
            5 => Self::Rejoin,
            6 => Self::Accepted(Member::from_bits(word)?),
            7 => Self::Refused(Refusal { reason: u32::from_ne_bytes(*value), detail: word }),
            _ => return None,
        })
    }
}

/// A pair of connected sockets, closed on exec.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends a packet, without ever blocking or raising `SIGPIPE`.
pub(super) fn send(socket: impl AsFd, packet: Packet, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = packet.encode();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(fds));
        assert!(fits, "a packet carries at most {FDS_MAX} descriptors");
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, flags)
    })
    .map(drop)
}

/// What arrived on a socket.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A packet; `None` when it is one that nobody sends.
    Packet(Option<Packet>, Fds),
    /// Nothing yet, or nothing for which the kernel has memory now: it stays where it is.
    Nothing,
    /// The other side is gone and has nothing more to say.
    End,
}

/// The descriptors that came with a packet.
#[derive(Debug, Default)]
pub(super) struct Fds {
    fds: Vec<OwnedFd>,
    /// Whether the kernel had to throw some away, because this process has no room for them.
    pub(super) lost: bool,
}

impl Fds {
    /// The descriptors, if there are exactly so many.
    pub(super) fn exactly<const N: usize>(self) -> Option<[OwnedFd; N]> {
        self.fds.try_into().ok()
    }
}

/// Takes the next packet from a socket, without blocking.
pub(super) fn receive(socket: impl AsFd) -> Result<Arrival, Errno> {
    let mut bytes = [0; LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
    });
    let received = match received {
        Ok(received) if received.bytes == 0 => return Ok(Arrival::End),
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS) => return Ok(Arrival::Nothing),
        Err(Errno::CONNRESET) => return Ok(Arrival::End),
        Err(errno) => return Err(errno),
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let lost = received.flags.contains(ReturnFlags::CTRUNC);
    Ok(Arrival::Packet(Packet::decode(&bytes[..received.bytes]), Fds { fds, lost }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in() {
        let member = Member::new(7, 9).unwrap();
        let refusal = Refusal::closed(7);
        for packet in [
            Packet::Join(member),
            Packet::Leave,
            Packet::Invite,
            Packet::Attach(member),
            Packet::Rejoin,
            Packet::Accepted(member),
            Packet::Refused(refusal),
        ] {
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        }
        assert_eq!(Packet::decode(&[0; LEN]), None);
        assert_eq!(Packet::decode(&Packet::Leave.encode()[..LEN - 1]), None);
    }

    #[test]
    fn descriptors_travel_with_their_packet() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, Packet::Leave, &[]).unwrap();
        send(&ours, Packet::Invite, &[ours.as_fd(), theirs.as_fd()]).unwrap();
        let Arrival::Packet(Some(Packet::Leave), fds) = receive(&theirs).unwrap() else { panic!() };
        assert!(fds.exactly::<0>().is_some());
        let Arrival::Packet(Some(Packet::Invite), fds) = receive(&theirs).unwrap() else {
            panic!()
        };
        assert!(fds.exactly::<2>().is_some());
        assert!(matches!(receive(&theirs), Ok(Arrival::Nothing)));
        drop(ours);
        assert!(matches!(receive(&theirs), Ok(Arrival::End)));
    }
}
