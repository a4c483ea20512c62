//! `faults`: builds the harness that lets each system call of an operation fail, and runs it.
//!
//! The gate plays every so many calls of the same scenes, in a debug build. `cargo xtask faults --list` names them.

use std::process::ExitCode;

use crate::Verdict;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let finished = harness(args).run(workspace.root())?;
    Ok(if finished.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn harness(args: &[String]) -> Invocation {
    let run = Invocation::cargo("run --quiet --release --package procession-faults --");
    args.iter().fold(run, |run, arg| run.args(arg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_for_the_harness() {
        let line = harness(&["--every".to_owned(), "3".to_owned(), "pool".to_owned()]).to_string();
        let run = "cargo run --quiet --release --package procession-faults --";
        assert_eq!(line, format!("{run} --every 3 pool"));
    }
}
