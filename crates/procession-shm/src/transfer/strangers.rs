//! What a process that is not trusted has sent, and how to be rid of it.
//!
//! Descriptors that are not what they should be are left to a [`Closer`], and so is a socket in which something is left: it is the last
//! one to close a descriptor who waits for it, and for what lies in a socket that nobody will read, it is who closes that socket.
//!
//! # Not guaranteed
//!
//! What a handle has been made of is its owner's to close, who knows what he has asked for. Of a packet for which this process has not
//! descriptors enough, those that fit are closed at once, so that there is room for another attempt.
//!
//! An end that has gone on is looked into before the copy here is closed, and its peer may put something into it just between the two;
//! if the process that has it now closes it at the same time, the close here takes as long as that likes.

use std::mem::take;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, Shutdown, recv, recvmsg, shutdown, sockopt,
};

use super::Closer;

/// Descriptors that a process has sent that need not be trusted, until somebody knows what they are. Dropped, they are closed
/// where that holds nobody up.
///
/// ```
/// use procession_shm::transfer::{Closer, Strangers};
///
/// let closer = Closer::new();
/// let arrived = Strangers::new(vec![std::fs::File::open("/dev/null")?.into()], Some(&closer));
/// assert_eq!(arrived.len(), 1);
/// drop(arrived); // whatever it is, this returns at once
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Strangers {
    descriptors: Vec<OwnedFd>,
    /// Sockets in which they have come.
    wrappings: Vec<OwnedFd>,
    /// `None` if there are none, or if they come from nobody in particular.
    closer: Option<Closer>,
}

impl Strangers {
    /// Those that have arrived, and who closes what their sender has sent; `None` if they come from nobody in particular.
    ///
    /// ```
    /// use procession_shm::transfer::{Closer, Strangers};
    ///
    /// assert!(Strangers::new(Vec::new(), Some(&Closer::new())).is_empty());
    /// ```
    pub fn new(descriptors: Vec<OwnedFd>, closer: Option<&Closer>) -> Self {
        Self { descriptors, wrappings: Vec::new(), closer: closer.cloned() }
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
        self.descriptors.push(descriptor);
    }

    /// Keeps the sockets in which they have come for as long as these are not known. Somebody may have put more into them, which would
    /// be closed by who closes the last copy of such a socket; and another copy may lie in a packet that the caller drops meanwhile.
    ///
    /// ```
    /// use procession_shm::transfer::Strangers;
    ///
    /// let (wrapping, other) = std::os::unix::net::UnixStream::pair()?;
    /// let mut arrived = Strangers::default();
    /// arrived.keep(vec![wrapping.into()].into());
    /// drop(arrived);
    /// assert_eq!(std::io::Read::read(&mut &other, &mut [0])?, 0); // it was closed, sooner or later
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn keep(&mut self, mut wrappings: Self) {
        self.wrappings.append(&mut wrappings.descriptors);
    }

    /// They are what they should be, or somebody else's from now on.
    ///
    /// ```
    /// use procession_shm::transfer::Strangers;
    ///
    /// assert!(Strangers::default().into_known().is_empty());
    /// ```
    pub fn into_known(mut self) -> Vec<OwnedFd> {
        take(&mut self.descriptors)
    }

    /// Who closes those that nobody wants; `None` if they come from nobody in particular.
    ///
    /// ```
    /// assert!(procession_shm::transfer::Strangers::default().closer().is_none());
    /// ```
    pub fn closer(&self) -> Option<&Closer> {
        self.closer.as_ref()
    }
}

/// Those of nobody in particular.
impl From<Vec<OwnedFd>> for Strangers {
    fn from(descriptors: Vec<OwnedFd>) -> Self {
        Self::new(descriptors, None)
    }
}

impl Deref for Strangers {
    type Target = [OwnedFd];

    fn deref(&self) -> &[OwnedFd] {
        &self.descriptors
    }
}

impl Drop for Strangers {
    #[inline]
    fn drop(&mut self) {
        if !self.descriptors.is_empty() || !self.wrappings.is_empty() {
            let closer = self.closer.take().unwrap_or_default();
            let all = take(&mut self.descriptors).into_iter().chain(take(&mut self.wrappings));
            all.for_each(|stranger| closer.close(stranger));
        }
    }
}

/// Closes this end of a Unix socket for good, whatever the process at the other end has put into it. In a process that was forked
/// from that of the `closer` only the copy is closed: the end is the other process's, which goes on.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use procession_shm::transfer::{Closer, hang_up};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// hang_up(ours, &Closer::new());
/// assert_eq!(std::io::Read::read(&mut &theirs, &mut [0])?, 0); // it is the end
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn hang_up(socket: impl AsFd + Send + 'static, closer: &Closer) {
    if closer.is_here() && has_something(socket.as_fd()) {
        closer.close(socket);
    }
}

/// Closes this process' copy of an end of a Unix socket that has gone to another process, and goes on there. That process may have closed
/// its own already, with all that is left in it.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use procession_shm::transfer::{Closer, let_go};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let_go(theirs.try_clone()?, &Closer::new());
/// ours.write_all(b"on")?; // the end goes on
/// assert_eq!(Read::read(&mut &theirs, &mut [0; 9])?, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn let_go(socket: impl AsFd + Send + 'static, closer: &Closer) {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let looked = rustix::io::retry_on_intr(|| recv(socket.as_fd(), &mut [0_u8; 0][..], flags));
    if looked != Err(Errno::AGAIN) {
        closer.close(socket);
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
