//! The socket beside the rings, through which the descriptors of handles go.
//!
//! A frame or a result with handles has one packet here, put in before the store that makes it real: the number of the packet
//! (u64, little endian), with the descriptors as `SCM_RIGHTS`. Both sides number their packets from 0, and packets and what
//! they belong to are sent and taken in the same order; so the number only proves that both ends still agree.
//!
//! A worker looks at the packet of an item without taking it, moves the gate, and then takes it. The parent keeps a copy of the
//! worker's end: what a dead worker has not taken can be taken from there.
//!
//! # Crash points
//!
//! A side that is killed between its packet and the store leaves a packet that nobody asks for. It goes with the socket: a link
//! does not outlive the parent's end.
//!
//! A worker that is killed before it has moved the gate for an item leaves the packet of that in the socket, and descriptors
//! that have no other owner with it: [`Salvage`] has them. One that is killed after it has moved the gate and before it has
//! taken the packet leaves it, too, but nobody asks for it: the item was begun.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use procession_shm::Deadline;
use procession_shm::transfer::{self, Closer, NoRoom, Strangers};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, sendmsg, socketpair,
};

/// The most descriptors that can go beside one item or result (SCM_MAX_FD of the kernel).
pub const DESCRIPTORS_MAX: usize = transfer::PACKET_DESCRIPTORS_MAX;

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Beside {
    /// `None` only while it is dropped.
    socket: Option<OwnedFd>,
    /// For what the other side has sent, if this is the parent's end, to whom it is a stranger.
    closer: Option<Closer>,
    sent: u64,
    received: u64,
}

/// A copy of the other side's end, to take what that side has not taken and never will, because it is dead.
#[derive(Debug)]
pub(crate) struct Salvage {
    socket: OwnedFd,
}

impl Salvage {
    /// Of the end that is given away.
    pub(crate) fn of(end: &OwnedFd) -> Result<Self, Errno> {
        Ok(Self { socket: rustix::io::fcntl_dupfd_cloexec(end, 0)? })
    }

    /// The descriptors of the packet with this number, if it is still there whole. Those before it are dropped.
    pub(crate) fn take(&self, number: u64) -> Option<Vec<OwnedFd>> {
        loop {
            let packet = receive_from(self.socket.as_fd(), RecvFlags::empty()).ok()?;
            if packet.number == Some(number) {
                return (!packet.is_cut).then_some(packet.descriptors);
            }
        }
    }
}

/// A packet as it came.
struct Packet {
    /// Nothing if it has no number.
    number: Option<u64>,
    descriptors: Vec<OwnedFd>,
    /// There were more descriptors than this process has room for.
    is_cut: bool,
}

/// Never blocks.
fn receive_from(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<Packet, Errno> {
    let mut number = [0; size_of::<u64>()];
    let flags = flags | RecvFlags::DONTWAIT;
    let transfer::Packet { len, descriptors, is_cut, .. } =
        transfer::receive_packet(socket, &mut number, flags)?;
    let is_whole = len == number.len();
    if len == 0 {
        // The other side's end is closed: nothing will ever come.
        return Err(Errno::PIPE);
    }
    Ok(Packet { number: is_whole.then(|| u64::from_le_bytes(number)), descriptors, is_cut })
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
    /// The socket is not there any more.
    #[error(
        "code in this process has closed descriptors that are not its own, and with them the way for handles: look for closefrom, close_range, or a library that turns into a daemon"
    )]
    Closed,
    /// Too much of what came before is not closed. They are where they were.
    #[error(transparent)]
    NoRoom(NoRoom),
}

impl NoHandles {
    /// Whether this is what the system answers to the use of a socket that was closed, or whose number is that of a file now.
    pub(crate) fn is_closed(errno: Errno) -> bool {
        matches!(errno, Errno::BADF | Errno::NOTSOCK)
    }
}

impl Beside {
    /// One end, and the descriptor of the other one.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut this = Self::over(ours);
        this.closer = Some(Closer::new());
        Ok((this, theirs))
    }

    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { socket: Some(socket), closer: None, sent: 0, received: 0 }
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().expect("only the destructor takes it").as_fd()
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
        let (socket, flags) = (self.socket(), flags | SendFlags::NOSIGNAL);
        rustix::io::retry_on_intr(|| {
            sendmsg(socket, &[IoSlice::new(&number)], &mut control, flags)
        })?;
        self.sent += 1;
        Ok(())
    }

    /// The descriptors of the next packet. Never blocks.
    pub(crate) fn receive(&mut self) -> Result<Vec<OwnedFd>, NoHandles> {
        let looked = self.next(RecvFlags::empty());
        self.received += 1;
        looked
    }

    /// The same from a worker, to its parent.
    pub(crate) fn receive_strangers(&mut self) -> Result<Strangers, NoHandles> {
        self.closer
            .as_ref()
            .map_or(Ok(()), |closer| closer.need_room(0, &Deadline::NEVER))
            .map_err(NoHandles::NoRoom)?;
        self.receive().map(|descriptors| Strangers::new(descriptors, self.closer.as_ref()))
    }

    /// The same, but the packet stays where it is until it is [passed](Self::pass).
    pub(crate) fn look(&self) -> Result<Vec<OwnedFd>, NoHandles> {
        self.next(RecvFlags::PEEK)
    }

    /// Takes the next packet and drops it.
    pub(crate) fn pass(&mut self) {
        // If there is none, whoever looks for the next one finds out.
        drop(receive_from(self.socket(), RecvFlags::empty()));
        self.received += 1;
    }

    fn next(&self, flags: RecvFlags) -> Result<Vec<OwnedFd>, NoHandles> {
        let packet = match receive_from(self.socket(), flags) {
            Ok(packet) => packet,
            Err(errno) if NoHandles::is_closed(errno) => return Err(NoHandles::Closed),
            Err(_) => return Err(NoHandles::Missing),
        };
        match packet.number {
            Some(number) if number == self.received && packet.is_cut => {
                Err(NoHandles::OutOfDescriptors)
            }
            Some(number) if number == self.received => Ok(packet.descriptors),
            _ => {
                drop(Strangers::new(packet.descriptors, self.closer.as_ref()));
                Err(NoHandles::Missing)
            }
        }
    }

    /// How many packets were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }
}

/// What a worker leaves in its parent's end may take its time to be closed.
impl Drop for Beside {
    fn drop(&mut self) {
        if let (Some(socket), Some(closer)) = (self.socket.take(), &self.closer) {
            transfer::hang_up(socket, closer);
        }
    }
}

#[cfg(test)]
mod tests {
    use backstage::lingering::{comes_to_its_end, lingering_socket};
    use backstage::packets::{ask_for_processes, open_processes};

    use rustix::process::Resource;

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
    fn a_packet_that_is_looked_at_stays() {
        let (mut ours, mut theirs) = pair();
        let (reader, writer) = std::io::pipe().unwrap();
        ours.send(&[reader.as_fd()], SendFlags::DONTWAIT).unwrap();
        ours.send(&[reader.as_fd(), writer.as_fd()], SendFlags::DONTWAIT).unwrap();
        assert_eq!(theirs.look().unwrap().len(), 1);
        assert_eq!(theirs.look().unwrap().len(), 1);
        theirs.pass();
        assert_eq!(theirs.receive().unwrap().len(), 2);
        assert_eq!(theirs.look().unwrap_err(), NoHandles::Missing);
    }

    #[test]
    fn what_the_dead_have_not_taken_is_salvaged() {
        let (mut ours, end) = Beside::pair().unwrap();
        let salvage = Salvage::of(&end).unwrap();
        let mut theirs = Beside::over(end);
        let (reader, writer) = std::io::pipe().unwrap();
        for _ in 0..4 {
            ours.send(&[reader.as_fd(), writer.as_fd()], SendFlags::DONTWAIT).unwrap();
        }
        assert_eq!(theirs.receive().unwrap().len(), 2);
        assert_eq!(theirs.look().unwrap().len(), 2);
        drop(theirs);
        assert_eq!(salvage.take(2).unwrap().len(), 2);
        assert!(salvage.take(2).is_none());
        assert!(salvage.take(3).is_none(), "it was passed on the way to one that is not there");
    }

    /// The end from which is salvaged was the worker's, and what a worker asks of it stays asked.
    #[test]
    fn a_worker_that_asks_for_more_beside_each_packet_costs_its_parent_no_descriptor() {
        let (mut ours, end) = Beside::pair().unwrap();
        if !ask_for_processes(&end) {
            let test =
                "a_worker_that_asks_for_more_beside_each_packet_costs_its_parent_no_descriptor";
            return skips::skipped(test, "this kernel adds no descriptors of processes");
        }
        let (reader, _writer) = std::io::pipe().unwrap();
        (0..4).for_each(|_| ours.send(&[reader.as_fd()], SendFlags::DONTWAIT).unwrap());
        assert_eq!(Salvage::of(&end).unwrap().take(3).unwrap().len(), 1);
        assert_eq!(open_processes(), 0);
    }

    /// A worker that means ill chooses how long it takes.
    #[test]
    fn a_parent_does_not_wait_for_what_a_worker_has_sent_to_be_closed() {
        for number in [0, 7] {
            let (socket, _unread) = lingering_socket();
            comes_to_its_end(move || {
                let (mut ours, mut theirs) = pair();
                theirs.sent = number;
                theirs.send(&[socket.as_fd()], SendFlags::DONTWAIT).unwrap();
                drop(socket);
                if number > 0 {
                    assert_eq!(ours.receive().unwrap_err(), NoHandles::Missing);
                }
                drop(ours);
            });
        }
    }

    #[test]
    fn a_worker_cannot_fill_its_parents_table_with_what_takes_its_time_to_be_closed() {
        let mut nofile = rustix::process::getrlimit(Resource::Nofile);
        nofile.current = Some(256);
        rustix::process::setrlimit(Resource::Nofile, nofile).unwrap();
        comes_to_its_end(|| {
            let ((mut ours, mut theirs), mut unread) = (pair(), Vec::new());
            for _ in 0..=64 {
                let (socket, reader) = lingering_socket();
                unread.push(reader);
                theirs.send(&[socket.as_fd()], SendFlags::DONTWAIT).unwrap();
                drop(socket);
                drop(ours.receive_strangers().unwrap());
            }
            assert_eq!(
                ours.receive_strangers().unwrap_err(),
                NoHandles::NoRoom(NoRoom::HeldUp { open: 65 })
            );
        });
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
