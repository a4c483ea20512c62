//! The newest bytes once more, beside the tail: a reader who has nothing else to read gets the message with the news of it.
//!
//! # Algorithm
//!
//! A reader who waits for a message learns of it by the cache line of the tail, and would then fetch another line with the
//! message, at the price of a second trip between the cores. So a short frame is written twice: to the ring, and to the words
//! beside the tail, under a *stamp*, the position where it ends. A reader who has read all but this frame takes it from there
//! and never touches its line in the ring. It is a hint: whoever does not find his frame there reads the ring.
//!
//! Rejected: to publish in the ring itself, by the header of the next frame. It needs no second copy, but what an old message
//! left in the ring must then never look like a header, and the reader fetches a line for each header that it has not got yet.
//!
//! # Layout
//!
//! Hint 1 is the stamp, hints 2 to 6 are the frame, all written by the producer only. Behind a shorter frame lies what was there
//! before.
//!
//! # Invariants
//!
//! * **L1** The stamp is 0 while the words are being written, then the position where their frame ends. Positions only grow, so
//!   a stamp that is the same before and after the words were read means that they belong together.
//! * **L2** The words are copied once and the copy is checked like what comes from the ring. A producer that breaks L1 can make
//!   its reader read garbage, as it can in the ring.
//!
//! # Ordering
//!
//! * **E6** The producer stores 0 to the stamp, *release fence*, then the words. The consumer loads the words, *acquire fence*,
//!   then the stamp a second time. A word of a later frame brings the 0 in front of it, or what came after.
//! * The stamp and the words come before the tail by its release store (E1).
//!
//! # Crash points
//!
//! The tail commits, as ever. A producer killed before it leaves a stamp that is 0 or ahead of the tail, which nobody takes.

use std::ops::Range;

use procession_shm::sync::atomic::{Ordering, fence};

use super::{Consumer, Memory, Producer};

const STAMP: usize = 1;
#[cfg(not(procession_loom))]
const WORDS: Range<usize> = 2..7;
/// Each word is a step of the model, and three are as good as five.
#[cfg(procession_loom)]
const WORDS: Range<usize> = 2..5;

/// The longest frame that has room beside the tail, in words of 8 bytes.
pub const LATEST_WORDS_MAX: usize = WORDS.end - WORDS.start;
/// The same in bytes.
pub const LATEST_LEN_MAX: usize = 8 * LATEST_WORDS_MAX;

impl<M: Memory> Producer<M> {
    /// Writes what [`publish`](Self::publish) is about to make known beside the tail as well: the last words before the current
    /// position, which are `frame`. Of more than [`LATEST_WORDS_MAX`] words the rest is left out.
    #[inline]
    pub fn show_latest(&mut self, frame: &[u64]) {
        let stamp = self.memory.hint(STAMP);
        if !procession_shm::seeded!("latest-stays-stamped") {
            stamp.store(0, Ordering::Relaxed); // L1
        }
        fence(Ordering::Release); // E6
        for (index, word) in WORDS.zip(frame) {
            self.memory.hint(index).store(*word, Ordering::Relaxed);
        }
        stamp.store(self.written, Ordering::Release);
    }
}

impl<M: Memory> Consumer<M> {
    /// Copies what is beside the tail, if it is what is still to be read, all of it and nothing else, at the last look. Whether it
    /// was; if not, what is in `frame` is of no use.
    #[inline]
    pub fn latest(&self, frame: &mut [u64; LATEST_WORDS_MAX]) -> bool {
        let stamp = self.memory.hint(STAMP);
        let is_last = self.available_seen() <= LATEST_LEN_MAX;
        if !is_last || stamp.load(Ordering::Acquire) != self.published {
            return false;
        }
        for (index, word) in WORDS.zip(frame) {
            *word = self.memory.hint(index).load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire); // E6
        stamp.load(Ordering::Relaxed) == self.published
    }
}
