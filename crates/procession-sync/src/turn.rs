//! A word to sleep on until somebody has news, and to wake others with.
//!
//! # Algorithm
//!
//! Bit 0 says that somebody may be asleep, the other bits count wake-ups. A sleeper *announces* itself (sets bit 0), looks
//! once more at what it waits for, and sleeps only while the word is still what it was when it announced itself. Whoever has
//! news looks at bit 0 and, only if it is set, moves the count and wakes.
//!
//! Bit 0 stays set when one is woken, because others may sleep on; it is cleared by whoever finds nobody to wake and by
//! whoever wakes all. Clearing is always followed by waking all, so that nobody sleeps unannounced.
//!
//! Rejected: a count of sleepers. One that is killed in its sleep would be counted for ever.
//!
//! # Invariants
//!
//! * **T1** Nobody sleeps on a value of the word without bit 0.
//! * **T2** When bit 0 is cleared, everybody who sleeps is woken afterwards.
//!
//! # Ordering
//!
//! * **E5** A sleeper sets bit 0, *fence*, looks for news ([`Turn::announce`]); whoever has news stores it, *fence*, looks at
//!   bit 0 ([`Turn::wake_one`], [`Turn::wake_all`]). Both fences are sequentially consistent, so at least one of the two looks
//!   sees the other's store: this is the store-buffering pattern, and two acquire-release accesses would not do. Who has done a
//!   read-modify-write in between, such as giving a lock back, has had his fence on some machines and need not have another
//!   ([`Turn::wake_one_after_rmw`], [`Turn::wake_all_after_rmw`]).
//!
//! # Crash points
//!
//! A sleeper killed after it announced itself leaves bit 0 set: the next wake finds nobody and clears it. A waker killed
//! between its news and its wake leaves sleepers asleep on news; so does a sleeper killed after it was woken as the only
//! one. In all these cases the death wakes everybody through the family's epoch, on which every sleep is, too.
//!
//! # Not guaranteed
//!
//! A wake-up may be for nothing. 2^31 wake-ups between a sleeper's announcement and its falling asleep would be mistaken for
//! none; the check-up would find it.

use procession_shm::sync::atomic::{AtomicU32, Ordering, fence, full_fence_after_rmw};
use procession_shm::{Shareable, wake_all, wake_one};

const SLEEPERS: u32 = 1;
const ONE_WAKE: u32 = 2;

/// A word to sleep on until somebody has news.
#[derive(Debug)]
#[repr(transparent)]
pub struct Turn {
    word: AtomicU32,
}

// SAFETY: a word that means the same everywhere, no pointers.
unsafe impl Shareable for Turn {}

impl Turn {
    const_fn! {
        /// A turn on which nobody sleeps.
        #[expect(clippy::new_without_default, reason = "it is made in statics")]
        pub fn new() -> Self {
            Self { word: AtomicU32::new(0) }
        }
    }

    /// Says that the caller is about to sleep while the word is what is returned. After this it looks for news once more.
    pub fn announce(&self) -> u32 {
        let seen = self.word.fetch_or(SLEEPERS, Ordering::AcqRel) | SLEEPERS;
        if !procession_shm::seeded!("turn-unfenced") {
            fence(Ordering::SeqCst); // E5
        }
        seen
    }

    /// The word to sleep on.
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Wakes one sleeper, if there is any. The news must be stored before.
    #[inline]
    pub fn wake_one(&self) {
        fence(Ordering::SeqCst); // E5
        self.wake(Self::wake_next);
    }

    /// [`wake_one`](Self::wake_one) for a caller who has done a read-modify-write, be it of another word, since the news were stored.
    #[inline]
    pub fn wake_one_after_rmw(&self) {
        full_fence_after_rmw(); // E5
        self.wake(Self::wake_next);
    }

    /// Wakes all sleepers. The news must be stored before.
    #[inline]
    pub fn wake_all(&self) {
        fence(Ordering::SeqCst); // E5
        self.wake(Self::wake_everybody);
    }

    /// [`wake_all`](Self::wake_all) for a caller who has done a read-modify-write, be it of another word, since the news were stored.
    #[inline]
    pub fn wake_all_after_rmw(&self) {
        full_fence_after_rmw(); // E5
        self.wake(Self::wake_everybody);
    }

    /// Wakes as told, if anybody may sleep. The caller's fence is what orders the look.
    #[inline]
    fn wake(&self, as_told: impl FnOnce(&Self)) {
        if self.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
            as_told(self);
        }
    }

    #[cold]
    fn wake_next(&self) {
        let now = self.word.fetch_add(ONE_WAKE, Ordering::AcqRel).wrapping_add(ONE_WAKE);
        if !wake_one(&self.word, false) {
            self.retire(now);
        }
    }

    #[cold]
    fn wake_everybody(&self) {
        self.word.fetch_add(ONE_WAKE, Ordering::AcqRel);
        self.word.fetch_and(!SLEEPERS, Ordering::AcqRel);
        wake_all(&self.word, false); // T2
    }

    /// Nobody slept when the word was `now`: unless it has moved since, bit 0 says too much.
    fn retire(&self, now: u32) {
        let clear = now & !SLEEPERS;
        if self.word.compare_exchange(now, clear, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            wake_all(&self.word, false); // T2
        }
    }
}
