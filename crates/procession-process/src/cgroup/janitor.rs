//! A small process that outlives this one by a moment, and removes the groups that it leaves behind.
//!
//! Nobody else can: a group is not removed by the kernel, and not while there are processes in it, which the death of this process
//! is about to kill. The janitor sleeps on a socket whose other end is in this process alone, in a session of its own, so that
//! what is sent to the terminal's or the job's processes does not reach it. It sweeps twice: when it starts, what others have left
//! that died with their janitors; and at the end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{chdir, set_parent_process_death_signal, setsid};

use super::delegated::Delegated;
use crate::child::Child;
use crate::error::SpawnError;
use crate::launcher::{Launcher, Start};
use crate::packet;
use crate::program::Program;

/// The janitors of this process, one for each directory.
#[derive(Default)]
pub(crate) struct Janitors(Mutex<BTreeMap<(u64, u64), Janitor>>);

struct Janitor {
    process: Child,
    /// Its end of file is the death of this process.
    _line: OwnedFd,
}

impl Janitors {
    /// Sees to it that a janitor watches over the directory (C2).
    pub(super) fn watch_over(
        &self,
        within: &Delegated,
        program: Option<&Program>,
    ) -> Result<(), SpawnError> {
        let failed =
            |error: io::Error| SpawnError::cgroup(within.path(), "start its janitor", error);
        let identity = within.identity().map_err(failed)?;
        // The lock is kept until it is at work: who else needs it needs the same one.
        let mut janitors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if janitors.get(&identity).is_some_and(|janitor| janitor.process.is_alive()) {
            return Ok(());
        }
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| failed(error.into()))?;
        let directory = within.as_fd().try_clone_to_owned().map_err(failed)?;
        let process = Launcher::new(main)
            .other_program(program.cloned())
            .name("cgroup-janitor")
            .payload(std::process::id().to_ne_bytes().to_vec())
            .fds(vec![theirs, directory])
            .standard(nothing().map_err(failed)?)
            .ignore_interrupt(true)
            .launch()?;
        let word =
            packet::receive(&ours, RecvFlags::empty()).map_err(|error| failed(error.into()))?;
        if word.bytes.is_empty() {
            return Err(failed(io::Error::other(format!("it ended: {}", process.wait()))));
        }
        janitors.insert(identity, Janitor { process, _line: ours });
        Ok(())
    }
}

/// Standard descriptors that keep nobody waiting for their end.
fn nothing() -> io::Result<[Option<OwnedFd>; 3]> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let open = || rustix::fs::open("/dev/null", flags, Mode::empty()).map(Some);
    Ok([open()?, open()?, open()?])
}

/// What a janitor does.
fn main(start: Start) {
    // The parent is told if it waits for the first word; later nobody listens.
    if work(start).is_err() {
        std::process::exit(1);
    }
}

fn work(start: Start) -> io::Result<()> {
    let incomplete = || io::Error::from(io::ErrorKind::InvalidData);
    let parent = u32::from_ne_bytes(start.payload.try_into().map_err(|_| incomplete())?);
    let [line, directory]: [OwnedFd; 2] = start.fds.try_into().map_err(|_| incomplete())?;
    let delegated = Delegated::from_fd(directory);
    set_parent_process_death_signal(None)?;
    setsid()?;
    chdir("/")?;
    packet::send(&line, b"at work", &[], SendFlags::empty())?;
    delegated.sweep(None)?;
    // Nothing is ever sent to it.
    packet::receive(&line, RecvFlags::empty())?;
    delegated.sweep(Some(parent))
}
