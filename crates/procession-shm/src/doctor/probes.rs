//! System calls and files of the kernel, each simply tried.

use std::fs;
use std::ptr;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::{PidfdFlags, getpid};
use rustix::thread::futex::{self, WaitFlags, WaitPtr, WaitvFlags};
use rustix::time::{ClockId, Timespec};

use super::{Check, Status};
use crate::page_size;
use crate::sync::one_sided::Fences;

/// The first kernel with everything, and the first with everything that cannot be done without.
const FULL: (u32, u32) = (5, 16);
const LEAST: (u32, u32) = (5, 11);

pub(super) fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let (status, effect) = match version_of(&release) {
        None => (Status::Unknown, ""),
        Some(version) if version >= FULL => (Status::Full, ""),
        Some(version) if version >= LEAST => (Status::Fallback, "before 5.16: see the lines below"),
        Some(_) => (Status::Missing, "before 5.11: not supported"),
    };
    Check::new("kernel", status, release, effect)
}

pub(super) fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A wait for a word that does not have the expected value comes back at once, with `EAGAIN`, if there is such a wait.
pub(super) fn futex_waitv() -> Check {
    let word = 0_u32;
    let mut waiter = futex::Wait::new();
    waiter.val = 1;
    waiter.uaddr = WaitPtr::new(ptr::from_ref(&word).cast_mut().cast());
    waiter.flags = WaitFlags::SIZE_U32 | WaitFlags::PRIVATE;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match futex::waitv(&[waiter], WaitvFlags::empty(), Some(&now), ClockId::Monotonic) {
        Ok(_) | Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR) => {
            Check::full("futex_waitv", "yes")
        }
        Err(errno) => Check::new(
            "futex_waitv",
            Status::Fallback,
            errno.to_string(),
            "waits on several words sleep in slices of 1 to 16 ms",
        ),
    }
}

pub(super) fn pidfd_open() -> Check {
    match rustix::process::pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Check::full("pidfd_open", "yes"),
        Err(errno) => Check::new(
            "pidfd_open",
            Status::Missing,
            errno.to_string(),
            "nobody can be invited into a family; within one process all works",
        ),
    }
}

pub(super) fn memfd_create() -> Check {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let plain = rustix::fs::memfd_create(c"procession-doctor", flags);
    let either = plain.or_else(|_| {
        rustix::fs::memfd_create(c"procession-doctor", flags | MemfdFlags::NOEXEC_SEAL)
    });
    match either {
        Ok(_) => Check::full("memfd_create", "yes"),
        Err(errno) => Check::new(
            "memfd_create",
            Status::Missing,
            errno.to_string(),
            "no shared memory at all",
        ),
    }
}

pub(super) fn memfd_noexec_seal() -> Check {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    match rustix::fs::memfd_create(c"procession-doctor", flags) {
        Ok(_) => Check::full("MFD_NOEXEC_SEAL", "yes"),
        Err(errno) => Check::new(
            "MFD_NOEXEC_SEAL",
            Status::Fallback,
            errno.to_string(),
            "segments are made without it, and could be executed",
        ),
    }
}

pub(super) fn madv_populate_write() -> Check {
    match advise(Advice::LinuxPopulateWrite) {
        Ok(()) => Check::full("MADV_POPULATE_WRITE", "yes"),
        Err(errno) => Check::new(
            "MADV_POPULATE_WRITE",
            Status::Fallback,
            errno.to_string(),
            "pages are claimed by fallocate alone, and faulted in at first touch",
        ),
    }
}

pub(super) fn madv_wipeonfork() -> Check {
    match advise(Advice::LinuxWipeOnFork) {
        Ok(()) => Check::full("MADV_WIPEONFORK", "yes"),
        Err(errno) => Check::new(
            "MADV_WIPEONFORK",
            Status::Missing,
            errno.to_string(),
            "no family: locks that are shared between processes fail",
        ),
    }
}

/// What a pool's parent asks for, so that its workers need no fence for each item.
pub(super) fn membarrier() -> Check {
    match Fences::offer() {
        Fences::OneSided => Check::full("membarrier", "yes"),
        Fences::Mutual => Check::new(
            "membarrier",
            Status::Fallback,
            "refused",
            "a pool's worker has a fence of its own for each item, and each end of a pipe for each message",
        ),
    }
}

/// Gives an advice for a page that is there for this only.
fn advise(advice: Advice) -> Result<(), Errno> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without MAP_FIXED the kernel picks an address at which nothing is mapped.
    let page = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), page_size(), prot, flags) }?;
    // SAFETY: the page was mapped above, and nobody else knows of it.
    let advised = unsafe { rustix::mm::madvise(page, page_size(), advice) };
    // SAFETY: as above; nobody uses it from here on.
    unsafe { rustix::mm::munmap(page, page_size()) }?;
    advised
}

pub(super) fn proc_mounted() -> Check {
    match fs::metadata("/proc/self/status") {
        Ok(_) => Check::full("/proc", "mounted"),
        Err(error) => Check::new(
            "/proc",
            Status::Fallback,
            error.to_string(),
            "pids of dead owners are not told; members are verified by the reaper alone",
        ),
    }
}

pub(super) fn seccomp() -> Check {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim) {
        Some("0") => Check::full("seccomp", "off"),
        Some("1") => Check::new(
            "seccomp",
            Status::Missing,
            "strict",
            "only read, write and exit are allowed",
        ),
        Some("2") => Check::full("seccomp", "filter (what it denies shows in the other lines)"),
        _ => Check::new("seccomp", Status::Unknown, "not told by /proc/self/status", ""),
    }
}

pub(super) fn ptrace_scope() -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    match scope.as_deref().map(str::trim) {
        Ok(scope @ ("0" | "1")) => {
            Check::full("ptrace_scope", format!("{scope} (own children can be traced)"))
        }
        Ok("2") => Check::full("ptrace_scope", "2 (only with CAP_SYS_PTRACE)"),
        Ok("3") => Check::full("ptrace_scope", "3 (nobody: kill-point tests are skipped)"),
        Ok(other) => Check::new("ptrace_scope", Status::Unknown, other, ""),
        Err(_) => Check::full("ptrace_scope", "no yama (own processes can be traced)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases_of_all_kinds() {
        assert_eq!(version_of("6.18.44-generic"), Some((6, 18)));
        assert_eq!(version_of("5.11"), Some((5, 11)));
        assert_eq!(version_of("5.10-rc1+"), Some((5, 10)));
        assert_eq!(version_of("10.2-rc1"), Some((10, 2)));
        assert_eq!(["custom", "6", "six.two", ""].map(version_of), [None; 4]);
    }
}
