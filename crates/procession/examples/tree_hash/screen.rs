//! What the user sees besides the lines: progress while it runs, complaints, and the summary.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::summary::{Summary, count};

/// How often the screen changes.
const BEAT: Duration = Duration::from_millis(50);

pub(crate) struct Screen {
    /// On stderr; draws nothing when that is no terminal.
    bar: ProgressBar,
    kills: AtomicU64,
    complaints: Cell<u64>,
    /// When to show something again, if anybody watches.
    due: Cell<Option<Instant>>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner:.green} {msg}, {elapsed}");
        let bar = ProgressBar::new_spinner();
        bar.set_style(style.expect("the template is correct, as every run shows"));
        bar.set_message("0 files");
        if !bar.is_hidden() {
            bar.enable_steady_tick(BEAT);
        }
        let is_watched = !bar.is_hidden() || io::stdout().is_terminal();
        Self {
            bar,
            kills: AtomicU64::new(0),
            complaints: Cell::new(0),
            due: Cell::new(is_watched.then(Instant::now)),
        }
    }

    /// How many workers were killed on purpose.
    pub(crate) fn kills(&self) -> &AtomicU64 {
        &self.kills
    }

    pub(crate) fn complaints(&self) -> u64 {
        self.complaints.get()
    }

    /// Names what could not be read. Quoted, because a name may hold anything, escape sequences of the terminal included.
    pub(crate) fn complain(&self, path: &(impl Debug + ?Sized), error: &dyn Display) {
        self.complaints.set(self.complaints.get() + 1);
        self.bar.suspend(|| eprintln!("tree_hash: {path:?}: {error}"));
    }

    /// Whether it is time to show something.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        let is_due = self.due.get().is_some_and(|due| due <= now);
        if is_due {
            self.due.set(Some(now + BEAT));
        }
        is_due
    }

    pub(crate) fn show(&self, summary: &Summary) {
        let so_far = summary.describe(self.bar.elapsed());
        self.bar.set_message(match self.kills.load(Ordering::Relaxed) {
            0 => so_far,
            kills => format!("{so_far}, {} killed", count(kills, "worker")),
        });
    }

    /// Takes the progress away and prints the summary.
    pub(crate) fn close(&self, summary: &str, has_chaos: bool) {
        self.bar.finish_and_clear();
        eprintln!("{summary}");
        if has_chaos {
            eprintln!("{} killed meanwhile", count(self.kills.load(Ordering::Relaxed), "worker"));
        }
        if self.complaints() > 0 {
            eprintln!("{} above", count(self.complaints(), "complaint"));
        }
    }
}

/// Standard output, which may be the same terminal: what is written there appears above the progress bar.
pub(crate) struct AboveBar<'s> {
    screen: &'s Screen,
}

impl<'s> AboveBar<'s> {
    pub(crate) fn new(screen: &'s Screen) -> Self {
        Self { screen }
    }
}

impl Write for AboveBar<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.screen.bar.suspend(|| io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
