//! What only the kernel knows about a process: whether it lives, and who it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;

use super::table::Holder;
use crate::proc;

/// `f_type` of the file system in which pidfds live since Linux 6.9. There every process has an inode of its own, which is
/// never given to another one; before, all pidfds share one inode that says nothing.
const PIDFS_MAGIC: u64 = 0x5049_4446;

/// A pidfd of this process.
pub(super) fn own_pidfd() -> Result<OwnedFd, Errno> {
    pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
}

/// Whether the process has ended, all of its threads, reaped or not.
pub(super) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    shows(pidfd, PollFlags::IN)
}

/// Whether the other side of a socket is closed.
pub(super) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    shows(socket, PollFlags::HUP)
}

fn shows(fd: BorrowedFd<'_>, wanted: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    // A poll that fails has proved nothing, and is asked again the next time.
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())));
    ready.is_ok() && fds[0].revents().intersects(wanted)
}

/// Blocks until the socket can be read or has hung up, or the process behind the pidfd has ended; says whether the first is so.
pub(super) fn readable_before(socket: BorrowedFd<'_>, end: BorrowedFd<'_>) -> Result<bool, Errno> {
    ready_before(socket, PollFlags::IN, end)
}

/// As [`readable_before`], for room in the socket.
pub(super) fn writable_before(socket: BorrowedFd<'_>, end: BorrowedFd<'_>) -> Result<bool, Errno> {
    ready_before(socket, PollFlags::OUT, end)
}

fn ready_before(
    socket: BorrowedFd<'_>,
    wanted: PollFlags,
    end: BorrowedFd<'_>,
) -> Result<bool, Errno> {
    let mut fds =
        [PollFd::from_borrowed_fd(socket, wanted), PollFd::from_borrowed_fd(end, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, None)) {
        // It may be so: who asks looks for himself, and an answer that is under way is not left for the next who asks.
        Err(Errno::NOMEM) => Ok(true),
        ready => ready.map(|_| !fds[0].revents().is_empty()),
    }
}

/// Who stands behind a pidfd, as far as this kernel and this `/proc` say.
pub(super) fn holder_behind(pidfd: BorrowedFd<'_>) -> Holder {
    let pid = proc::number_of(pidfd).map_or(0, |pid| pid.as_raw_pid().cast_unsigned());
    Holder { pid, inode: inode_of(pidfd) }
}

fn inode_of(pidfd: BorrowedFd<'_>) -> u64 {
    let in_pidfs =
        rustix::fs::fstatfs(pidfd).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(PIDFS_MAGIC));
    if in_pidfs { rustix::fs::fstat(pidfd).map_or(0, |stat| stat.st_ino) } else { 0 }
}

/// The inode of a socket, which no other socket has as long as this one is open anywhere; 0 if it is none that is open.
pub(super) fn inode_of_socket(socket: BorrowedFd<'_>) -> u64 {
    rustix::fs::fstat(socket).map_or(0, |stat| stat.st_ino)
}

/// The inode of this process' pid namespace, or 0 where `/proc` does not say, or is that of another namespace: the numbers in it
/// are then not those by which this process can ask.
pub(super) fn pid_namespace() -> u64 {
    if !proc::counts_as_we_do() {
        return 0;
    }
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |ns| ns.ino())
}

/// Whether the kernel proves that the process is gone. The pid must count in this process' pid namespace.
///
/// A pid that is in use by somebody else proves it where pidfs tells them apart, and proves nothing where it does not.
pub(super) fn is_proven_gone(holder: Holder) -> bool {
    let Some(pid) = i32::try_from(holder.pid).ok().and_then(Pid::from_raw) else { return false };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(errno) => errno == Errno::SRCH,
        Ok(pidfd) => {
            let inode = inode_of(pidfd.as_fd());
            let somebody_else = inode != 0 && holder.inode != 0 && inode != holder.inode;
            somebody_else || has_ended(pidfd.as_fd())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_who_it_is_and_lives() {
        skips::needs_pidfds!();
        let pidfd = own_pidfd().unwrap();
        let holder = holder_behind(pidfd.as_fd());
        assert_eq!(holder.pid, std::process::id());
        assert!(!has_ended(pidfd.as_fd()));
        assert!(!is_proven_gone(holder));
    }

    #[test]
    fn a_dead_process_is_gone_before_and_after_it_is_reaped() {
        skips::needs_pidfds!();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let holder = holder_behind(pidfd.as_fd());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        assert!(is_proven_gone(Holder { pid: child.id(), inode: holder.inode }), "a zombie");
        child.wait().unwrap();
        assert!(is_proven_gone(Holder { pid: child.id(), inode: holder.inode }), "reaped");
    }

    #[test]
    fn a_pid_that_somebody_else_has_now_does_not_lie() {
        skips::needs_pidfds!();
        let me = holder_behind(own_pidfd().unwrap().as_fd());
        let another = Holder { pid: me.pid, inode: me.inode.wrapping_add(1) };
        assert_eq!(is_proven_gone(another), me.inode != 0);
    }
}
