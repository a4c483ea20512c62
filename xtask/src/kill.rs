//! `kill`: builds the kill-point harness and runs it.
//!
//! A release build is what users run; `--debug` tries the code as the tests compile it, which goes through other
//! instructions. Everything else is for the harness itself: `cargo xtask kill --list` names its cases.

use std::process::ExitCode;

use crate::Verdict;
use crate::command::{Finished, Invocation};
use crate::workspace::Workspace;

const PACKAGE: &str = "procession-kill";

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let finished = harness(args).run(workspace.root())?;
    if let Some(summary) = summary(&finished) {
        println!("{summary}");
    }
    Ok(if finished.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn harness(args: &[String]) -> Invocation {
    let is_debug = args.iter().any(|arg| arg == "--debug");
    let profile = if is_debug { "" } else { "--release" };
    let rest = args.iter().filter(|arg| *arg != "--debug");
    let run = Invocation::cargo("run --quiet --package").args(PACKAGE).args(profile).args("--");
    rest.fold(run, |run, arg| run.args(arg))
}

/// The harness' last line, repeated behind the time that it took.
fn summary(finished: &Finished) -> Option<&str> {
    finished.output.lines().rfind(|line| line.contains(" passed, "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> String {
        harness(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn release_is_the_default_and_the_rest_is_for_the_harness() {
        let run = "cargo run --quiet --package procession-kill";
        assert_eq!(line(&[]), format!("{run} --release --"));
        assert_eq!(line(&["--debug", "--all", "mutex"]), format!("{run} -- --all mutex"));
        assert_eq!(line(&["mutex", "lock"]), format!("{run} --release -- mutex lock"));
    }

    #[test]
    fn the_summary_is_the_last_count() {
        let output = "x\n1 passed, 0 failed, 0 skipped\n".to_owned();
        let finished = Finished { success: true, output, took: std::time::Duration::ZERO };
        assert_eq!(summary(&finished), Some("1 passed, 0 failed, 0 skipped"));
    }
}
