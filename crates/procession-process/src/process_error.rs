//! Why a process gave no value.

use std::sync::Arc;

use crate::error::SpawnError;
use crate::exit::Exit;
use crate::failure::Report;
use crate::refusal;

/// Why a process was not started, or gave no value.
///
/// ```
/// use procession_process::{Process, ProcessError};
///
/// fn careless(n: u32) -> u32 {
///     if n == 2 { std::process::abort() }
///     10 / n
/// }
///
/// for n in [0, 2, 5] {
///     match Process::spawn(careless, n)?.join() {
///         Ok(value) => assert_eq!((n, value), (5, 2)),
///         Err(ProcessError::Panicked { message, .. }) => assert_eq!(message, "attempt to divide by zero"),
///         Err(ProcessError::Died { exit, .. }) => assert_eq!(exit.to_string(), "SIGABRT (aborted)"),
///         Err(other) => return Err(other),
///     }
/// }
/// # Ok::<(), ProcessError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The process was not started, and none is left behind.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The argument could not be encoded here (then no process was started), or the result in the process.
    #[error("{reason}")]
    #[non_exhaustive]
    Encode {
        /// Which of the two, why, and what to do.
        reason: Arc<str>,
    },
    /// The function returned a [`Failure`](crate::Failure).
    #[error("the process failed: {0:#}")]
    Failed(#[source] Report),
    /// The function panicked.
    #[error("the process panicked: {message}{}", at(.location))]
    #[non_exhaustive]
    Panicked {
        /// The panic message.
        message: String,
        /// File, line and column; empty if the function has set a panic hook of its own.
        location: String,
        /// The backtrace, when `RUST_BACKTRACE` asks for one.
        backtrace: String,
    },
    /// The process ended before its function returned, or was killed after that, before it had left.
    #[error("process {pid} {}", how(*.exit))]
    #[non_exhaustive]
    Died {
        /// The process.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// The process exited before its function was called. A process of this program has said why on its standard error. A
    /// [helper program](crate::ProcessBuilder::program) has another image than the function, or did not call
    /// [`serve`](crate::serve).
    #[error("process {pid} left with exit code {code} before its function was called: {}", why_not(*.code))]
    #[non_exhaustive]
    NotServed {
        /// The process.
        pid: u32,
        /// Its exit code: one of [`refusal`] if it has refused to serve.
        code: i32,
    },
    /// The argument could not be decoded in the process, or its result here.
    #[error("{reason}")]
    #[non_exhaustive]
    Decode {
        /// Which of the two, and why.
        reason: Arc<str>,
    },
    /// The result was taken before, by [`join_timeout`](crate::Process::join_timeout) or by awaiting the process.
    #[error("the result of this process was taken before: keep what the first join returned")]
    AlreadyJoined,
}

impl ProcessError {
    pub(crate) fn encode(reason: impl Into<Arc<str>>) -> Self {
        Self::Encode { reason: reason.into() }
    }

    pub(crate) fn decode(reason: impl Into<Arc<str>>) -> Self {
        Self::Decode { reason: reason.into() }
    }
}

fn at(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(" at {location}") }
}

fn why_not(code: i32) -> String {
    match refusal::meaning(code) {
        Some(meaning) => format!("{meaning}; its standard error says more"),
        None => {
            "a constructor of it has exited, or it is a helper program that does not call `serve`"
                .to_owned()
        }
    }
}

fn how(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!(
            "left with exit code {code} before its function returned: look for a call of `exit` in it"
        ),
        Exit::Signal(_) | Exit::Unknown | Exit::OutOfMemory => format!("died: {exit}"),
    }
}
