//! A start for twins: they sleep until all are there.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use procession_bench_harness::words::Words;
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};

/// Two words: how many are there, and whether they may go.
pub(crate) struct Start<'a> {
    arrived: &'a AtomicU32,
    go: &'a AtomicU32,
}

impl<'a> Start<'a> {
    /// In places of `words` that nothing else uses.
    pub(crate) fn new(words: &'a Words, [arrived, go]: [usize; 2]) -> Self {
        Self { arrived: words.u32(arrived), go: words.u32(go) }
    }

    /// For a twin: sleeps until it may go.
    pub(crate) fn wait(&self) -> io::Result<()> {
        self.arrived.fetch_add(1, Ordering::Release);
        while self.go.load(Ordering::Acquire) == 0 {
            match futex::wait(self.go, Flags::empty(), 0, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until `count` twins are there and lets them go.
    pub(crate) fn fire(&self, count: u32) -> io::Result<()> {
        while self.arrived.load(Ordering::Acquire) < count {
            thread::sleep(Duration::from_millis(1));
        }
        self.go.store(1, Ordering::Release);
        futex::wake(self.go, Flags::empty(), count)?;
        Ok(())
    }
}
