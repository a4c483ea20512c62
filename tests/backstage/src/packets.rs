//! Packets with descriptors over a socket between a test, which directs, and a process that does as it is told.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// As many as the kernel takes in one packet.
const DESCRIPTORS_MAX: usize = 253;

const PACKET_LEN_MAX: usize = 4096;

/// The two ends of a line.
pub fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// Sends one packet. Panics when nobody is there to receive it.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
    let sent =
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Ok(bytes.len()));
}

/// The next packet; an empty one at the end.
pub fn receive(socket: impl AsFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = [0; PACKET_LEN_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let buffer = &mut [IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&socket, buffer, &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    let len = received.map_or(0, |received| received.bytes);
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    (bytes[..len].to_vec(), fds.flatten().collect())
}

/// Has the kernel add a descriptor of its sender's process to each packet that comes out of this socket. False if it cannot do that, as
/// before Linux 6.5.
#[expect(unsafe_code, reason = "the libraries do not know of this option")]
pub fn ask_for_processes(socket: impl AsFd) -> bool {
    const SO_PASSPIDFD: libc::c_int = 76;
    let is_wanted: libc::c_int = 1;
    let (level, socket) = (libc::SOL_SOCKET, socket.as_fd().as_raw_fd());
    // SAFETY: the kernel reads as many bytes as a `c_int` has from where one is.
    let set =
        unsafe { libc::setsockopt(socket, level, SO_PASSPIDFD, (&raw const is_wanted).cast(), 4) };
    set == 0
}

/// How many descriptors of processes this process has.
pub fn open_processes() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().contains("pidfd")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_arrives_with_its_descriptors_and_the_end_is_empty() {
        let (here, there) = pair();
        let (reader, writer) = std::io::pipe().unwrap();
        send(&here, b"two ends", &[reader.as_fd(), writer.as_fd()]);
        drop(here);
        let (bytes, fds) = receive(&there);
        assert_eq!((&bytes[..], fds.len()), (&b"two ends"[..], 2));
        assert!(receive(&there).0.is_empty());
    }
}
