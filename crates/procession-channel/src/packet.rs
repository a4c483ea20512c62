//! File descriptors in a socket, one packet for each message that has any.
//!
//! A packet is a tag (u64, little endian), by which its message finds it, with the descriptors as `SCM_RIGHTS`. It can be looked
//! at without being taken (`MSG_PEEK`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};

/// The kernel's limit of descriptors in one packet (SCM_MAX_FD).
pub(crate) const DESCRIPTORS_MAX: usize = 253;

const TAG_LEN: usize = size_of::<u64>();

/// The packet at the front of a socket.
#[derive(Debug)]
pub(crate) struct Packet {
    /// `None` if it is nothing that [`send`] sent.
    pub(crate) tag: Option<u64>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether the kernel left descriptors out, because it found no number for them here.
    pub(crate) is_cut: bool,
}

/// Puts a packet into the socket; never blocks. With more than [`DESCRIPTORS_MAX`] descriptors it is `EINVAL`.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    tag: u64,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let tag = tag.to_le_bytes();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&tag)], &mut control, flags))
        .map(drop)
}

/// The packet at the front, which stays in the socket as well until [`discard`]. `EAGAIN` if there is none.
pub(crate) fn peek(socket: BorrowedFd<'_>) -> Result<Packet, Errno> {
    let mut tag = [0; TAG_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut tag)], &mut control, flags)
    })?;
    Ok(Packet {
        tag: (received.bytes == TAG_LEN).then_some(u64::from_le_bytes(tag)),
        descriptors: control.drain().filter_map(rights).flatten().collect(),
        is_cut: received.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Drops the packet at the front.
pub(crate) fn discard(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // Received without room for them, its descriptors are closed by the kernel.
    let mut tag = [0; TAG_LEN];
    rustix::io::retry_on_intr(|| recv(socket, &mut tag[..], RecvFlags::DONTWAIT)).map(drop)
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + use<'_>> {
    match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    }
}
