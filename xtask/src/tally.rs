//! Passed, failed and skipped, and how to read them out of what test runners print.

use std::fmt;
use std::ops::AddAssign;

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// A test that skipped itself at run time looks like a pass to its runner.
    pub(crate) fn reclassify_skips(&mut self, skips: usize) {
        self.passed = self.passed.saturating_sub(skips);
        self.skipped += skips;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The test runners whose summaries are understood.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    /// Rust's own, one summary per test binary.
    Libtest,
    /// A program of ours that ends with one line as ours do. What it skips it also notes where skips are noted.
    Own,
    /// cargo-nextest, one summary in all. It repeats the output of failed tests, with libtest's summary
    /// inside, which is why the two are never looked for together.
    Nextest,
}

impl Runner {
    /// The sum of all summaries in `output`; `None` when there is not one.
    pub(crate) fn parse(self, output: &str) -> Option<Tally> {
        let line = match self {
            Self::Libtest => libtest_summary,
            Self::Own => own_summary,
            Self::Nextest => nextest_summary,
        };
        output.lines().filter_map(line).reduce(|mut sum, next| {
            sum += next;
            sum
        })
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`
fn libtest_summary(line: &str) -> Option<Tally> {
    let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    sum_counts(counts, "; ")
}

/// `     Summary [   0.012s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped`
fn nextest_summary(line: &str) -> Option<Tally> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_run, counts) = rest.split_once(" run: ")?;
    sum_counts(&without_parentheses(counts), ", ")
}

/// `5 passed, 0 failed, 1 skipped`; skips count as passed, until those that were noted are taken off.
fn own_summary(line: &str) -> Option<Tally> {
    line.starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
    let Tally { passed, failed, skipped } = sum_counts(line, ", ")?;
    let total = passed + failed + skipped;
    (total > 0).then_some(Tally { passed: passed + skipped, failed, skipped: 0 })
}

/// Adds up `4 passed`, `1 timed out` and the like; a kind that is not known makes the line unreadable,
/// since a wrong count is worse than none.
fn sum_counts(counts: &str, separator: &str) -> Option<Tally> {
    let mut tally = Tally::default();
    for count in counts.split(separator) {
        let Some((number, kind)) = count.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match kind.trim() {
            "passed" => tally.passed += number,
            "failed" | "exec failed" | "timed out" => tally.failed += number,
            "skipped" | "ignored" => tally.skipped += number,
            "measured" | "filtered out" => {}
            _ => return None,
        }
    }
    Some(tally)
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Option<Tally> {
        Some(Tally { passed, failed, skipped })
    }

    #[test]
    fn libtest_summaries_are_added_up() {
        let output = "running 4 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s\n";
        assert_eq!(Runner::Libtest.parse(output), tally(4, 2, 1));
    }

    #[test]
    fn output_without_a_summary_is_not_zero_tests() {
        assert_eq!(Runner::Libtest.parse("error: could not compile"), None);
        assert_eq!(Runner::Nextest.parse("error: could not compile"), None);
    }

    #[test]
    fn nextest_counts_every_way_to_fail() {
        let line = "     Summary [   0.612s] 9 tests run: 4 passed (1 slow, 2 flaky), 2 failed (1 due to being leaky), 1 exec failed, 2 timed out, 3 skipped";
        assert_eq!(Runner::Nextest.parse(line), tally(4, 5, 3));
    }

    #[test]
    fn nextest_ignores_the_summary_inside_a_failed_test() {
        let output = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
            Summary [   0.004s] 1/2 tests run: 0 passed, 1 failed, 0 skipped\n";
        assert_eq!(Runner::Nextest.parse(output), tally(0, 1, 0));
    }

    #[test]
    fn own_skips_are_counted_once() {
        let output =
            "ok      ring, alone   5 states\n7 kills; 0.1 s\n2 passed, 1 failed, 4 skipped\n";
        let mut counted = Runner::Own.parse(output).unwrap();
        counted.reclassify_skips(4);
        assert_eq!(Some(counted), tally(2, 1, 4));
    }

    #[test]
    fn an_unknown_kind_is_not_guessed() {
        assert_eq!(Runner::Nextest.parse("Summary [ 1s] 1 test run: 1 vanished"), None);
    }

    #[test]
    fn skips_move_from_passed_to_skipped() {
        let mut counted = Tally { passed: 5, failed: 1, skipped: 1 };
        counted.reclassify_skips(2);
        assert_eq!(Some(counted), tally(3, 1, 3));
    }

    #[test]
    fn the_summary_line_reads_as_promised() {
        assert_eq!(Tally::PASSED.to_string(), "1 passed, 0 failed, 0 skipped");
    }
}
