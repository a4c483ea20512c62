//! How a process ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a process ended.
///
/// ```
/// use procession_process::Exit;
///
/// assert_eq!(Exit::Signal(11).to_string(), "SIGSEGV (segmentation fault)");
/// assert_eq!(Exit::Code(3).to_string(), "exit code 3");
/// assert!(Exit::Code(0).is_success());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Exit {
    /// It exited by itself with this code, 0 to 255.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It is gone, but somebody else collected its status first (a `wait(-1)` in the host program,
    /// or SIGCHLD ignored) and the kernel could not be asked (before Linux 6.15).
    Unknown,
    /// The kernel killed it (SIGKILL) because memory had run out: the process and those that it had started were at their limit, or
    /// the whole machine or container was. Only of a process with a [cgroup](crate::ProcessBuilder::cgroup) of its own does the
    /// kernel tell; of any other this is `Signal`.
    OutOfMemory,
}

impl Exit {
    /// Whether the process exited by itself with code 0.
    ///
    /// ```
    /// use procession_process::Exit;
    ///
    /// assert!(Exit::Code(0).is_success());
    /// assert!(!Exit::Code(1).is_success() && !Exit::Signal(9).is_success());
    /// ```
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// Decodes the status word of wait(2).
    pub(crate) fn from_wait_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal_name(number) {
                Some((name, meaning)) => write!(f, "{name} ({meaning})"),
                None => write!(f, "signal {number}"),
            },
            Self::Unknown => f.write_str("unknown exit status"),
            Self::OutOfMemory => f.write_str("SIGKILL (killed by the kernel, out of memory)"),
        }
    }
}

/// Name and meaning of the signals that can end a process.
fn signal_name(number: i32) -> Option<(&'static str, &'static str)> {
    Some(match number {
        libc::SIGHUP => ("SIGHUP", "hangup"),
        libc::SIGINT => ("SIGINT", "interrupt"),
        libc::SIGQUIT => ("SIGQUIT", "quit"),
        libc::SIGILL => ("SIGILL", "illegal instruction"),
        libc::SIGTRAP => ("SIGTRAP", "trace trap"),
        libc::SIGABRT => ("SIGABRT", "aborted"),
        libc::SIGBUS => ("SIGBUS", "bus error"),
        libc::SIGFPE => ("SIGFPE", "arithmetic error"),
        libc::SIGKILL => ("SIGKILL", "killed"),
        libc::SIGUSR1 => ("SIGUSR1", "user signal 1"),
        libc::SIGSEGV => ("SIGSEGV", "segmentation fault"),
        libc::SIGUSR2 => ("SIGUSR2", "user signal 2"),
        libc::SIGPIPE => ("SIGPIPE", "broken pipe"),
        libc::SIGALRM => ("SIGALRM", "alarm"),
        libc::SIGTERM => ("SIGTERM", "terminated"),
        libc::SIGXCPU => ("SIGXCPU", "CPU time limit exceeded"),
        libc::SIGXFSZ => ("SIGXFSZ", "file size limit exceeded"),
        libc::SIGVTALRM => ("SIGVTALRM", "virtual timer expired"),
        libc::SIGPROF => ("SIGPROF", "profiling timer expired"),
        libc::SIGIO => ("SIGIO", "input or output possible"),
        libc::SIGPWR => ("SIGPWR", "power failure"),
        libc::SIGSYS => ("SIGSYS", "forbidden system call"),
        libc::SIGSTKFLT => ("SIGSTKFLT", "stack fault"),
        _ => return None,
    })
}
