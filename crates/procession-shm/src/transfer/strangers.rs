//! What a process that is not trusted has sent, and how to be rid of it.
//!
//! To close a descriptor can take as long as whoever made it likes: a socket lingers until all was read from it, a file system answers
//! late or never. It is the last one to close it who waits, and for what lies in a socket that nobody will read, it is who closes that
//! socket. So descriptors that are not what they should be are closed on a [thread of their own](crate::quiet::bury), and so is a socket in which
//! something is left.
//!
//! Rejected: to take the lingering away from what arrives. Its sender can give it back as long as it has a copy. Rejected: one thread for
//! all that is closed. The first that takes its time would keep all others open.
//!
//! # Not guaranteed
//!
//! What a handle has been made of is its owner's to close, who knows what he has asked for. Of a packet for which this process has not
//! descriptors enough, those that fit are closed at once, so that there is room for another attempt.

use std::mem::take;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, Shutdown, recvmsg, shutdown, sockopt,
};

use crate::quiet;

/// Descriptors that a process has sent that need not be trusted, until somebody knows what they are. Dropped, they are closed where that holds
/// nobody up.
///
/// ```
/// use procession_shm::transfer::Strangers;
///
/// let arrived = Strangers::new(vec![std::fs::File::open("/dev/null")?.into()]);
/// assert_eq!(arrived.len(), 1);
/// drop(arrived); // whatever it is, this returns at once
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Strangers(Vec<OwnedFd>);

impl Strangers {
    /// Those that have arrived.
    ///
    /// ```
    /// assert!(procession_shm::transfer::Strangers::new(Vec::new()).is_empty());
    /// ```
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors)
    }

    /// Another one that has arrived.
    ///
    /// ```
    /// use procession_shm::transfer::Strangers;
    ///
    /// let mut arrived = Strangers::default();
    /// arrived.push(std::fs::File::open("/dev/null")?.into());
    /// assert_eq!(arrived.into_known().len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn push(&mut self, descriptor: OwnedFd) {
        self.0.push(descriptor);
    }

    /// They are what they should be, or somebody else's from now on.
    ///
    /// ```
    /// use procession_shm::transfer::Strangers;
    ///
    /// assert!(Strangers::default().into_known().is_empty());
    /// ```
    pub fn into_known(mut self) -> Vec<OwnedFd> {
        take(&mut self.0)
    }
}

impl Deref for Strangers {
    type Target = [OwnedFd];

    fn deref(&self) -> &[OwnedFd] {
        &self.0
    }
}

impl Drop for Strangers {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            quiet::bury(take(&mut self.0));
        }
    }
}

/// Closes this end of a Unix socket for good, whatever the process at the other end has put into it.
///
/// ```
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// procession_shm::transfer::hang_up(ours);
/// assert_eq!(std::io::Read::read(&mut &theirs, &mut [0])?, 0); // it is the end
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn hang_up(socket: impl AsFd + Send + 'static) {
    if has_something(socket.as_fd()) {
        quiet::bury(socket);
    }
}

/// Whether a packet is left in the socket, into which none comes any more after this.
fn has_something(socket: BorrowedFd<'_>) -> bool {
    // With this asked for, each packet has something beside it, also one that is empty, and the end of the stream has not.
    let is_asked_for = sockopt::set_socket_passcred(socket, true);
    if shutdown(socket, Shutdown::Read).is_err() || is_asked_for.is_err() {
        // It is no such socket any more, or a sandbox forbids to ask.
        return true;
    }
    let mut nothing_beside = RecvAncillaryBuffer::default();
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let looked = rustix::io::retry_on_intr(|| recvmsg(socket, &mut [], &mut nothing_beside, flags));
    looked.map_or(true, |packet| packet.flags.contains(ReturnFlags::CTRUNC))
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    #[test]
    fn a_packet_is_told_from_the_end_also_when_it_is_empty() {
        let pair = || {
            let flags = SocketFlags::CLOEXEC;
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
        };
        let (ours, theirs) = pair();
        assert!(!has_something(ours.as_fd()));
        assert!(send(&theirs, b"late", SendFlags::NOSIGNAL).is_err(), "nothing comes any more");

        let (ours, theirs) = pair();
        drop(theirs);
        assert!(!has_something(ours.as_fd()));

        for packet in [&b""[..], b"x"] {
            let (ours, theirs) = pair();
            send(&theirs, packet, SendFlags::NOSIGNAL).unwrap();
            drop(theirs);
            assert!(has_something(ours.as_fd()), "{packet:?}");
        }
    }
}
