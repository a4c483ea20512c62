//! Many readers or one writer, without the value.
//!
//! # Algorithm
//!
//! Writers take a [`Lock`] among themselves; readers count themselves in a table of [`Holders`]. A reader counts itself, then
//! looks whether a writer has the lock; a writer takes the lock, then looks whether readers are counted. So one of the two
//! sees the other: a reader that sees a writer goes away again and waits for it, a writer that sees readers waits for them
//! to leave. A writer that has the lock keeps new readers out while it waits: writers do not starve, readers may.
//!
//! Only when the last reader is gone does the writer mark the lock as dirty; a writer that dies before has torn nothing.
//!
//! Rejected: one word with a count of readers. A count has no names, so a dead reader is counted for ever.
//!
//! # Layout
//!
//! | field | what |
//! |---|---|
//! | `writer` | the [`Lock`] of the writers; readers sleep on its turn |
//! | `drained` | u32, moved by each reader that leaves while a writer has the lock; the word that writer sleeps on |
//! | `readers` | a cell for each process that reads |
//!
//! # Invariants
//!
//! * **R1** A reader holds the lock if it has counted itself and after that has found the writers' lock open and clean.
//! * **R2** A writer holds it if it has the writers' lock and after that has found no reader of a live process counted.
//! * **R3** The writers' lock is always given back with [`Call::Everybody`], because readers sleep on it without taking it.
//!
//! # Ordering
//!
//! * **E7** Reader: counts itself, *fence*, looks at the writers' lock ([`RawRwLock::read`]). Writer: takes the lock, *fence*,
//!   looks at the table (`RawRwLock::drain`). Both fences are sequentially consistent: store buffering, as in E5.
//! * **E8** Reader: uncounts itself, *fence*, looks whether a writer waits ([`RawRwLock::leave_read`]). Writer: the same fence
//!   as in E7, and its look at `drained` (acquire) before the table pairs with the reader's move of it (release).
//!
//! What a reader read before it left happens before what a writer writes by E6; what a writer wrote happens before what a
//! reader reads by E1, because the reader looks at the writers' lock with acquire.
//!
//! # Crash points
//!
//! | killed | what is true | who repairs |
//! |---|---|---|
//! | a reader, counted | its cell names a dead member | the next writer: the death wakes the one that waits |
//! | a reader, uncounted, before it wakes the writer | nothing is held, a writer sleeps | its death wakes all |
//! | a writer that waits for readers | the writers' lock has a dead owner, clean | whoever comes next opens it |
//! | a writer that holds the lock | the writers' lock has a dead owner, dirty | whoever comes next marks it torn |

use procession_shm::family::{self, Member};
use procession_shm::sync::atomic::{AtomicU32, Ordering, fence};
use procession_shm::wake_all;

use crate::holders::{Holders, Side};
use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::{Limit, Nap, Patience};

/// Many readers or one writer.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawRwLock<const N: usize> {
    pub(super) writer: Lock,
    drained: AtomicU32,
    readers: Holders<N>,
}

/// What came of asking to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEntry {
    /// The caller reads; it is counted in this cell.
    Taken(usize),
    /// Nobody reads, because the lock is marked so.
    Refused(Mark),
    /// A writer had the lock for too long.
    TimedOut,
    /// The table is full.
    Full,
}

impl<const N: usize> RawRwLock<N> {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { writer: Lock::new(), drained: AtomicU32::new(0), readers: Holders::new() }
        }
    }

    pub(crate) fn read(&self, me: Member, limit: Limit) -> ReadEntry {
        loop {
            match self.writer.await_open(limit) {
                Some(mark) if mark.is_clean() => {}
                Some(mark) => return ReadEntry::Refused(mark),
                None => return ReadEntry::TimedOut,
            }
            let Ok(cell) = self.readers.claim(me, Side::ONLY) else { return ReadEntry::Full };
            if !procession_shm::seeded!("reader-unfenced") {
                fence(Ordering::SeqCst); // E7
            }
            if self.writer.mark().is_some_and(Mark::is_clean) {
                return ReadEntry::Taken(cell); // R1
            }
            self.leave_read(cell);
        }
    }

    pub(crate) fn leave_read(&self, cell: usize) {
        self.readers.release(cell);
        if !procession_shm::seeded!("leaver-unfenced") {
            fence(Ordering::SeqCst); // E8
        }
        if self.writer.mark().is_none() {
            self.drained.fetch_add(1, Ordering::Release); // E8
            wake_all(&self.drained, false);
        }
    }

    /// With `repair` the lock is taken even if it is marked.
    pub(crate) fn write(&self, me: Member, repair: bool, limit: Limit) -> Entry {
        let entry = self.writer.enter(me, Claim { dirty: false, repair }, limit);
        let Entry::Taken(mark) = entry else { return entry };
        if !self.drain(limit) {
            self.writer.leave(mark, Call::Everybody);
            return Entry::TimedOut;
        }
        self.writer.soil();
        entry
    }

    pub(crate) fn leave_write(&self, mark: Mark) {
        let call =
            if procession_shm::seeded!("writer-wakes-one") { Call::Next } else { Call::Everybody };
        self.writer.leave(mark, call); // R3
    }

    /// Waits until no live process reads any more, and says whether that was in time.
    fn drain(&self, limit: Limit) -> bool {
        let mut patience = Patience::new(limit);
        loop {
            let drained = self.drained.load(Ordering::Acquire); // E8
            let epoch = family::epoch().load(Ordering::Acquire); // E3
            fence(Ordering::SeqCst); // E7, E8
            if self.readers.live_holder(&patience).is_none() {
                return true; // R2
            }
            if patience.is_over() {
                return false;
            }
            let words = [(&self.drained, drained), (family::epoch(), epoch)];
            if patience.nap(words) == Nap::TimedOut {
                return self.readers.live_holder(&patience).is_none();
            }
        }
    }
}
