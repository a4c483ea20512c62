//! What this process has, so that what is left behind is seen.

use std::fmt;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Counts of what can be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    descriptors: usize,
    threads: usize,
    /// Mappings of shared memory.
    mappings: usize,
    has_children: bool,
}

impl Census {
    pub(crate) fn take() -> io::Result<Self> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(Self {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            threads: fs::read_dir("/proc/self/task")?.count(),
            mappings: fs::read_to_string("/proc/self/maps")?.matches("memfd:procession").count(),
            has_children: !matches!(waitid(WaitId::All, look), Err(Errno::CHILD)),
        })
    }

    /// Waits until there is no more than `before`, since threads and processes take a moment to end; not for ever.
    pub(crate) fn returns_to(before: Self, kept: Kept, guard: Duration) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let now = Self::take().map_err(|error| error.to_string())?;
            if now.is_within(before, kept) {
                return Ok(());
            }
            if started.elapsed() > guard {
                return Err(format!("left behind: {before} before, {now} after"));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_within(self, before: Self, kept: Kept) -> bool {
        self.descriptors <= before.descriptors + kept.descriptors
            && self.threads <= before.threads + kept.threads
            && self.mappings <= before.mappings + kept.mappings
            && (before.has_children || kept.has_children || !self.has_children)
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, mappings, has_children } = self;
        let children = if *has_children { "children" } else { "no children" };
        write!(f, "{descriptors} descriptors, {threads} threads, {mappings} mappings, {children}")
    }
}

/// What a process makes once and keeps, and may have after the first time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) mappings: usize,
    pub(crate) has_children: bool,
}

impl Kept {
    /// A zygote stays, and is replaced when it dies.
    pub(crate) const ZYGOTE: Self =
        Self { descriptors: 0, threads: 0, mappings: 0, has_children: true };
}
