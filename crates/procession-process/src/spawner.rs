//! The thread that starts all children of this process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender};

use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::c_strings::CStrings;
use crate::child::Child;
use crate::command::{Command, SOCKET_NUMBER};
use crate::desk::Desk;
use crate::ending::Ending;
use crate::error::SpawnError;
use crate::grip::Grip;
use crate::program::Executable;
use crate::reaper::Reaper;

/// One child to be started.
pub(crate) struct Order {
    pub(crate) executable: Executable,
    pub(crate) environment: CStrings,
    /// The child's end of a socket in which its message lies already.
    pub(crate) socket: OwnedFd,
    pub(crate) standard: Standard,
    pub(crate) block_interrupt: bool,
    pub(crate) ending: Ending,
}

/// The standard descriptors of a child; those that are not given are this process's.
#[derive(Default)]
pub(crate) struct Standard {
    pub(crate) descriptors: [Option<OwnedFd>; 3],
    /// Whether descriptor 0 is /dev/null.
    pub(crate) stdin_null: bool,
}

/// An order and where the answer goes.
pub(crate) struct Job {
    pub(crate) order: Order,
    pub(crate) reply: SyncSender<Result<Child, SpawnError>>,
}

/// Serves orders until nobody can send any.
pub(crate) fn work(inbox: &Receiver<Job>, desk: &Desk, reaper: &Reaper) {
    desk.take();
    for Job { order, reply } in inbox {
        let spawned = desk.unbind().and_then(|_unbound| spawn(order, reaper));
        // Whoever does not wait for the answer leaves the child to the reaper, which has it.
        let _delivered = reply.send(spawned);
    }
}

/// Starts a process and hands it to the reaper; on failure none is left.
fn spawn(order: Order, reaper: &Reaper) -> Result<Child, SpawnError> {
    let pid = exec(&order)?;
    drop(order.socket);
    let grip = Grip::take(pid).map_err(|error| {
        end(pid);
        SpawnError::system("open a pidfd of the child", error)
    })?;
    reaper.watch(pid, grip, order.ending).map(Child::new).inspect_err(|_| end(pid))
}

fn exec(order: &Order) -> Result<Pid, SpawnError> {
    let socket = above_targets(&order.socket)?;
    let [mut stdin, stdout, stderr] = order.standard.above_targets()?;
    if order.standard.stdin_null {
        stdin = Some(open_null()?);
    }
    Command {
        executable: &order.executable,
        environment: &order.environment,
        socket: socket.as_fd(),
        standard: [&stdin, &stdout, &stderr].map(|given| given.as_ref().map(AsFd::as_fd)),
        block_interrupt: order.block_interrupt,
    }
    .spawn()
}

impl Standard {
    fn above_targets(&self) -> Result<[Option<OwnedFd>; 3], SpawnError> {
        let [stdin, stdout, stderr] = &self.descriptors;
        let above = |given: &Option<OwnedFd>| given.as_ref().map(above_targets).transpose();
        Ok([above(stdin)?, above(stdout)?, above(stderr)?])
    }
}

pub(crate) fn open_null() -> Result<OwnedFd, SpawnError> {
    let null = Path::new("/dev/null");
    let opened = rustix::fs::open(null, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    above_targets(&opened.map_err(|error| SpawnError::file("open a file", null, error))?)
}

/// The same file under a number that no move in the child overwrites: in a program that has
/// closed its standard descriptors it may be 0.
fn above_targets(descriptor: &OwnedFd) -> Result<OwnedFd, SpawnError> {
    fcntl_dupfd_cloexec(descriptor, SOCKET_NUMBER + 1)
        .map_err(|error| SpawnError::system("duplicate a descriptor", error))
}

/// Ends a child that nobody will watch. As long as it is not reaped the number is its own.
fn end(pid: Pid) {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if waitid(WaitId::Pid(pid), peek).is_err() {
        return; // Somebody else has reaped it, and the number may belong to another process.
    }
    // Both calls fail only if somebody else reaps it just now, which ends it as well.
    let _killed = kill_process(pid, Signal::KILL);
    let _reaped = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
}
