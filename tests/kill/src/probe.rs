//! Whether this machine lets a process step through its child.

use std::io;

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::tracer::{self, Next, Step, Tracee};

/// Why it cannot be done here, if it cannot.
pub(crate) fn refusal() -> Option<String> {
    step_once().err().map(|error| format!("ptrace is not allowed here ({error})"))
}

fn step_once() -> io::Result<()> {
    // SAFETY: this process has one thread, so the child may do whatever it could do.
    match unsafe { libc::fork() } {
        0 => {
            if tracer::trace_me().is_ok() {
                crate::marks::enter();
            }
            // SAFETY: it ends the child, and that is what is wanted.
            unsafe { libc::_exit(1) }
        }
        child => step_child(Pid::from_raw(child).ok_or_else(io::Error::last_os_error)?),
    }
}

fn step_child(pid: Pid) -> io::Result<()> {
    let tracee = loop {
        if let Some(tracee) = Tracee::stopped(pid)? {
            break tracee;
        }
        std::thread::yield_now();
    };
    let stepped = tracee.step(Next::Ordinary);
    tracee.kill()?;
    match stepped? {
        Step::Done => Ok(()),
        Step::Asleep => Err(io::Error::other("an ordinary instruction slept")),
    }
}

/// Pins this process and all that it forks to the core it may use first. Nobody spins on one core, so that each run takes
/// the same way, and no step has to wake another core.
pub(crate) fn pin_to_one_core() -> io::Result<()> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&core| allowed.is_set(core));
    let mut one = rustix::thread::CpuSet::new();
    one.set(first.ok_or_else(|| io::Error::other("no core may be used"))?);
    Ok(rustix::thread::sched_setaffinity(None, &one)?)
}

/// Reaps nothing and blocks nothing: whether a child is left that nobody has reaped.
pub(crate) fn has_children() -> bool {
    waitpid(None, WaitOptions::NOHANG).is_ok()
}
