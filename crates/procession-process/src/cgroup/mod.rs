//! A group of its own (cgroup version 2) for a process: a limit of all its memory, and the kernel's word on why it was killed.
//!
//! What setrlimit(2) offers counts what is reserved, of one process, and an allocation that fails ends a process like any other
//! abort. A group counts what is *used*, by the process and all that it starts, and has a counter of those that were killed for
//! memory. Making groups needs a directory that was *delegated* to this user, which the user names. Rejected: to look for one.
//! The kernel hands a controller down only from a group that has no processes of its own, so that a program would have to move
//! itself, and whoever is in the group with it (a shell, other services of a session), to a place where nobody expects them; and
//! to be allowed to write to a directory is not to be told that one may: below a user's manager of systemd all is writable, and
//! belongs to the manager.
//!
//! # How it works
//!
//! ```text
//!   <delegated>/                        no process; hands `memory` down
//!     main/                             this process, for example: it must be below, too
//!     procession-<pid>-<n>/             a process and all that it starts; locked (flock) for as long as its maker lives
//! ```
//!
//! The process enters by itself, by a descriptor that comes with its bootstrap message, before it looks at anything else of the
//! message. It is an exec of this program then, or a fork of the zygote; what the loader or the zygote had touched before counts
//! where it was touched. Rejected: clone3(CLONE_INTO_CGROUP), which posix_spawn of the C libraries of today does not know.
//!
//! # States of a group
//!
//! | state | lock | processes | next |
//! |---|---|---|---|
//! | made | free | none | locked; or removed by a sweep, and its maker takes another name |
//! | held | its maker's | none, or those of one child | the child ends: read, removed |
//! | emptying | its maker's | what the child left behind, being killed | empty: removed by a thread of the maker |
//! | abandoned | free | those whose parent has died, being killed | removed by a janitor, or by the next sweep |
//!
//! # Invariants
//!
//! * **C1** Who removes a group has its lock. Who holds a lock may find that the group is gone already, which is told by its files.
//! * **C2** A group is made only while a [janitor] lives that waits for the death of this process, so that what is abandoned is removed.
//! * **C3** The counter is read after the process has ended and before the group is removed, by whoever tells of the end.
//!
//! # Crash points
//!
//! | killed | what holds | who repairs |
//! |---|---|---|
//! | maker, before the lock | an empty group that is not locked | its janitor, or any sweep |
//! | maker, group held | its processes get SIGKILL (parent-death signal), then all in the group (`cgroup.kill`) | its janitor |
//! | janitor | groups are as before | the next launch starts another one |
//! | maker and janitor at once | empty groups, or groups with what the child had started by other means than this crate | the janitor of the next program that names the directory; systemd, when the unit ends |
//!
//! # Not guaranteed
//!
//! A process with the rights of this user can write to its group as this one can, and raise its own limit: a
//! sandbox that restricts files keeps it from that. Groups that it makes below its own are not removed.

mod delegated;
mod janitor;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use procession_shm::fork;
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;

use crate::error::SpawnError;
use crate::exit::Exit;
use crate::offices::{self, Offices};
use crate::program::Program;
use delegated::Delegated;
pub(crate) use janitor::Janitors;

/// Names that may be taken, by groups that others left or are about to remove.
const ATTEMPTS_MAX: u32 = 1000;

/// The groups of this process are numbered.
static LAST: AtomicU32 = AtomicU32::new(0);

/// A group for one process. Dropping it removes it.
pub(crate) struct Group {
    /// Its directory, locked (C1).
    directory: OwnedFd,
    name: String,
    generation: u64,
}

impl Group {
    /// Makes a group below a delegated directory, for a process that may use so much memory.
    pub(crate) fn new(
        offices: &Offices,
        delegated: &Path,
        memory_bytes: Option<u64>,
        program: Option<&Program>,
    ) -> Result<Self, SpawnError> {
        let failed = |op| move |error: io::Error| SpawnError::cgroup(delegated, op, error);
        let within = Delegated::open(delegated).map_err(failed("open it"))?;
        within.hand_down_memory().map_err(failed("enable the memory controller below it"))?;
        // C2
        offices.janitors().watch_over(&within, program)?;
        let group = Self::make(&within, offices.generation()).map_err(failed("make a group"))?;
        group.limit(memory_bytes).map_err(failed("set the limit of a group"))?;
        Ok(group)
    }

    fn make(within: &Delegated, generation: u64) -> io::Result<Self> {
        let mut last = Errno::EXIST;
        for _ in 0..ATTEMPTS_MAX {
            let number = LAST.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}{number}", delegated::prefix(std::process::id()));
            match within.make(&name) {
                Ok(directory) => return Ok(Self { directory, name, generation }),
                // Somebody has left one of this name, or has swept this one away.
                Err(error @ (Errno::EXIST | Errno::NOENT | Errno::NODEV | Errno::WOULDBLOCK)) => {
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn limit(&self, memory_bytes: Option<u64>) -> io::Result<()> {
        // All of it or nothing: half a process is of no use, and the exit of the whole one tells.
        write(&self.directory, "memory.oom.group", "1")?;
        let Some(bytes) = memory_bytes else { return Ok(()) };
        write(&self.directory, "memory.max", &bytes.to_string())?;
        match write(&self.directory, "memory.swap.max", "0") {
            // This kernel does not count swap.
            Err(Errno::NOENT) => Ok(()),
            written => Ok(written?),
        }
    }

    /// What lets a process [`enter`].
    pub(crate) fn door(&self) -> Result<OwnedFd, SpawnError> {
        open(&self.directory, "cgroup.procs", OFlags::WRONLY)
            .map_err(|error| SpawnError::system("open the process's cgroup", error))
    }

    /// How the process ended that ended like this: whether it was killed for memory.
    pub(crate) fn judge(&self, exit: Exit) -> Exit {
        let killed = exit == Exit::Signal(libc::SIGKILL);
        // C3. What cannot be read is no evidence.
        let for_memory = || read(&self.directory, "memory.events").is_ok_and(|it| counts_kill(&it));
        if killed && for_memory() { Exit::OutOfMemory } else { exit }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // In a forked process it is the group of somebody else's child.
        if !fork::is_current(self.generation)
            || remove(&self.directory, &self.name) != Err(Errno::BUSY)
        {
            return;
        }
        // The process had started others, and they are still there.
        let Ok(directory) = self.directory.try_clone() else { return };
        let name = std::mem::take(&mut self.name);
        // If there is neither a descriptor nor a thread for it, it is left to the janitor.
        let _started = offices::start("procession-group", move || clear(&directory, &name));
    }
}

/// Moves this process into the group of which this is the door.
pub(crate) fn enter(door: &OwnedFd) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::io::write(door, b"0")).map(drop)
}

/// Whether the text of `memory.events` says that somebody was killed.
fn counts_kill(events: &str) -> bool {
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.is_some_and(|count| count != "0")
}

/// Kills all in the group, waits until none is left, and removes it. The caller has its lock (C1).
fn clear(directory: &OwnedFd, name: &str) {
    // Before Linux 5.14 there is no such file, and they are waited for.
    let _killed = write(directory, "cgroup.kill", "1");
    // If it cannot be waited for, it is gone, or left to the next sweep.
    let _waited = until_empty(directory);
    // What is still not to be removed has groups of its own below it, which are their maker's.
    let _removed = remove(directory, name);
}

fn until_empty(directory: &OwnedFd) -> Result<(), Errno> {
    let events = open(directory, "cgroup.events", OFlags::RDONLY)?;
    loop {
        // What changes after it was read is told by poll.
        let mut text = [0; 256];
        let len = rustix::io::retry_on_intr(|| rustix::io::pread(&events, &mut text, 0))?;
        if !String::from_utf8_lossy(&text[..len]).contains("populated 1") {
            return Ok(());
        }
        let mut change = [PollFd::new(&events, PollFlags::PRI)];
        rustix::io::retry_on_intr(|| poll(&mut change, None))?;
    }
}

fn remove(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = openat(directory, "..", flags, Mode::empty())?;
    unlinkat(above, name, AtFlags::REMOVEDIR)
}

fn open(directory: impl AsFd, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(directory, file, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Writes one of the kernel's files, which takes it whole or not at all.
fn write(directory: impl AsFd, file: &str, text: &str) -> Result<(), Errno> {
    let file = open(directory, file, OFlags::WRONLY)?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes())).map(drop)
}

/// Reads one of the kernel's files, all of which are short.
fn read(directory: impl AsFd, file: &str) -> Result<String, Errno> {
    let file = open(directory, file, OFlags::RDONLY)?;
    let mut text = [0; 4096];
    let len = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut text))?;
    Ok(String::from_utf8_lossy(&text[..len]).into_owned())
}

/// Takes the lock of a group (C1).
fn lock(directory: &OwnedFd, operation: FlockOperation) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| flock(directory, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_for_memory_is_told_from_none() {
        let events = "low 0\nhigh 0\nmax 40\noom 1\noom_kill 2\noom_group_kill 0\n";
        assert!(counts_kill(events));
        assert!(!counts_kill("low 0\nhigh 0\nmax 40\noom 1\noom_kill 0\noom_group_kill 3\n"));
        assert!(!counts_kill(""));
    }
}
