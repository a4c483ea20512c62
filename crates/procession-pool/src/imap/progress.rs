//! A progress bar over the results of a call.

use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str =
    "{wide_bar} {pos}/{len} {percent}% {per_sec} [{elapsed_precise}<{eta_precise}] {msg}";

/// Of an input whose length nobody knows.
const TEMPLATE_WITHOUT_LEN: &str = "{spinner} {pos} {per_sec} [{elapsed_precise}] {msg}";

/// Counts items that are finished, and says at the end how it ended.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    failed: u64,
    is_over: bool,
}

impl Bar {
    /// A bar on standard error, which shows nothing unless that is a terminal.
    pub(super) fn new(len: Option<usize>) -> Self {
        let bar = ProgressBar::no_length();
        let template = if len.is_some() { TEMPLATE } else { TEMPLATE_WITHOUT_LEN };
        if let Some(len) = len {
            bar.set_length(len as u64);
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, failed: 0, is_over: false }
    }

    /// One more item is finished, or, with nothing, all are.
    pub(super) fn note(&mut self, is_ok: Option<bool>) {
        match is_ok {
            Some(is_ok) => {
                self.failed += u64::from(!is_ok);
                self.bar.inc(1);
                if !is_ok {
                    self.bar.set_message(self.failures());
                }
            }
            None if !self.is_over => {
                self.is_over = true;
                self.bar.abandon_with_message(self.ending("done"));
            }
            None => {}
        }
    }

    fn failures(&self) -> String {
        format!("{} failed", self.failed)
    }

    fn ending(&self, how: &str) -> String {
        if self.failed == 0 { how.to_owned() } else { format!("{how}, {}", self.failures()) }
    }
}

impl Drop for Bar {
    /// Not all results were taken: after an error, by a `break`, or in a panic.
    fn drop(&mut self) {
        if !self.is_over {
            let how = if thread::panicking() { "panicked" } else { "stopped" };
            self.bar.abandon_with_message(self.ending(how));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_what_is_finished_and_says_how_it_ended() {
        let mut bar = Bar::new(Some(3));
        let shown = bar.bar.clone();
        assert_eq!((shown.position(), shown.length()), (0, Some(3)));
        bar.note(Some(true));
        bar.note(Some(false));
        assert_eq!((shown.position(), shown.message().as_str()), (2, "1 failed"));
        bar.note(Some(true));
        bar.note(None);
        assert!(shown.is_finished());
        assert_eq!(shown.message(), "done, 1 failed");
        drop(bar);
        assert_eq!(shown.message(), "done, 1 failed");
    }

    #[test]
    fn one_that_is_dropped_early_says_so() {
        let mut bar = Bar::new(None);
        let shown = bar.bar.clone();
        bar.note(Some(true));
        drop(bar);
        assert_eq!((shown.position(), shown.message().as_str()), (1, "stopped"));
    }
}
