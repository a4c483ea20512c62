//! How one side of a channel sleeps and the other wakes it, without a system call while both are awake.
//!
//! A bell is one word. Its sleeper writes down how much news it wants to be woken for, looks once more, and sleeps on the
//! word; whoever has news looks at the word and, only if somebody sleeps, clears it and wakes.
//!
//! | value | meaning |
//! |---|---|
//! | 0 | awake: no wake-up is wanted |
//! | 1 ([`AT_REST`]) | asleep: wake me when you have done all that you had to do |
//! | 2 ([`AT_ONCE`]) | asleep: wake me for each piece of news |
//!
//! # Ordering
//!
//! * **E3** The sleeper stores the word, *fence*, then looks for news; the ringer stores the news, *fence*, then looks at the
//!   word. Both fences are sequentially consistent, so at least one of the two looks sees the other's store: no wake-up is
//!   lost. (This is the store-buffering pattern; anything weaker than two full fences fails it.)
//!
//! # Crash points
//!
//! A sleeper killed while it is announced leaves a non-zero word: the next ring is one useless system call. A ringer killed
//! between its news and its wake leaves a sleeper asleep on news: everybody who sleeps on a bell is also woken by the death
//! of whoever rings it (the pool's private death word, the parent-death signal), and looks again.

use procession_shm::Watch;
use procession_shm::sync::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
/// Wake the sleeper when all is done that there was to do.
pub const AT_REST: u32 = 1;
/// Wake the sleeper for each piece of news.
pub const AT_ONCE: u32 = 2;

/// A word on which one process sleeps until another has news.
///
/// ```
/// use procession_channel::bell::{AT_ONCE, Bell};
/// use procession_shm::sync::atomic::AtomicU32;
///
/// let word = AtomicU32::new(0);
/// let bell = Bell::new(&word);
/// bell.announce(AT_ONCE);                               // then look for news, then sleep
/// bell.ring(AT_ONCE);
/// assert!(bell.is_rung(AT_ONCE));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bell<'a> {
    word: &'a AtomicU32,
}

impl<'a> Bell<'a> {
    /// The bell in this word.
    ///
    /// ```
    /// use procession_channel::bell::Bell;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// assert!(!Bell::new(&word).is_rung(0));
    /// ```
    pub fn new(word: &'a AtomicU32) -> Self {
        Self { word }
    }

    /// The sleeper says that it is about to sleep and what it wants to be woken for, [`AT_REST`] or [`AT_ONCE`]. After this
    /// it must look for news once more before it sleeps.
    ///
    /// ```
    /// use procession_channel::bell::{AT_REST, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// Bell::new(&word).announce(AT_REST);
    /// assert_eq!(word.into_inner(), AT_REST);
    /// ```
    #[inline]
    pub fn announce(self, wanted: u32) {
        self.word.store(wanted, Ordering::Relaxed);
        if !procession_shm::seeded!("bell-unfenced") {
            fence(Ordering::SeqCst); // E3
        }
    }

    /// The sleeper is awake again and needs no waking.
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_ONCE);
    /// bell.retract();
    /// assert_eq!(word.into_inner(), 0);
    /// ```
    #[inline]
    pub fn retract(self) {
        self.word.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether somebody has rung since the sleeper announced `wanted`.
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_ONCE);
    /// assert!(!bell.is_rung(AT_ONCE));
    /// bell.ring(AT_ONCE);
    /// assert!(bell.is_rung(AT_ONCE));
    /// ```
    #[inline]
    pub fn is_rung(self, wanted: u32) -> bool {
        self.word.load(Ordering::Relaxed) != wanted
    }

    /// What the sleeper sleeps on, having announced `wanted`.
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_ONCE);
    /// assert_eq!(bell.watch(AT_ONCE).expected(), AT_ONCE);
    /// ```
    #[inline]
    pub fn watch(self, wanted: u32) -> Watch<'a> {
        Watch::shared(self.word, wanted)
    }

    /// Wakes the sleeper if it sleeps and wants to be woken for news of this `kind`. The news must be stored before.
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, AT_REST, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_REST);
    /// bell.ring(AT_ONCE);                                   // for a piece of news: not wanted
    /// assert!(!bell.is_rung(AT_REST));
    /// bell.ring(AT_REST);
    /// assert!(bell.is_rung(AT_REST));
    /// ```
    #[inline]
    pub fn ring(self, kind: u32) {
        fence(Ordering::SeqCst); // E3
        self.ring_after_fence(kind);
    }

    /// [`ring`](Self::ring) for a caller who has seen to E3 since the news: by a full fence, or by one that the sleeper's stands in for
    /// ([`one_sided`](procession_shm::sync::one_sided)).
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, Bell};
    /// use procession_shm::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let (word, news) = (AtomicU32::new(0), AtomicU32::new(0));
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_ONCE);
    /// news.fetch_add(1, Ordering::SeqCst);                  // in place of the fence
    /// bell.ring_after_fence(AT_ONCE);
    /// assert!(bell.is_rung(AT_ONCE));
    /// ```
    #[inline]
    pub fn ring_after_fence(self, kind: u32) {
        if self.word.load(Ordering::Relaxed) >= kind {
            self.wake();
        }
    }

    /// Wakes the sleeper in place of somebody who is dead, and may have silenced the bell and not lived to wake. The news of
    /// it must be stored before.
    ///
    /// ```
    /// use procession_channel::bell::{AT_ONCE, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.announce(AT_ONCE);
    /// bell.ring_for_the_dead();
    /// assert!(bell.is_rung(AT_ONCE));
    /// ```
    pub fn ring_for_the_dead(self) {
        fence(Ordering::SeqCst); // E3
        self.word.store(AWAKE, Ordering::SeqCst);
        procession_shm::wake_all(self.word, false);
    }

    #[cold]
    fn wake(self) {
        if self.word.swap(AWAKE, Ordering::SeqCst) != AWAKE {
            procession_shm::wake_all(self.word, false);
        }
    }
}
