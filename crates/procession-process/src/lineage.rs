//! Who this process is, who its parent is, and what its children are called.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use procession_shm::fork::FirstWins;
use rustix::process::{Pid, getpid, getppid};

use crate::grip::Grip;
use crate::handle::{ProcessHandle, Relative};
use crate::serve::Parent;

/// The name of a process that was not started by this crate.
const MAIN: &str = "main";

/// What a child was told at its start.
struct Lineage {
    pid: u32,
    name: String,
    /// As the parent itself is numbered.
    parent: u32,
    parent_name: String,
    /// The parent's pidfd, if the kernel calls another process the parent: the zygote that forked this one.
    held: Option<OwnedFd>,
    is_direct: bool,
}

static LINEAGE: FirstWins<Lineage> = FirstWins::new();
/// The numbers by which this process and those above it were named, like `1:3`.
static POSITION: FirstWins<String> = FirstWins::new();
/// Relaxed: a counter.
static LAST_CHILD: AtomicU64 = AtomicU64::new(0);

/// Notes what this process was told.
pub(crate) fn found(name: &str, parent: Parent, parent_name: &str, held: Option<OwnedFd>) {
    let lineage = Lineage {
        pid: std::process::id(),
        name: name.to_owned(),
        parent: parent.pid,
        parent_name: parent_name.to_owned(),
        held,
        is_direct: parent.is_direct,
    };
    let Ok(_) = LINEAGE.get_or_try_init(|| Ok::<_, std::convert::Infallible>(lineage));
}

pub(crate) fn own_name() -> &'static str {
    LINEAGE.get().map_or(MAIN, |lineage| &lineage.name)
}

/// Notes where this process stands.
pub(crate) fn set_position(position: &str) {
    let position = position.to_owned();
    let Ok(_) = POSITION.get_or_try_init(|| Ok::<_, std::convert::Infallible>(position));
}

/// Where the next child of this process stands.
pub(crate) fn next_position() -> String {
    let number = LAST_CHILD.fetch_add(1, Ordering::Relaxed) + 1;
    match POSITION.get() {
        Some(own) => format!("{own}:{number}"),
        None => number.to_string(),
    }
}

/// This process.
///
/// Its name is that with which it was started, `main` if it was not started by this crate. It is alive; to wait for it is to
/// wait for ever.
///
/// ```
/// let this = procession_process::current();
/// assert_eq!((this.pid(), this.name()), (std::process::id(), "main"));
/// assert!(this.is_alive());
/// ```
#[must_use]
pub fn current() -> ProcessHandle {
    let relative = Relative { pid: std::process::id(), grip: Grip::take(getpid()).ok() };
    ProcessHandle::of_relative(own_name(), relative)
}

/// The process that started this one, if this one was started by this crate.
///
/// A process is killed when its parent ends, so the parent is alive, but for an instant, or in a process that has kept the kernel
/// from doing that (`PR_SET_PDEATHSIG`; a change of its user does it, too). In a process that was started in
/// another pid namespace than its parent's, the pid is that which the parent has in its own, and it can be neither waited for
/// nor signalled. In a process made by a bare fork(2) there is none.
///
/// ```
/// use procession_process::{Process, parent};
///
/// assert!(parent().is_none());
/// let child = Process::spawn(|()| parent().map(|parent| parent.pid()), ())?;
/// assert_eq!(child.join()?, Some(std::process::id()));
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
#[must_use]
pub fn parent() -> Option<ProcessHandle> {
    let lineage = LINEAGE.get().filter(|lineage| lineage.pid == std::process::id())?;
    let grip = match getppid() {
        Some(pid) if lineage.is_direct => hold_parent(pid, lineage.parent),
        _ => lineage.held.as_ref().and_then(hold_again),
    };
    let relative = Relative { pid: lineage.parent, grip };
    Some(ProcessHandle::of_relative(&lineage.parent_name, relative))
}

/// Holds on to the parent of this number, if the kernel still calls it that; `None` if it cannot be held. Who has taken back its
/// parent-death signal, or has lost it with its rights, goes on below another process when the parent has ended.
fn hold_parent(now: Pid, parent: u32) -> Option<Grip> {
    let held = Grip::take(now).ok();
    // As long as it is the parent after it was held, it was the parent that was held.
    let lives = getppid() == Some(now) && number(now) == parent;
    if lives { held } else { Grip::gone().ok() }
}

fn hold_again(pidfd: &OwnedFd) -> Option<Grip> {
    pidfd.try_clone().ok().map(Grip::Pidfd)
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}
