//! The directory below which groups are made, and what was left in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FlockOperation, FsWord, Mode, OFlags, fstat, fstatfs, mkdirat};
use rustix::io::Errno;

use super::{clear, lock, open, read, write};

/// What the kernel calls the file system of cgroup version 2 (CGROUP2_SUPER_MAGIC).
const MAGIC: FsWord = 0x6367_7270;

/// What the names of all groups begin with.
const PREFIX: &str = "procession-";

/// What the names of the groups of one process begin with.
pub(super) fn prefix(pid: u32) -> String {
    format!("{PREFIX}{pid}-")
}

/// A directory that was delegated to this user.
pub(super) struct Delegated {
    directory: OwnedFd,
    path: PathBuf,
}

impl Delegated {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        if fstatfs(&directory)?.f_type != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no directory of cgroup version 2",
            ));
        }
        Ok(Self { directory, path: path.to_owned() })
    }

    /// The same by a descriptor of it.
    pub(super) fn from_fd(directory: OwnedFd) -> Self {
        Self { directory, path: PathBuf::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells it from others, by whatever path.
    pub(super) fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = fstat(&self.directory)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Lets the groups below have limits of memory.
    pub(super) fn hand_down_memory(&self) -> io::Result<()> {
        let has_memory = |file| -> io::Result<bool> {
            Ok(read(&self.directory, file)?.split_ascii_whitespace().any(|name| name == "memory"))
        };
        if has_memory("cgroup.subtree_control")? {
            return Ok(());
        }
        if !has_memory("cgroup.controllers")? {
            let why = "the group above does not hand it down";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(write(&self.directory, "cgroup.subtree_control", "+memory")?)
    }

    /// Makes a group and takes its lock. `EXIST`, `NOENT`, `NODEV`, `WOULDBLOCK`: another name may do.
    pub(super) fn make(&self, name: &str) -> Result<OwnedFd, Errno> {
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o755))?;
        let group = self.group(name)?;
        lock(&group, FlockOperation::NonBlockingLockExclusive)?;
        // A sweep may have had the lock before (C1): then the directory is there no more, and neither are its files.
        open(&group, "memory.oom.group", OFlags::WRONLY)?;
        Ok(group)
    }

    fn group(&self, name: &str) -> Result<OwnedFd, Errno> {
        open(&self.directory, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    /// Removes all groups whose makers have died. Those of the process `dying` are waited for: its death closes one descriptor after
    /// the other, and a process that was forked from it has copies of them.
    pub(super) fn sweep(&self, dying: Option<u32>) -> io::Result<()> {
        let dying = dying.map(prefix);
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_awaited = dying.as_ref().is_some_and(|dying| name.starts_with(dying));
            if name.starts_with(PREFIX) {
                self.sweep_one(name, is_awaited);
            }
        }
        Ok(())
    }

    fn sweep_one(&self, name: &str, is_awaited: bool) {
        // Somebody else may be faster.
        let Ok(group) = self.group(name) else { return };
        let operation = if is_awaited {
            FlockOperation::LockExclusive
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        if lock(&group, operation).is_ok() {
            clear(&group, name);
        }
    }
}

impl AsFd for Delegated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
