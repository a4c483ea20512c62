//! File descriptors in a socket, one packet for each message that has any.
//!
//! A packet is a tag (u64, little endian), by which its message finds it, with the descriptors as `SCM_RIGHTS`. It can be looked
//! at without being taken (`MSG_PEEK`).
//!
//! The kernel carries 253 descriptors in a packet. If there are more, the packet has sockets instead, in each of which lies one
//! packet with 253 of them (the last with the rest) and the same tag. They too are looked at and not taken, and go with the outer
//! packet. Rejected: one socket with all the packets, of which only the first can be looked at; a socket in a socket in a socket,
//! which the kernel allows four times.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use procession_shm::transfer::{self, Closer, PACKET_DESCRIPTORS_MAX as PACKET_MAX, Strangers};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair, sockopt,
};

/// So many descriptors go with one message at most.
pub(crate) const DESCRIPTORS_MAX: usize = PACKET_MAX * PACKET_MAX;

const TAG_LEN: usize = size_of::<u64>();

/// The packet at the front of a socket.
#[derive(Debug)]
pub(crate) struct Packet {
    /// `None` if it is nothing that [`send`] sent.
    pub(crate) tag: Option<u64>,
    pub(crate) descriptors: Strangers,
    /// Whether the kernel left descriptors out, because it found no number for them here.
    pub(crate) is_cut: bool,
}

impl Packet {
    /// `EMFILE` if descriptors were left out. Those that were not are closed at once, to make room: all of them are in the packet still.
    pub(crate) fn whole(self) -> Result<Self, Errno> {
        if self.is_cut {
            drop(self.descriptors.into_known());
            return Err(Errno::MFILE);
        }
        Ok(self)
    }
}

/// Puts a packet into the socket; never blocks. With more than [`DESCRIPTORS_MAX`] descriptors it is `EINVAL`.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    tag: u64,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    if descriptors.len() <= PACKET_MAX {
        return send_one(socket, tag, descriptors);
    }
    let bundles = descriptors.chunks(PACKET_MAX).map(|some| bundle(tag, some));
    let bundles: Vec<OwnedFd> = bundles.collect::<Result<_, _>>()?;
    send_one(socket, tag, &bundles.iter().map(AsFd::as_fd).collect::<Vec<_>>())
}

/// A socket in which these descriptors lie.
fn bundle(tag: u64, descriptors: &[BorrowedFd<'_>]) -> Result<OwnedFd, Errno> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    send_one(ours.as_fd(), tag, descriptors)?;
    Ok(theirs)
}

fn send_one(socket: BorrowedFd<'_>, tag: u64, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let tag = tag.to_le_bytes();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&tag)], &mut control, flags))
        .map(drop)
}

/// The packet at the front, which stays in the socket as well until [`discard`]. `EAGAIN` if there is none. `closer` is for what its
/// sender has sent, if that is not trusted.
pub(crate) fn peek(socket: BorrowedFd<'_>, closer: Option<&Closer>) -> Result<Packet, Errno> {
    let mut tag = [0; TAG_LEN];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let transfer::Packet { len, descriptors, is_cut, .. } =
        transfer::receive_packet(socket, &mut tag, flags)?;
    Ok(Packet {
        tag: (len == TAG_LEN).then_some(u64::from_le_bytes(tag)),
        descriptors: Strangers::new(descriptors, closer),
        is_cut,
    })
}

/// What the descriptors of a packet are that belongs to a message of `count`: `None` if it does not have so many, or if they are not
/// what [`send`] sends.
///
/// `EMFILE` when the kernel found no number for some of them here; all of them are in the packet still.
pub(crate) fn unpack(front: Packet, count: usize) -> Result<Option<Strangers>, Errno> {
    let Packet { tag, descriptors, .. } = front.whole()?;
    if count <= PACKET_MAX || descriptors.len() != count.div_ceil(PACKET_MAX) {
        return Ok((descriptors.len() == count).then_some(descriptors));
    }
    let mut all = Strangers::new(Vec::new(), descriptors.closer());
    for bundle in &*descriptors {
        let wanted = PACKET_MAX.min(count - all.len());
        let Some(some) = look_into(bundle, tag, wanted, descriptors.closer())? else {
            return Ok(None);
        };
        some.into_known().into_iter().for_each(|descriptor| all.push(descriptor));
    }
    all.keep(descriptors);
    Ok(Some(all))
}

/// The descriptors in a socket that should be a [`bundle`].
fn look_into(
    bundle: &OwnedFd,
    tag: Option<u64>,
    count: usize,
    closer: Option<&Closer>,
) -> Result<Option<Strangers>, Errno> {
    if !is_channel_socket(bundle) {
        return Ok(None);
    }
    let Ok(front) = peek(bundle.as_fd(), closer) else { return Ok(None) };
    let front = front.whole()?;
    let is_right = front.tag == tag && front.descriptors.len() == count;
    Ok(is_right.then_some(front.descriptors))
}

/// Whether it is a socket of the kind that a channel has. The kernel answers this for any descriptor without asking its file.
pub(crate) fn is_channel_socket(socket: &OwnedFd) -> bool {
    sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET)
}

/// Drops the packet at the front.
pub(crate) fn discard(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // Received without room for them, its descriptors are closed by the kernel.
    let mut tag = [0; TAG_LEN];
    rustix::io::retry_on_intr(|| recv(socket, &mut tag[..], RecvFlags::DONTWAIT)).map(drop)
}
