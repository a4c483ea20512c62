//! The score board of one `cargo xtask test`: runs the parts, counts them, and has the last word.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::command::{Finished, Invocation};
use crate::skips::{self, SkipFile};
use crate::tally::{Runner, Tally};

/// What ran so far.
#[derive(Debug)]
pub(crate) struct Board {
    root: PathBuf,
    rows: Vec<Row>,
    skips: Vec<String>,
}

#[derive(Debug)]
struct Row {
    part: String,
    tally: Tally,
    took: Duration,
}

impl Board {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, rows: Vec::new(), skips: Vec::new() }
    }

    /// A command that is one test: it passes when it succeeds.
    pub(crate) fn check(&mut self, part: &str, invocation: &Invocation) {
        match invocation.run(&self.root) {
            Ok(finished) if finished.success => self.add(part, Tally::PASSED, finished.took),
            Ok(finished) => self.add(part, Tally::FAILED, finished.took),
            Err(error) => self.broken(part, &error),
        }
    }

    /// What a part needs before it can be run, such as its build: it is nothing that is counted.
    pub(crate) fn prepare(
        &self,
        part: &str,
        invocation: &Invocation,
    ) -> Result<(), Box<dyn Error>> {
        if invocation.run(&self.root)?.success {
            return Ok(());
        }
        Err(format!("{part} could not be prepared").into())
    }

    /// A part that cannot run here. It is counted and named, never left out.
    pub(crate) fn skip(&mut self, part: &str, reason: &str) {
        let line = format!("SKIPPED: {part}: {reason}");
        println!("\n!!! {line}");
        self.skips.push(line);
        self.add(part, Tally::SKIPPED, Duration::ZERO);
    }

    /// A command that runs many tests and prints how many.
    pub(crate) fn count(&mut self, part: &str, runner: Runner, invocation: Invocation) {
        match self.try_count(part, runner, invocation) {
            Ok((tally, took)) => self.add(part, tally, took),
            Err(error) => self.broken(part, &*error),
        }
    }

    fn try_count(
        &mut self,
        part: &str,
        runner: Runner,
        invocation: Invocation,
    ) -> Result<(Tally, Duration), Box<dyn Error>> {
        let file = SkipFile::create()?;
        let invocation = invocation.env(skips::VARIABLE, &file.path().to_string_lossy());
        let finished = invocation.run(&self.root)?;
        let skipped = file.read()?;
        let tally = judge(runner, &finished, skipped.len());
        self.skips.extend(skipped.iter().map(|line| format!("{line} ({part})")));
        Ok((tally, finished.took))
    }

    pub(crate) fn add(&mut self, part: &str, tally: Tally, took: Duration) {
        self.rows.push(Row { part: part.to_owned(), tally, took });
    }

    fn broken(&mut self, part: &str, error: &dyn Error) {
        println!("!!! {part} could not be run to its end: {error}");
        self.add(part, Tally::FAILED, Duration::ZERO);
    }

    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.rows.iter().for_each(|row| total += row.tally);
        total
    }

    /// Prints every part, every skip and, as the last line, the sum. Success means that nothing failed.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        for Row { part, tally, took } in &self.rows {
            let mark = mark(*tally);
            println!("{mark:<7} {part:<44} {tally} in {:.1} s", took.as_secs_f32());
        }
        self.skips.iter().for_each(|line| println!("{line}"));
        let total = self.total();
        println!("{total}");
        if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn mark(tally: Tally) -> &'static str {
    match tally {
        Tally { failed: 1.., .. } => "FAILED",
        Tally { passed: 0, skipped: 1.., .. } => "skipped",
        _ => "ok",
    }
}

/// A command that failed, or whose output holds no summary, is a failure even if no test is to blame.
fn judge(runner: Runner, finished: &Finished, skips: usize) -> Tally {
    let Some(mut tally) = runner.parse(&finished.output) else {
        println!("!!! no count of tests in this output");
        return Tally::FAILED;
    };
    tally.reclassify_skips(skips);
    if !finished.success && tally.failed == 0 {
        println!("!!! the command failed although no test did");
        tally.failed = 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_OF_EACH: &str = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured\n";

    fn finished(success: bool, output: &str) -> Finished {
        Finished { success, output: output.to_owned(), took: Duration::ZERO }
    }

    #[test]
    fn run_time_skips_are_not_passes() {
        let tally = judge(Runner::Libtest, &finished(true, ONE_OF_EACH), 1);
        assert_eq!(tally, Tally { passed: 1, failed: 0, skipped: 2 });
    }

    #[test]
    fn a_failed_command_counts_even_if_no_test_failed() {
        let tally = judge(Runner::Libtest, &finished(false, ONE_OF_EACH), 0);
        assert_eq!(tally, Tally { passed: 2, failed: 1, skipped: 1 });
    }

    #[test]
    fn output_without_counts_is_a_failure() {
        assert_eq!(judge(Runner::Libtest, &finished(true, ""), 0), Tally::FAILED);
    }

    #[test]
    fn one_failure_makes_the_whole_fail() {
        let mut board = Board::new(PathBuf::from("."));
        board.check("true", &Invocation::new("true"));
        assert_eq!(board.total().failed, 0);
        board.check("false", &Invocation::new("false"));
        board.check("missing", &Invocation::new("no-program-has-this-name"));
        board.skip("absent", "not installed");
        assert_eq!(board.total(), Tally { passed: 1, failed: 2, skipped: 1 });
        assert_eq!(board.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_test_command_is_told_where_to_write_its_skips() {
        let script =
            format!("printf 'SKIPPED: t: why\\n' >> $PROCESSION_SKIPS; printf '{ONE_OF_EACH}'");
        let path = std::env::temp_dir().join(format!("procession-board-{}", std::process::id()));
        std::fs::write(&path, script).unwrap();
        let mut board = Board::new(PathBuf::from("."));
        board.count("tests", Runner::Libtest, Invocation::new("sh").args(path.to_str().unwrap()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(board.total(), Tally { passed: 1, failed: 0, skipped: 2 });
        assert_eq!(board.skips, ["SKIPPED: t: why (tests)"]);
    }
}
