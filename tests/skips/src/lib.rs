//! A test that cannot run on a machine has not passed: it says so, where people and where programs look.
#![expect(clippy::print_stderr, reason = "what is skipped must be seen")]
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// Says on standard error, and in the file that `PROCESSION_SKIPS` names, that a test was skipped.
///
/// # Errors
///
/// That the file cannot be written.
pub fn announce(test: &str, reason: &str) -> io::Result<()> {
    let line = format!("SKIPPED: {test}: {reason}\n");
    eprint!("{line}");
    let Some(path) = std::env::var_os("PROCESSION_SKIPS") else { return Ok(()) };
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// [`announce`] for a test, which has failed if not even that can be said.
///
/// # Panics
///
/// When the file cannot be written.
pub fn skipped(test: &str, reason: &str) {
    announce(test, reason).expect("a skip that is not counted would pass for a success");
}

/// Ends a test that needs what there is only with pidfds, and says so loudly.
#[macro_export]
macro_rules! needs_pidfds {
    () => {
        fn here() {}
        if !$crate::has_pidfds(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}

/// Whether there are pidfds. Without them there are no zygotes, and nobody but its root can be in a family.
#[doc(hidden)]
pub fn has_pidfds(test: &str) -> bool {
    let has = pidfd_open(getpid(), PidfdFlags::empty()).is_ok();
    if !has {
        skipped(test.trim_end_matches("::here"), "it needs pidfds, and pidfd_open is refused");
    }
    has
}

/// The directory of cgroup version 2 that was delegated to the tests; without one, the test says that it is skipped.
pub fn delegated_cgroup(test: &str) -> Option<PathBuf> {
    let delegated = std::env::var_os("PROCESSION_CGROUP").map(PathBuf::from);
    if delegated.is_none() {
        skipped(test, "PROCESSION_CGROUP names no delegated directory of cgroup version 2");
    }
    delegated
}
