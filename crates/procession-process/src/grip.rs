//! How a parent holds on to a child: by a pidfd, or by its number while it is not reaped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procession_shm::doctor::kernel_version;
use procession_shm::proc;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, getpid, kill_process, pidfd_open, pidfd_send_signal,
    test_kill_process,
};

use crate::exit::Exit;
use crate::stat::Stat;
use crate::usage::{self, Ended};

pub(crate) enum Grip {
    /// Means this process and no other, for ever.
    Pidfd(OwnedFd),
    /// Where pidfds are forbidden (an old seccomp filter). The number means the child as long as
    /// it is not reaped, so that signals and the reaping take the same lock. A host program that
    /// reaps children of others breaks this, which cannot be helped without pidfds.
    Number(Number),
    /// As a pidfd, but of a process that the kernel reaps by itself as soon as it ends, and whose status it keeps for whoever has
    /// a pidfd: a child of a zygote that does not care how its children end.
    Left(OwnedFd),
    /// It was gone, reaped by others, before it could be held. The eventfd is readable, as a
    /// pidfd would be.
    Gone(OwnedFd),
    /// A thread of this process, which runs an inline process. It cannot be signalled, and tells its end by itself.
    Thread,
}

pub(crate) struct Number {
    pid: Pid,
    /// When it was started, by which it is told from a later process of the same number; `None` where `/proc` does not say.
    started: Option<u64>,
    /// Not looked at in a forked process, whose copy may have been locked by a thread that it does not have.
    reaped: Mutex<bool>,
}

impl Grip {
    /// Takes hold of a child that was just started.
    pub(crate) fn take(pid: Pid) -> Result<Self, Errno> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self::Pidfd(pidfd)),
            Err(Errno::NOSYS | Errno::PERM) => Ok(Self::Number(Number::of(pid))),
            // SIGCHLD is ignored or somebody waits for any child, and it has ended already.
            Err(Errno::SRCH) => Self::gone(),
            Err(error) => Err(error),
        }
    }

    /// Of a process that has ended before it could be held.
    pub(crate) fn gone() -> Result<Self, Errno> {
        Ok(Self::Gone(eventfd(1, EventfdFlags::CLOEXEC)?))
    }

    /// A descriptor that is readable once the process has ended.
    pub(crate) fn end_notice(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pidfd(notice) | Self::Left(notice) | Self::Gone(notice) => Some(notice.as_fd()),
            Self::Number(_) | Self::Thread => None,
        }
    }

    /// Blocks until the process has ended; whether it did before `timeout` passed. `None` for a thread of this process, of which
    /// the kernel does not tell.
    pub(crate) fn ends_within(&self, timeout: Option<Duration>) -> Option<bool> {
        match self {
            Self::Pidfd(notice) | Self::Left(notice) | Self::Gone(notice) => {
                Some(ends_within(notice.as_fd(), timeout))
            }
            Self::Number(number) => Some(number.ends_within(timeout)),
            Self::Thread => None,
        }
    }

    /// The number by which `/proc` knows the process, as long as that is not reaped; `None` if it does not, or of a thread.
    pub(crate) fn number_in_proc(&self) -> Option<Pid> {
        match self {
            Self::Pidfd(pidfd) | Self::Left(pidfd) => proc::number_of(pidfd.as_fd()),
            Self::Number(number) => Some(number.pid).filter(|_| proc::counts_as_we_do()),
            Self::Gone(_) | Self::Thread => None,
        }
    }

    /// Sends a signal; `SRCH` if the process has ended, `OPNOTSUPP` if it is none.
    pub(crate) fn signal(&self, number: i32) -> Result<(), Errno> {
        let signal = checked(number)?;
        match self {
            Self::Pidfd(pidfd) | Self::Left(pidfd) => pidfd_send_signal(pidfd, signal),
            Self::Number(number) => {
                let reaped = number.reaped();
                if *reaped { Err(Errno::SRCH) } else { kill_process(number.pid, signal) }
            }
            Self::Gone(_) => Err(Errno::SRCH),
            Self::Thread => Err(Errno::OPNOTSUPP),
        }
    }

    /// Collects the status of the process if it has ended; `None` if it has not, or if a debugger
    /// has yet to let it go. Does not block, but for the moment in which the kernel reaps a process that is left to it.
    pub(crate) fn reap(&self) -> Option<Ended> {
        match self {
            Self::Pidfd(pidfd) => {
                let kept = || kept_status(pidfd.as_fd()).unwrap_or(Exit::Unknown);
                collect(WaitId::PidFd(pidfd.as_fd()), kept)
            }
            Self::Left(pidfd) => what_is_left(pidfd.as_fd()),
            Self::Number(number) => {
                let mut reaped = number.reaped();
                let ended = collect(WaitId::Pid(number.pid), || Exit::Unknown);
                *reaped |= ended.is_some();
                ended
            }
            Self::Gone(_) => Some(Ended { exit: Exit::Unknown, usage: None }),
            Self::Thread => None,
        }
    }
}

impl Number {
    fn of(pid: Pid) -> Self {
        // In a `/proc` that counts otherwise the number is another's.
        let shown = Some(pid).filter(|_| proc::counts_as_we_do());
        let started = shown.and_then(Stat::of_process).map(|stat| stat.started);
        Self { pid, started, reaped: Mutex::new(false) }
    }

    fn reaped(&self) -> MutexGuard<'_, bool> {
        // Nothing panics while the lock is held.
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the kernel, which answers everybody. Where `/proc` is not there or counts otherwise, or did when the process was
    /// started, one that is not reaped yet, or whose number is another's by now, has not ended.
    fn has_ended(&self) -> bool {
        match (self.started, Stat::of_process(self.pid)) {
            (Some(started), Some(stat)) => stat.started != started || stat.is_over(),
            _ => test_kill_process(self.pid) == Err(Errno::SRCH),
        }
    }

    /// Nobody tells of the end to whom the process is no child: looks again and again, less and less often.
    fn ends_within(&self, timeout: Option<Duration>) -> bool {
        const PAUSE_MAX: Duration = Duration::from_millis(100);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut pause = Duration::from_millis(1);
        while !self.has_ended() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            thread::sleep(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(PAUSE_MAX);
        }
        true
    }
}

/// Blocks until the process of this [`end_notice`](Grip::end_notice) has ended; whether it did before `timeout` passed.
pub(crate) fn ends_within(notice: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&notice, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(ready) => return ready > 0,
            // Only a lack of kernel memory is left; nothing was learnt.
            Err(_) => return false,
        }
    }
}

/// `waitid` without blocking; `stolen` answers if somebody else was faster.
fn collect(id: WaitId<'_>, stolen: impl FnOnce() -> Exit) -> Option<Ended> {
    match usage::collect(&id) {
        Ok(ended) => ended,
        Err(_) => Some(Ended { exit: stolen(), usage: None }),
    }
}

/// How a process has ended that is left to the kernel; `None` if that is not done with it.
fn what_is_left(pidfd: BorrowedFd<'_>) -> Option<Ended> {
    let kept = || kept_status(pidfd).map(|exit| Ended { exit, usage: None });
    // Its zygote may have died, and this process be the one that gets orphans.
    let inherited = || usage::collect(&WaitId::PidFd(pidfd)).ok().flatten();
    let gone = || is_gone(pidfd).then_some(Ended { exit: Exit::Unknown, usage: None });
    kept().or_else(inherited).or_else(|| gone().map(|unknown| kept().unwrap_or(unknown)))
}

/// Whether the process was reaped. The kernel tells of its end microseconds before it does that by itself, so that this waits a
/// little.
fn is_gone(pidfd: BorrowedFd<'_>) -> bool {
    let a_little = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // A hang-up is told of without being asked for.
    poll(&mut [PollFd::new(&pidfd, PollFlags::empty())], Some(&a_little))
        .is_ok_and(|ready| ready > 0)
}

/// What the kernel still knows of a process that was reaped, from Linux 6.15 on.
fn kept_status(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    let info = ask(pidfd).ok().filter(|info| info.mask & PIDFD_INFO_EXIT != 0);
    info.map(|info| Exit::from_wait_status(info.exit_code))
}

/// Whether the kernel keeps the status of a process that was reaped for those who have a pidfd of it.
pub(crate) fn statuses_are_kept() -> bool {
    // Before that version it does not know what it is asked for, and says nothing of it.
    let is_known = kernel_version() >= Some((6, 15));
    is_known && pidfd_open(getpid(), PidfdFlags::empty()).is_ok_and(|own| ask(own.as_fd()).is_ok())
}

fn ask(pidfd: BorrowedFd<'_>) -> io::Result<PidfdInfo> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request writes at most the size it carries, that of `PidfdInfo`.
    match unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) } {
        0 => Ok(info),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct pidfd_info` of the kernel, in its first published size.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// Process, thread group, parent and eight user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<PidfdInfo>(0xff, 11);

/// What is said of a number that may not be sent.
pub(crate) fn no_such_signal(number: i32) -> io::Error {
    let why = format!(
        "there is no signal {number} to send: take one of 1 to 31, or of 35 to 64; whether the process lives is what `is_alive` says"
    );
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// A signal number that may be sent: one that exists and that the C library does not keep for
/// itself (32 to 34).
fn checked(number: i32) -> Result<Signal, Errno> {
    if let Some(signal) = Signal::from_named_raw(number) {
        return Ok(signal);
    }
    if !(35..=64).contains(&number) {
        return Err(Errno::INVAL);
    }
    // SAFETY: a real-time signal, and none of those that C libraries keep.
    Ok(unsafe { Signal::from_raw_unchecked(number) })
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitIdOptions, waitid};

    use super::*;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn a_number_means_the_process_that_had_it() {
        let own = Number::of(getpid());
        assert!(!own.ends_within(AT_ONCE));
        assert!(!own.ends_within(Some(Duration::from_millis(5))));
        let earlier =
            Number { started: own.started.map(|ticks| ticks - 1), ..Number::of(getpid()) };
        assert!(earlier.ends_within(None), "the number is another's by now");
        let unknown = Number { started: None, ..own };
        assert!(!unknown.ends_within(AT_ONCE), "there is a process of this number");
    }

    #[test]
    fn a_number_has_ended_before_it_is_reaped_and_after() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let number = Number::of(pid);
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), look).unwrap();
        assert!(number.ends_within(None), "a zombie has ended");
        child.wait().unwrap();
        assert!(number.ends_within(None), "and so has one that is gone");
    }
}
