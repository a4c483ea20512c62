//! A packet out of a Unix socket, with all the descriptors that the kernel has made for it.
//!
//! Those that its sender has put into it are not the only ones. The kernel adds one of the sender's process (`SCM_PIDFD`) where that is
//! asked for at the socket, and whoever had the socket before, or has a copy, may have asked. Nobody here wants it, so it is closed: by
//! who does not know of it, a number would be lost with each packet. To take the wish back at the socket is not enough, as it
//! can be there again when the packet comes.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// The kernel's limit of descriptors in one packet (SCM_MAX_FD).
pub const PACKET_DESCRIPTORS_MAX: usize = 253;

/// The kernel's number for a message beside a packet that is a descriptor of its sender's process.
const SCM_PIDFD: i32 = 4;

/// What is in front of each message beside a packet: its length with this (usize), its level and its kind (i32 each).
const HEAD_LEN: usize = 16;

/// For as many descriptors as there can be, and for what the kernel may be asked to add: who the sender is, in several forms.
const SPACE_LEN: usize = rustix::cmsg_space!(ScmRights(PACKET_DESCRIPTORS_MAX)) + 256;

/// Where the kernel puts what is beside a packet, as its first message is aligned.
#[repr(C, align(8))]
struct Space([MaybeUninit<u8>; SPACE_LEN]);

/// A packet that came out of a socket.
///
/// ```
/// use std::os::fd::AsFd;
/// use procession_shm::transfer::{Packet, receive_packet};
/// use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, send, socketpair};
///
/// let (ours, theirs) =
///     socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
/// send(&theirs, b"hello", SendFlags::empty())?;
/// let packet: Packet = receive_packet(ours.as_fd(), &mut [0; 10], RecvFlags::empty())?;
/// assert_eq!((packet.len, packet.descriptors.len(), packet.is_cut), (5, 0, false));
/// # Ok::<(), rustix::io::Errno>(())
/// ```
#[derive(Debug)]
pub struct Packet {
    /// How many bytes of it have come; 0 also at the end of the stream.
    pub len: usize,
    /// The descriptors that its sender has put into it. None of them outlives an `exec`.
    pub descriptors: Vec<OwnedFd>,
    /// Whether the kernel left descriptors out, because it found no number for them here.
    pub is_cut: bool,
    /// Whether there were more bytes than have come.
    pub is_longer: bool,
}

/// Receives a packet into `bytes`. What is longer is cut off.
///
/// # Errors
///
/// Those of `recvmsg(2)`, but for `EINTR`, after which it is tried again.
///
/// ```
/// use std::os::fd::AsFd;
/// use procession_shm::transfer::receive_packet;
/// use rustix::io::Errno;
/// use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
///
/// let (ours, _theirs) =
///     socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
/// let nothing = receive_packet(ours.as_fd(), &mut [0; 10], RecvFlags::DONTWAIT);
/// assert!(matches!(nothing, Err(Errno::AGAIN)));
/// # Ok::<(), Errno>(())
/// ```
pub fn receive_packet(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> Result<Packet, Errno> {
    // Zeros, so that the end of what the kernel has written can be told.
    let mut space = Space([MaybeUninit::new(0); SPACE_LEN]);
    let mut control = RecvAncillaryBuffer::new(&mut space.0);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)
    })?;
    let descriptors = control.drain().filter_map(rights).flatten().collect();
    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    let is_longer = received.flags.contains(ReturnFlags::TRUNC);
    drop(control);
    close_process(&space);
    Ok(Packet { len: received.bytes, descriptors, is_cut, is_longer })
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + use<'_>> {
    match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    }
}

/// Closes the descriptor of the sender's process, if there is one beside the packet.
fn close_process(space: &Space) {
    // SAFETY: all of it was initialized, and the kernel writes bytes.
    let space = space.0.map(|byte| unsafe { byte.assume_init() });
    let mut rest = &space[..];
    while let Some((message, after)) = split_message(rest) {
        if let Some(process) = process_in(message) {
            // SAFETY: the kernel has made it for this packet, and `rustix` knows nothing of such messages: nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(process) });
        }
        rest = after;
    }
}

/// The first message, and what follows it.
fn split_message(space: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from_ne_bytes(*space.first_chunk()?);
    let message = space.get(..len).filter(|_| len >= HEAD_LEN)?;
    Some((message, space.get(len.next_multiple_of(8)..).unwrap_or_default()))
}

/// The descriptor in this message, if it is one of a process; instead of one it may have an error.
fn process_in(message: &[u8]) -> Option<RawFd> {
    let (head, body) = message.split_at_checked(HEAD_LEN)?;
    let number = |at: usize| head.get(at..)?.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
    let is_process = number(8) == Some(libc::SOL_SOCKET) && number(12) == Some(SCM_PIDFD);
    let process = i32::from_ne_bytes(*body.first_chunk().filter(|_| is_process)?);
    (process >= 0).then_some(process)
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use backstage::packets::{ask_for_processes, open_processes, pair, send};

    use super::*;

    #[test]
    fn what_the_kernel_adds_to_a_packet_is_closed_and_the_rest_is_there() {
        let (ours, theirs) = pair();
        if !ask_for_processes(ours.as_fd()) {
            let test = "what_the_kernel_adds_to_a_packet_is_closed_and_the_rest_is_there";
            return skips::skipped(test, "this kernel adds no descriptors of processes");
        }
        let file = File::open("/dev/null").unwrap();
        for count in [0, 1, 2, 3, 251, 252, 253] {
            send(&theirs, b"packet", &vec![file.as_fd(); count]);
            for flags in [RecvFlags::PEEK, RecvFlags::empty()] {
                let packet = receive_packet(ours.as_fd(), &mut [0; 9], flags).unwrap();
                assert_eq!((packet.len, packet.descriptors.len()), (6, count));
                assert_eq!(open_processes(), 0, "beside {count} others");
            }
        }
        let credentials = rustix::net::sockopt::set_socket_passcred(&ours, true);
        assert_eq!(credentials, Ok(()));
        send(&theirs, b"packet", &[file.as_fd()]);
        let packet = receive_packet(ours.as_fd(), &mut [0; 9], RecvFlags::empty()).unwrap();
        assert_eq!((packet.descriptors.len(), open_processes()), (1, 0));
    }
}
