//! `long`: the proofs that take too long for every change, by running tests again that are short by default.
//!
//! A test that reads `PROCESSION_LONG` does in seconds what it does at length when the variable is set, so that what runs here
//! every now and then is what runs in the gate all the time.

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::tally::Runner;
use crate::workspace::Workspace;

/// The environment variable that makes tests long.
const VARIABLE: &str = "PROCESSION_LONG";

/// Packages with such tests, which all are in modules of this name.
const PACKAGES: &[&str] = &["procession-pool", "procession-process"];
const EVERY_LONG_TEST: &str = "long::";

pub(crate) fn run(args: &[String]) -> Verdict {
    let filter = match args {
        [] => EVERY_LONG_TEST,
        [filter] => filter.as_str(),
        _ => return Err("usage: cargo xtask long [filter]".into()),
    };
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    for package in PACKAGES {
        board.count(package, Runner::Libtest, invocation(package, filter));
    }
    Ok(board.finish())
}

/// One test after the other, in a release build, and with what they say about their figures.
fn invocation(package: &str, filter: &str) -> Invocation {
    Invocation::cargo("test --release --package")
        .args(package)
        .args("--tests")
        .args(filter)
        .args("-- --nocapture --test-threads=1")
        .env(VARIABLE, "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_for_the_harness_of_the_tests() {
        let line = invocation("some-crate", "long::flat").to_string();
        let command = "cargo test --release --package some-crate --tests long::flat";
        let options = "-- --nocapture --test-threads=1";
        assert_eq!(line, format!("PROCESSION_LONG=\"1\" {command} {options}"));
    }
}
