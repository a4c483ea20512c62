//! Tests that cannot run on a machine that offers less.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped must be seen")]

use std::io::Write;

use crate::{Status, doctor};

/// Ends a test where nobody can be watched, and says so loudly.
macro_rules! needs_pidfds {
    () => {
        if !crate::skips::has("pidfd_open", crate::skips::name_of!()) {
            return;
        }
    };
}

/// The name of the test that says it.
macro_rules! name_of {
    () => {{
        fn here() {}
        std::any::type_name_of_val(&here)
    }};
}
pub(crate) use name_of;

/// Whether the doctor finds this here, and no fallback for it.
pub(crate) fn has(what: &str, test: &str) -> bool {
    let has = doctor().get(what).is_some_and(|check| check.status == Status::Full);
    if !has {
        skipped(test.trim_end_matches("::here"), &format!("there is no {what} here"));
    }
    has
}

/// A test that could not run has not passed: whoever counts the skips must see it.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("PROCESSION_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
