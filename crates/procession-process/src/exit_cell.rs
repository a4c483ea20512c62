//! One exit status, set once, that any number of threads wait for.
//!
//! It is one word in which a fork leaves nothing locked, which is why it is not a mutex with a
//! condition variable.
//!
//! | word | meaning |
//! |---|---|
//! | 0 | the process has not ended |
//! | 1 | ended, status unknown |
//! | 2 | killed by the kernel for memory |
//! | 0x100 + code | exited |
//! | 0x200 + number | killed by a signal |
//!
//! Ordering edge X1: the release store in `set` publishes what the reaper did before (`on_exit`),
//! the acquire load in `get` receives it. A waiter sleeps only if the word is still 0, which the
//! kernel checks against the store and the wake that follows it.

use std::time::Instant;

use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::sync::raw;
use rustix::thread::futex;
use rustix::time::Timespec;

use crate::exit::Exit;

pub(crate) struct ExitCell(AtomicU32);

const RUNNING: u32 = 0;
const UNKNOWN: u32 = 1;
const OUT_OF_MEMORY: u32 = 2;
const CODE: u32 = 0x100;
const SIGNAL: u32 = 0x200;

impl ExitCell {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(RUNNING))
    }

    pub(crate) fn set(&self, exit: Exit) {
        // X1, publishing end.
        self.0.store(encode(exit), Ordering::Release);
        let woken = futex::wake(raw(&self.0), futex::Flags::PRIVATE, i32::MAX.cast_unsigned());
        debug_assert!(woken.is_ok(), "a wake on a word of our own cannot fail");
    }

    pub(crate) fn get(&self) -> Option<Exit> {
        // X1, receiving end.
        decode(self.0.load(Ordering::Acquire))
    }

    /// The word, private to this process, which changes when the status is set, and its value until then.
    pub(crate) fn word(&self) -> (&AtomicU32, u32) {
        (&self.0, RUNNING)
    }

    /// Blocks until the status is set; `None` if the deadline passed before.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Exit> {
        loop {
            if let Some(exit) = self.get() {
                return Some(exit);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            // Changed, interrupted, timed out or woken: each time the word and the clock decide.
            let _why = futex::wait(raw(&self.0), futex::Flags::PRIVATE, RUNNING, left.as_ref());
        }
    }
}

fn encode(exit: Exit) -> u32 {
    match exit {
        Exit::Code(code) => CODE | (code.cast_unsigned() & 0xff),
        Exit::Signal(number) => SIGNAL | (number.cast_unsigned() & 0xff),
        Exit::Unknown => UNKNOWN,
        Exit::OutOfMemory => OUT_OF_MEMORY,
    }
}

fn decode(word: u32) -> Option<Exit> {
    let number = (word & 0xff).cast_signed();
    match word & !0xff {
        CODE => Some(Exit::Code(number)),
        SIGNAL => Some(Exit::Signal(number)),
        _ if word == RUNNING => None,
        _ if word == OUT_OF_MEMORY => Some(Exit::OutOfMemory),
        _ => Some(Exit::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_status_comes_back() {
        let codes = (0..=255).map(Exit::Code);
        let signals = (1..=64).map(Exit::Signal);
        for exit in codes.chain(signals).chain([Exit::Unknown, Exit::OutOfMemory]) {
            let cell = ExitCell::new();
            assert_eq!(cell.get(), None);
            cell.set(exit);
            assert_eq!(cell.get(), Some(exit));
        }
    }

    #[test]
    fn waiters_are_woken_and_deadlines_pass() {
        let cell = ExitCell::new();
        assert_eq!(cell.wait(Some(Instant::now() + Duration::from_millis(1))), None);
        std::thread::scope(|scope| {
            let (tell, tids) = mpsc::channel();
            let waiters = [(); 3].map(|()| {
                let (tell, cell) = (tell.clone(), &cell);
                scope.spawn(move || {
                    tell.send(rustix::thread::gettid()).unwrap();
                    cell.wait(None)
                })
            });
            for tid in tids.iter().take(waiters.len()) {
                until_asleep(tid);
            }
            cell.set(Exit::Code(7));
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Some(Exit::Code(7)));
            }
        });
    }

    fn until_asleep(tid: rustix::process::Pid) {
        loop {
            let stat = format!("/proc/self/task/{}/stat", tid.as_raw_nonzero());
            let stat = std::fs::read_to_string(stat).unwrap();
            if stat.rsplit_once(") ").unwrap().1.starts_with('S') {
                return;
            }
            std::thread::yield_now();
        }
    }
}
