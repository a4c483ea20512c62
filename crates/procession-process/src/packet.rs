//! One packet on a Unix socket, with the descriptors that it carries.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use procession_shm::transfer::{self, receive_packet};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

pub(crate) use procession_shm::transfer::PACKET_DESCRIPTORS_MAX as DESCRIPTORS_MAX;

/// The longest packet that this crate sends: it must fit the smallest socket buffer.
pub(crate) const BYTES_MAX: usize = 32 << 10;

/// Sends one packet. A peer that is gone is an error and no signal.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    if bytes.len() > BYTES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | flags;
    let parts = [IoSlice::new(bytes)];
    rustix::io::retry_on_intr(|| sendmsg(&socket, &parts, &mut control, flags))?;
    Ok(())
}

/// One packet as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Empty at the end of file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether bytes or descriptors were lost on the way.
    pub(crate) is_cut: bool,
}

/// Receives one packet; its descriptors are closed on exec.
pub(crate) fn receive(socket: impl AsFd, flags: RecvFlags) -> rustix::io::Result<Packet> {
    // Cleared memory is touched memory, and most packets are a hundredth of the longest. What is there already tells enough;
    // where nothing is there yet, any packet may come.
    let waiting = rustix::io::ioctl_fionread(&socket).unwrap_or(0);
    let expected = usize::try_from(waiting).ok().filter(|len| (1..BYTES_MAX).contains(len));
    let mut bytes = vec![0; expected.unwrap_or(BYTES_MAX)];
    let transfer::Packet { len, descriptors, is_cut, is_longer } =
        receive_packet(socket.as_fd(), &mut bytes, flags)?;
    bytes.truncate(len);
    Ok(Packet { bytes, descriptors, is_cut: is_cut || is_longer })
}
