//! Saying aloud what could not be tried.

use std::fs::OpenOptions;
use std::io::{self, Write};

/// Says on standard error, and in the file that `PROCESSION_SKIPS` names, that a test was skipped.
pub(crate) fn announce(test: &str, reason: &str) -> io::Result<()> {
    let line = format!("SKIPPED: {test}: {reason}");
    eprintln!("{line}");
    match std::env::var_os("PROCESSION_SKIPS") {
        Some(path) => writeln!(OpenOptions::new().append(true).create(true).open(path)?, "{line}"),
        None => Ok(()),
    }
}
