//! Exit codes of a child process that refused to serve.
//!
//! A process that finds the bootstrap variable in its environment never runs `main`: a copy of
//! this program that did would start copies of itself. If it cannot serve either, it says why in
//! one line on standard error and exits with one of these codes. Only a child whose parent has died while it started says nothing. They stay clear of those that
//! shells (126 and above), sysexits.h (64 to 78) and Rust's panics (101) use.

use std::fmt;

use crate::bootstrap::VARIABLE;
use crate::stderr::complain;

/// The file is setuid, setgid or has file capabilities: the environment belongs to its caller.
pub const PRIVILEGED: i32 = 110;
/// The bootstrap variable is not one that this version writes.
pub const BAD_VARIABLE: i32 = 111;
/// The descriptor that the variable names is not open, or not a socket.
pub const BAD_DESCRIPTOR: i32 = 112;
/// The process that is to be served is gone, or is not the parent of this one.
pub const PARENT_GONE: i32 = 113;
/// What came over the socket is not a bootstrap message.
pub const BAD_MESSAGE: i32 = 114;
/// The message was written by another build of the program.
pub const OTHER_BUILD: i32 = 115;
/// The operating system refused a step of the start-up.
pub const SYSTEM: i32 = 116;
/// [`serve`](crate::serve) was called by a program that had started threads before.
pub const HAS_THREADS: i32 = 117;

/// The process could not be put into its sandbox.
pub const SANDBOX: i32 = 118;

/// What a code of this module means, in the words of somebody who waits for the process; `None` for any other code.
///
/// ```
/// use procession_process::refusal::{SANDBOX, meaning};
///
/// assert_eq!(meaning(SANDBOX), Some("it could not be put into its sandbox"));
/// assert_eq!(meaning(1), None);
/// ```
#[must_use]
pub fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        PRIVILEGED => "its file is setuid, setgid or has file capabilities",
        BAD_VARIABLE | BAD_DESCRIPTOR | BAD_MESSAGE => {
            "it could not make sense of what it was told"
        }
        PARENT_GONE => "it is not a child of this process itself",
        OTHER_BUILD => "it is another program, or another build of this one",
        SYSTEM => "the operating system refused a step of its start",
        HAS_THREADS => "it had started threads before it called `serve`",
        SANDBOX => "it could not be put into its sandbox",
        _ => return None,
    })
}

/// Why this process does not serve.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: i32,
    /// `None` when there is nobody who would want to know.
    why: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: i32, why: impl fmt::Display) -> Self {
        Self { code, why: Some(why.to_string()) }
    }

    /// The parent has died while this process was starting, as it would have died with it a moment later.
    pub(crate) fn orphaned() -> Self {
        Self { code: PARENT_GONE, why: None }
    }

    /// For `map_err`: the operating system refused the step `op`.
    pub(crate) fn system<E: fmt::Display>(op: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::new(SYSTEM, format_args!("{op}: {error}"))
    }

    pub(crate) fn exit(self) -> ! {
        if let Some(why) = self.why {
            complain(format_args!(
                "process {} cannot serve as a child process: {why}; {VARIABLE} is set by procession for \
                 its own children, unset it if it was set by hand",
                std::process::id(),
            ));
        }
        // SAFETY: _exit has no preconditions. Nothing of the program has run that would need
        // exit's handlers.
        unsafe { libc::_exit(self.code) }
    }
}
