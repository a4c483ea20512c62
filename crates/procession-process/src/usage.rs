//! How a process ended, together with what it has used of the machine: waitid(2) with the argument that only the system call has.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId};

use crate::exit::Exit;
use crate::stat::Stat;

/// What a process has used of the machine, that of its own children that it has waited for included.
///
/// ```
/// use procession_process::{Launcher, Usage};
///
/// let child = Launcher::new(|_| ()).launch()?;
/// child.wait();
/// let usage: Usage = child.usage().unwrap();
/// assert!(usage.peak_memory_bytes > 0, "{usage:?}");
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Processor time in the program.
    pub user_cpu: Duration,
    /// Processor time in the kernel.
    pub system_cpu: Duration,
    /// The most memory that it had in use at once (resident), in bytes. Of a process that has ended it is no less than what its parent
    /// had had in use at once when it started it by [`StartMethod::Spawn`](crate::StartMethod::Spawn): between the two steps of a
    /// start a process has its parent's memory, and the kernel counts that. What
    /// [`usage_so_far`](crate::Child::usage_so_far) says of one that lives is its own alone.
    pub peak_memory_bytes: u64,
}

/// The end of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// `None` if somebody else has reaped it.
    pub(crate) usage: Option<Usage>,
}

/// What the process of this number has used so far, if there is one and `/proc` shows it. Times are in whole ticks of the system,
/// 10 ms as a rule.
pub(crate) fn so_far(pid: Pid) -> Option<Usage> {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let [user_cpu, system_cpu] = Stat::of_process(pid)?
        .cpu_ticks
        .map(|ticks| Duration::from_millis(ticks.saturating_mul(1000) / per_second));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak_kib = peak_kib(&status).unwrap_or(0);
    Some(Usage { user_cpu, system_cpu, peak_memory_bytes: peak_kib.saturating_mul(1024) })
}

/// How much memory the process of this number has in use, as `ps` says: the second number of statm, in pages.
pub(crate) fn memory_bytes(pid: Pid) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(procession_shm::page_size() as u64))
}

/// A process that is about to end has no memory any more, and no such line.
fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Reaps a child; `None` if it has not ended. Does not block.
pub(crate) fn collect(id: &WaitId<'_>) -> Result<Option<Ended>, Errno> {
    let (kind, number) = match id {
        WaitId::PidFd(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd()),
        WaitId::Pid(pid) => (libc::P_PID, pid.as_raw_nonzero().get()),
        _ => return Err(Errno::INVAL),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut used = MaybeUninit::<libc::rusage>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG;
    rustix::io::retry_on_intr(|| {
        // SAFETY: the call fills the two structures, or leaves them as they are, and keeps no pointer.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                number,
                info.as_mut_ptr(),
                options,
                used.as_mut_ptr(),
            )
        };
        let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(errno())) }
    })?;
    // SAFETY: all zeros, or what the kernel has written: both are values of these structures of numbers.
    let info = unsafe { info.assume_init() };
    // SAFETY: as above.
    let used = unsafe { used.assume_init() };
    // SAFETY: waitid fills in the fields of a child's change of state.
    let (pid, status) = (unsafe { info.si_pid() }, unsafe { info.si_status() });
    if pid == 0 {
        return Ok(None);
    }
    let exited = info.si_code == libc::CLD_EXITED;
    let exit = if exited { Exit::Code(status) } else { Exit::Signal(status) };
    Ok(Some(Ended { exit, usage: Some(usage(&used)) }))
}

fn usage(used: &libc::rusage) -> Usage {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let time = |time: libc::timeval| {
        Duration::from_secs(unsigned(time.tv_sec)) + Duration::from_micros(unsigned(time.tv_usec))
    };
    Usage {
        user_cpu: time(used.ru_utime),
        system_cpu: time(used.ru_stime),
        peak_memory_bytes: unsigned(used.ru_maxrss).saturating_mul(1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_among_the_lines_of_a_status() {
        let status =
            "Name:\tVmHWM: 5 kB\nVmPeak:\t    9000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_kib(status), Some(1234));
        assert_eq!(peak_kib("Name:\tgone\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let busy = std::time::Instant::now();
        while so_far(rustix::process::getpid()).unwrap().user_cpu.is_zero() {
            assert!(busy.elapsed() < Duration::from_secs(60), "no tick was ever counted");
        }
        assert!(so_far(rustix::process::getpid()).unwrap().peak_memory_bytes > 100 << 10);
    }
}
