//! What was done, in numbers.

use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};

use crate::hash::Answer;

#[derive(Default)]
pub(crate) struct Summary {
    files: u64,
    bytes: u64,
    busy: Duration,
}

impl Summary {
    pub(crate) fn add(&mut self, answer: &Answer) {
        self.busy += answer.busy;
        if let Ok(hash) = &answer.hash {
            self.files += 1;
            self.bytes += hash.len;
        }
    }

    /// How much was done in this time.
    pub(crate) fn describe(&self, took: Duration) -> String {
        let megabytes_per_second = self.bytes as f64 / 1e6 / took.as_secs_f64();
        let bytes = DecimalBytes(self.bytes);
        format!("{}, {bytes}, {megabytes_per_second:.0} MB/s", count(self.files, "file"))
    }

    /// The last word. What one process would have taken is not known, but how long the workers were on their files is.
    pub(crate) fn conclude(&self, workers: usize, took: Duration) -> String {
        format!(
            "{} with {} in {:.2} s; together they were busy for {:.2} s",
            self.describe(took),
            count(workers as u64, "worker"),
            took.as_secs_f64(),
            self.busy.as_secs_f64(),
        )
    }
}

/// A number and its noun.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", HumanCount(number))
}
