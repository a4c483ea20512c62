//! The descriptors of a message: one packet in the socket beside the ring, sent before the message is real.
//!
//! A packet is the sequence number of its message (u64, little endian) with the descriptors as `SCM_RIGHTS`. The receiver
//! looks at it without taking it (`MSG_PEEK`), commits the message, then drops it. So a receiver that has no descriptor left
//! loses nothing, and one that is killed in between leaves the packet where the message is.
//!
//! A sender that is killed between packet and message leaves a packet behind that nobody asks for. It is the last one, because
//! its end died with it, and goes with the socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};

use super::{RecvError, SendErrorKind, Violation};

/// The kernel's limit of descriptors in one packet (SCM_MAX_FD).
pub(super) const DESCRIPTORS_MAX: usize = 253;

const TAG_LEN: usize = size_of::<u64>();

/// Puts the descriptors of message `sequence` into the socket. Never blocks.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    sequence: u64,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendErrorKind> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        let (count, limit) = (descriptors.len(), DESCRIPTORS_MAX);
        return Err(SendErrorKind::TooManyDescriptors { count, limit });
    }
    let tag = sequence.to_le_bytes();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&tag)], &mut control, flags));
    sent.map(drop).map_err(|errno| match errno {
        // The budget of a pipe is far below what its socket holds; only a receiver that lies about what it took fills it.
        Errno::TOOMANYREFS | Errno::AGAIN => SendErrorKind::TooManyInFlight,
        Errno::PIPE | Errno::CONNRESET => SendErrorKind::Closed,
        other => SendErrorKind::Io(other.into()),
    })
}

/// The `count` descriptors of message `sequence`, which stay in the socket as well until [`discard`].
pub(super) fn peek(
    socket: BorrowedFd<'_>,
    sequence: u64,
    count: usize,
) -> Result<Vec<OwnedFd>, RecvError> {
    let mut tag = [0; TAG_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut tag)], &mut control, flags)
    });
    let received = received.map_err(refused)?;
    let descriptors: Vec<OwnedFd> = control.drain().filter_map(rights).flatten().collect();
    if received.bytes != TAG_LEN || u64::from_le_bytes(tag) != sequence {
        return Err(Violation::Descriptors("their packet belongs to another message").into());
    }
    if descriptors.len() == count {
        return Ok(descriptors);
    }
    // The kernel leaves out what it finds no number for.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(RecvError::Io(Errno::MFILE.into()));
    }
    Err(Violation::Descriptors("there are more or fewer of them").into())
}

/// Drops the packet that was looked at last.
pub(super) fn discard(socket: BorrowedFd<'_>) -> Result<(), RecvError> {
    // Received without room for them, its descriptors are closed by the kernel.
    let mut tag = [0; TAG_LEN];
    rustix::io::retry_on_intr(|| recv(socket, &mut tag[..], RecvFlags::DONTWAIT))
        .map(drop)
        .map_err(refused)
}

fn refused(errno: Errno) -> RecvError {
    match errno {
        Errno::AGAIN => Violation::Descriptors("their packet is missing").into(),
        other => RecvError::Io(io::Error::from(other)),
    }
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + use<'_>> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    }
}
