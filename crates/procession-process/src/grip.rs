//! How a parent holds on to a child: by a pidfd, or by its number while it is not reaped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
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
            Err(Errno::SRCH) => Ok(Self::Gone(eventfd(1, EventfdFlags::CLOEXEC)?)),
            Err(error) => Err(error),
        }
    }

    /// A descriptor that is readable once the process has ended.
    pub(crate) fn end_notice(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pidfd(notice) | Self::Gone(notice) => Some(notice.as_fd()),
            Self::Number(_) | Self::Thread => None,
        }
    }

    /// Blocks until the process has ended; whether it did before `timeout` passed. `None` for a thread of this process, of which
    /// the kernel does not tell.
    pub(crate) fn ends_within(&self, timeout: Option<Duration>) -> Option<bool> {
        match self {
            Self::Pidfd(notice) | Self::Gone(notice) => Some(ends_within(notice.as_fd(), timeout)),
            Self::Number(number) => Some(number.ends_within(timeout)),
            Self::Thread => None,
        }
    }

    /// Sends a signal; `SRCH` if the process has ended, `OPNOTSUPP` if it is none.
    pub(crate) fn signal(&self, number: i32) -> Result<(), Errno> {
        let signal = checked(number)?;
        match self {
            Self::Pidfd(pidfd) => pidfd_send_signal(pidfd, signal),
            Self::Number(number) => {
                let reaped = number.reaped();
                if *reaped { Err(Errno::SRCH) } else { kill_process(number.pid, signal) }
            }
            Self::Gone(_) => Err(Errno::SRCH),
            Self::Thread => Err(Errno::OPNOTSUPP),
        }
    }

    /// Collects the status of the process if it has ended; `None` if it has not, or if a debugger
    /// has yet to let it go. Does not block.
    pub(crate) fn reap(&self) -> Option<Ended> {
        match self {
            Self::Pidfd(pidfd) => {
                collect(WaitId::PidFd(pidfd.as_fd()), || status_from_kernel(pidfd.as_fd()))
            }
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
        let started = Stat::of_process(pid).map(|stat| stat.started);
        Self { pid, started, reaped: Mutex::new(false) }
    }

    fn reaped(&self) -> MutexGuard<'_, bool> {
        // Nothing panics while the lock is held.
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the kernel, which answers everybody. Where `/proc` is not there, or was not when the process was started, one that is
    /// not reaped yet, or whose number is another's by now, has not ended.
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

/// What the kernel still knows of a process that was reaped, from Linux 6.15 on.
fn status_from_kernel(pidfd: BorrowedFd<'_>) -> Exit {
    use std::os::fd::AsRawFd;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request writes at most the size it carries, that of `PidfdInfo`.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    if result == 0 && info.mask & PIDFD_INFO_EXIT != 0 {
        Exit::from_wait_status(info.exit_code)
    } else {
        Exit::Unknown
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
    use rustix::process::{WaitIdOptions, getpid, waitid};

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
