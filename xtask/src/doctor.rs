//! `doctor`: what this machine offers, and which fallbacks are active.

use std::process::ExitCode;

use crate::Verdict;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) fn run(args: &[String]) -> Verdict {
    if !args.is_empty() {
        return Err("usage: cargo xtask doctor".into());
    }
    let workspace = Workspace::find()?;
    let doctor = Invocation::cargo("run --quiet --package procession-shm --example doctor");
    let finished = doctor.run(workspace.root())?;
    Ok(if finished.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
