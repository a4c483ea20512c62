//! Prints what this machine offers, and which fallbacks are active.
//!
//! It exits with 1 when something is missing for which nothing stands in.

use std::process::ExitCode;

use procession_shm::doctor::Status;

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> ExitCode {
    let report = procession_shm::doctor();
    print!("{report}");
    if report.worst() == Status::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
