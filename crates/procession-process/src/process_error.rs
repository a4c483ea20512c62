//! Why a process gave no value.

use std::sync::Arc;

use crate::error::SpawnError;
use crate::exit::Exit;
use crate::failure::Report;

/// Why a process was not started, or gave no value.
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
        /// How it ended. A code of [`refusal`](crate::refusal) may mean that it could not start to serve: it has said why on its
        /// standard error.
        exit: Exit,
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

fn how(exit: Exit) -> String {
    match exit {
        Exit::Code(code @ 110..=116) => format!(
            "left with exit code {code} before its function returned; if it could not start, its standard error says why"
        ),
        Exit::Code(code) => format!(
            "left with exit code {code} before its function returned: look for a call of `exit` in it"
        ),
        Exit::Signal(_) | Exit::Unknown => format!("died: {exit}"),
    }
}
