//! The socket beside the rings, through which the descriptors of handles go.
//!
//! A frame or a result with handles has one packet here, put in before the store that makes it real: the number of the packet
//! (u64, little endian), with the descriptors as `SCM_RIGHTS`. Both sides number their packets from 0, and packets and what
//! they belong to are sent and taken in the same order; so the number only proves that both ends still agree.
//!
//! # Crash points
//!
//! A side that is killed between its packet and the store leaves a packet that nobody asks for. It goes with the socket: a link
//! does not outlive either of its ends.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The most descriptors that can go beside one item or result (SCM_MAX_FD of the kernel).
pub const DESCRIPTORS_MAX: usize = 253;

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Beside {
    socket: OwnedFd,
    sent: u64,
    received: u64,
}

/// Why the descriptors of a packet could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoHandles {
    /// They did not come: the other side broke the rules.
    #[error("the descriptors that belong to it did not come")]
    Missing,
    /// This process has no descriptor left. They are closed.
    #[error(
        "this process has no file descriptor left for it: raise RLIMIT_NOFILE (`ulimit -n`) or close some"
    )]
    OutOfDescriptors,
}

impl Beside {
    /// One end, and the descriptor of the other one.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self::over(ours), theirs))
    }

    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { socket, sent: 0, received: 0 }
    }

    /// Sends a packet; `AGAIN` when it would block and `flags` forbid that.
    pub(crate) fn send(
        &mut self,
        descriptors: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = descriptors.len() <= DESCRIPTORS_MAX;
        if !fits || !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::TOOMANYREFS);
        }
        let number = self.sent.to_le_bytes();
        let (socket, flags) = (self.socket.as_fd(), flags | SendFlags::NOSIGNAL);
        rustix::io::retry_on_intr(|| {
            sendmsg(socket, &[IoSlice::new(&number)], &mut control, flags)
        })?;
        self.sent += 1;
        Ok(())
    }

    /// The descriptors of the next packet. Never blocks.
    pub(crate) fn receive(&mut self) -> Result<Vec<OwnedFd>, NoHandles> {
        let mut number = [0; size_of::<u64>()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let (socket, flags) = (self.socket.as_fd(), RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(socket, &mut [IoSliceMut::new(&mut number)], &mut control, flags)
        });
        let received = received.map_err(|_| NoHandles::Missing)?;
        let descriptors: Vec<OwnedFd> = control.drain().filter_map(rights).flatten().collect();
        let expected = self.received;
        self.received += 1;
        if received.bytes != number.len() || u64::from_le_bytes(number) != expected {
            return Err(NoHandles::Missing);
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(NoHandles::OutOfDescriptors);
        }
        Ok(descriptors)
    }
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + use<'_>> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Beside, Beside) {
        let (ours, theirs) = Beside::pair().unwrap();
        (ours, Beside::over(theirs))
    }

    #[test]
    fn packets_come_in_order_with_their_descriptors() {
        let (mut ours, mut theirs) = pair();
        let (reader, writer) = std::io::pipe().unwrap();
        ours.send(&[reader.as_fd()], SendFlags::DONTWAIT).unwrap();
        ours.send(&[reader.as_fd(), writer.as_fd()], SendFlags::DONTWAIT).unwrap();
        assert_eq!(theirs.receive().unwrap().len(), 1);
        assert_eq!(theirs.receive().unwrap().len(), 2);
        assert_eq!(theirs.receive().unwrap_err(), NoHandles::Missing);
    }

    #[test]
    fn a_packet_out_of_order_is_refused() {
        let (mut ours, mut theirs) = pair();
        let (reader, _writer) = std::io::pipe().unwrap();
        ours.sent = 7;
        ours.send(&[reader.as_fd()], SendFlags::DONTWAIT).unwrap();
        assert_eq!(theirs.receive().unwrap_err(), NoHandles::Missing);
    }

    #[test]
    fn more_than_a_packet_holds_is_refused() {
        let (mut ours, _theirs) = pair();
        let (reader, _writer) = std::io::pipe().unwrap();
        let many = vec![reader.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(ours.send(&many, SendFlags::DONTWAIT), Err(Errno::TOOMANYREFS));
        ours.send(&many[1..], SendFlags::DONTWAIT).unwrap();
    }
}
