//! The descriptors of a message: one packet (see `crate::packet`) in the socket beside the ring, sent before the message is real.
//!
//! Its tag is the sequence number of the message. The receiver looks at it without taking it, commits the message, then drops
//! it. So a receiver that has no descriptor left loses nothing, and one that is killed in between leaves the packet where the
//! message is.
//!
//! What comes is the sender's choice, who need not be trusted: see [`Strangers`]. A packet that nobody asks for is dropped while
//! this process has its descriptors itself, so that it is not the kernel that closes them, in the middle of that call. Nothing is
//! taken while too much is left of what came before, or if it is too much by itself: see [`Closer`].
//!
//! A sender that is killed between packet and message leaves a packet behind that nobody asks for. It is the last one, because
//! its end died with it, and goes with the socket.

use std::io;
use std::os::fd::BorrowedFd;

use procession_shm::Deadline;
use procession_shm::transfer::{Closer, NoRoom, Strangers};
use rustix::io::Errno;

use super::outlet::UNDELIVERED_MAX;
use super::{RecvError, SendErrorKind, Violation};
use crate::packet::{self, Packet};

pub(super) use crate::packet::DESCRIPTORS_MAX;

/// Puts the descriptors of message `sequence` into the socket. Never blocks.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    sequence: u64,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendErrorKind> {
    packet::send(socket, sequence, descriptors).map_err(|errno| match errno {
        // The budget of a pipe is far below what its socket holds; only a receiver that lies about what it took fills it.
        Errno::TOOMANYREFS | Errno::AGAIN => SendErrorKind::TooManyInFlight,
        Errno::PIPE | Errno::CONNRESET => SendErrorKind::Closed,
        other => SendErrorKind::Io(other.into()),
    })
}

/// The `count` descriptors of message `sequence`, which stay in the socket as well until [`discard`].
///
/// What lies in front of them and is of earlier messages was not dropped in its time, and is now. There are only so many, unless
/// the sender makes them up. `closer` is for what a sender has sent that is not trusted; for what it is still busy with is waited until
/// then.
pub(super) fn peek(
    socket: BorrowedFd<'_>,
    sequence: u64,
    count: usize,
    closer: Option<&Closer>,
    until: &Deadline,
) -> Result<Strangers, RecvError> {
    for _ in 0..=UNDELIVERED_MAX {
        if let Some(closer) = closer {
            closer.need_room(count, until).map_err(no_room)?;
        }
        let front = packet::peek(socket, closer).and_then(Packet::whole).map_err(refused)?;
        if front.tag == Some(sequence) {
            let all = packet::unpack(front, count).map_err(refused)?;
            let wrong = Violation::Descriptors("there are more or fewer of them");
            return all.ok_or_else(|| wrong.into());
        }
        if front.tag.is_none_or(|tag| tag > sequence) {
            break;
        }
        packet::discard(socket).map_err(refused)?;
        drop(front);
    }
    Err(Violation::Descriptors("their packet belongs to another message").into())
}

/// Drops the packet that was looked at last, whose message is taken. If the system cannot do that now, the next [`peek`] does:
/// the message must not be lost for it.
pub(super) fn discard(socket: BorrowedFd<'_>) -> Result<(), RecvError> {
    match packet::discard(socket).map_err(refused) {
        Err(RecvError::Io(_)) => Ok(()),
        done => done,
    }
}

fn no_room(why: NoRoom) -> RecvError {
    match why {
        NoRoom::TooMany { .. } => refused(Errno::MFILE),
        other => RecvError::Io(io::Error::other(other)),
    }
}

fn refused(errno: Errno) -> RecvError {
    match errno {
        Errno::AGAIN => Violation::Descriptors("their packet is missing").into(),
        other => RecvError::Io(io::Error::from(other)),
    }
}
