//! A second process by `fork`: for the bare kernels and for peers that bring no way of their own to start one.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

/// The other process. It is killed when this one dies.
#[derive(Debug)]
#[must_use = "it is to be joined"]
pub struct Twin(Pid);

/// Forks a process that calls `work` and ends.
///
/// # Errors
///
/// When the kernel has no room for another process, and when this process has several threads: only one would be copied,
/// and what the others were in the middle of would stay so for ever.
pub fn fork(work: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> io::Result<Twin> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads is not forked here"));
    }
    // SAFETY: this is the only thread, so no lock is held in the copy that nobody there will give back.
    match unsafe { libc::fork() } {
        0 => live(work),
        pid => Pid::from_raw(pid).map(Twin).ok_or_else(io::Error::last_os_error),
    }
}

/// The life of the child: whatever happens, it does not return into its parent's code.
fn live(work: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> ! {
    let code = catch_unwind(AssertUnwindSafe(|| {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        work()
    }));
    let failed = !matches!(code, Ok(Ok(())));
    // SAFETY: it ends the process, and there is nothing to be cleaned up that the parent does not own.
    unsafe { libc::_exit(i32::from(failed)) }
}

impl Twin {
    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it did not succeed.
    pub fn join(self) -> io::Result<()> {
        let Some((_, status)) = waitpid(Some(self.0), WaitOptions::empty())? else {
            return Err(io::Error::other("the other process cannot be waited for"));
        };
        let status = ExitStatus::from_raw(status.as_raw());
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("the other process failed: {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test runner's own thread is the second one.
        assert!(fork(|| Ok(())).is_err());
    }
}
