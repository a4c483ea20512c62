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
//! | `u32::MAX` | awake, and in a stream: who has [enlisted](procession_shm::sync::one_sided) needs no fence to see that |
//!
//! # Ordering
//!
//! * **E3** The sleeper stores the word, *fence*, then looks for news; the ringer stores the news, *fence*, then looks at the
//!   word. Both fences are sequentially consistent, so at least one of the two looks sees the other's store: no wake-up is
//!   lost. (This is the store-buffering pattern; anything weaker than two full fences fails it.)
//! * **E7** A sleeper that said it was in a stream stores the word, has the kernel fence for both sides
//!   ([`Fences::rare`]), and then looks for news. A ringer who still saw the stream had stored its news before, and passes that fence
//!   with them; one who looks after it sees the sleeper, and goes by E3. Who takes the bell over in the middle of a stream, because the
//!   end travels, is in that stream.
//!
//! # Crash points
//!
//! A sleeper killed while it is announced leaves a non-zero word: the next ring is one useless system call. A ringer killed
//! between its news and its wake leaves a sleeper asleep on news: everybody who sleeps on a bell is also woken by the death
//! of whoever rings it (the pool's private death word, the parent-death signal), and looks again.

use procession_shm::Watch;
use procession_shm::sync::atomic::{AtomicU32, Ordering, fence};
use procession_shm::sync::one_sided::Fences;

const AWAKE: u32 = 0;
/// As a kind of news it is larger than any.
const STREAMING: u32 = u32::MAX;
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

    /// The sleeper stays awake for a while: who rings [in a stream](Self::ring_in_stream) needs no fence. It must not sleep, nor
    /// give its place to another, before it has announced that by [`announce_after_stream`](Self::announce_after_stream).
    ///
    /// ```
    /// use procession_channel::bell::Bell;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// Bell::new(&word).stream();
    /// assert!(Bell::new(&word).is_streaming());
    /// ```
    pub fn stream(self) {
        self.word.store(STREAMING, Ordering::Relaxed);
    }

    /// Whether the word says that the sleeper is awake and in a stream.
    ///
    /// ```
    /// use procession_channel::bell::Bell;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// assert!(!Bell::new(&AtomicU32::new(0)).is_streaming());
    /// ```
    #[inline]
    pub fn is_streaming(self) -> bool {
        self.word.load(Ordering::Relaxed) == STREAMING
    }

    /// As [`announce`](Self::announce), for a sleeper that was in a stream. False if the kernel has refused to fence for the other
    /// side, as it did not before: the sleeper may then be left asleep on news, and must not sleep for long.
    ///
    /// ```
    /// use procession_channel::bell::{AT_REST, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    /// use procession_shm::sync::one_sided::Fences;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// if Fences::offer() == Fences::OneSided {
    ///     bell.stream();
    ///     assert!(bell.announce_after_stream(AT_REST));
    ///     assert!(!bell.is_streaming());
    /// }
    /// ```
    #[must_use]
    pub fn announce_after_stream(self, wanted: u32) -> bool {
        self.word.store(wanted, Ordering::Relaxed);
        procession_shm::seeded!("stream-unfenced") || Fences::OneSided.rare() // E7
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

    /// As [`ring`](Self::ring), for a process that has [enlisted](procession_shm::sync::one_sided::has_enlisted): without a fence
    /// while the sleeper is in a stream.
    ///
    /// ```
    /// use procession_channel::bell::{AT_REST, Bell};
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// let bell = Bell::new(&word);
    /// bell.stream();
    /// bell.ring_in_stream(AT_REST);                         // looks, and no more
    /// assert!(bell.is_streaming());
    /// bell.announce(AT_REST);
    /// bell.ring_in_stream(AT_REST);
    /// assert!(bell.is_rung(AT_REST));
    /// ```
    #[inline]
    pub fn ring_in_stream(self, kind: u32) {
        Fences::OneSided.frequent(); // E7
        if !self.is_streaming() {
            self.ring(kind);
        }
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
        let wanted = self.word.load(Ordering::Relaxed);
        if wanted >= kind && wanted != STREAMING {
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
