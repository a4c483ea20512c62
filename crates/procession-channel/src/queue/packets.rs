//! The descriptors of items, as packets (see `crate::packet`) in the socket beside the ring.
//!
//! A packet is sent under the lock of those who put, before its frame is real; so packets lie in the order of their frames. Its
//! tag names the sender and the item, and the frame repeats it. Who gets looks at the packet, makes the get real, then drops
//! the packet, all under the lock of those who get.
//!
//! Packets whose item nobody will ask for are left by a sender that is killed between packet and frame, and by a getter that is
//! killed between its get and the drop. They lie in front of those of later items, so whoever looks for one of these drops
//! them on the way.
//!
//! What can be under way is bounded by the socket's buffer, which is made so small that it holds about 64 packets.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use procession_shm::family::Member;
use procession_shm::transfer::Strangers;
use rustix::io::Errno;

use super::control::Place;
use super::{Corrupt, RecvError, SendErrorKind};
use crate::packet;

#[cfg(not(procession_loom))]
pub(super) use crate::packet::DESCRIPTORS_MAX;

/// What the kernel is told; it doubles it, and counts 768 bytes for a packet.
#[cfg(not(procession_loom))]
pub(super) const BUFFER_LEN: usize = 64 * 768 / 2;

/// Of the item that `me` puts at `place`. No two items under way have the same.
pub(super) fn tag(me: Member, place: Place) -> u64 {
    let member = u64::from(me.slot()) << 16 | u64::from(me.generation() & 0xffff);
    member << 32 | u64::from(place.items())
}

/// Sends a packet; false when there is no room for it now.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    tag: u64,
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, SendErrorKind> {
    match packet::send(socket, tag, descriptors) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(Errno::TOOMANYREFS) => Err(SendErrorKind::TooManyInFlight),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(SendErrorKind::Closed),
        Err(other) => Err(SendErrorKind::Io(other.into())),
    }
}

/// The `count` descriptors with this tag, which stay in the socket as well until [`discard`].
pub(super) fn peek(
    socket: BorrowedFd<'_>,
    tag: &[u8],
    count: usize,
) -> Result<Vec<OwnedFd>, RecvError> {
    let tag = tag.try_into().map(u64::from_le_bytes).map_err(|_| Corrupt("a tag is too short"))?;
    loop {
        let front = packet::peek(socket, None).map_err(refused)?;
        if front.tag != Some(tag) {
            // Who has a queue is trusted, so they are closed here, and not somewhere else later.
            drop(front.descriptors.into_known());
            packet::discard(socket).map_err(refused)?;
            continue;
        }
        let all = packet::unpack(front, count).map_err(refused)?;
        let wrong = Corrupt("an item has more or fewer descriptors than it says");
        return all.map(Strangers::into_known).ok_or(wrong.into());
    }
}

/// Drops the packet at the front, whose item is got. If the system cannot do that now, the next [`peek`] does: the item must not
/// be lost for it.
pub(super) fn discard(socket: BorrowedFd<'_>) -> Result<(), RecvError> {
    match packet::discard(socket).map_err(refused) {
        Err(RecvError::Io(_)) => Ok(()),
        done => done,
    }
}

fn refused(errno: Errno) -> RecvError {
    match errno {
        Errno::AGAIN => Corrupt("the descriptors of an item are missing").into(),
        other => RecvError::Io(io::Error::from(other)),
    }
}
