//! How fast messages go through an end: whether it is in the middle of a stream, and who of both sides fences for the wake-ups.
//!
//! A sleeper and who wakes it need a full fence each between what they store and what they look at (E3 of the
//! [bell](crate::bell)). Who sends or receives has one for each message, which is half of what a short message costs: all stores
//! before it, to lines that the other side has just read, must have arrived. So a side through which many messages have gone since it
//! slept says that it is *in a stream*, and the other leaves its fence out; before it sleeps again, it has the kernel fence for both
//! (E7), which takes about 25 µs. Where the kernel does not offer that, nobody is ever in a stream.
//!
//! Rejected: to let the kernel fence in front of every sleep; it would make each of them dearer by half.

use std::cell::Cell;

use procession_shm::sync::one_sided::{self, Fences};

use crate::bell::{AT_REST, Bell};

/// From so many messages on without a sleep a side is in a stream: what the other one has left out by then is more than one fence for
/// both.
pub(super) const STREAM_LEN_MIN: u32 = 4096;

/// What one side knows of its own pace.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many waits in a row were over at the first look.
    streak: Cell<u32>,
    /// How many messages have come since the last sleep, apart from the streak.
    run: Cell<u32>,
    /// Whether its bell may say that it is in a stream.
    is_streaming: Cell<bool>,
    /// Whether the kernel has refused to fence for both sides: this one is not in a stream again.
    is_refused: Cell<bool>,
    /// Whether it did so in front of a sleep.
    is_unfenced: Cell<bool>,
    /// Whether this process may leave out its fences while the other side is in a stream.
    is_enlisted: Cell<bool>,
}

impl Pace {
    /// That of a side that begins, or goes on where the end was before: in a stream, perhaps.
    pub(super) fn new(own: Bell<'_>) -> Self {
        Self {
            streak: Cell::new(0),
            run: Cell::new(0),
            is_streaming: Cell::new(own.is_streaming()),
            is_refused: Cell::new(false),
            is_unfenced: Cell::new(false),
            is_enlisted: Cell::new(false),
        }
    }

    /// Counts a wait that was over at the first look. Whether they are many now.
    #[inline]
    pub(super) fn go_on(&self) -> bool {
        let streak = self.streak.get().saturating_add(1);
        self.streak.set(streak);
        streak == STREAM_LEN_MIN
    }

    /// Ends the row of waits that were over at the first look, and says how many they were.
    pub(super) fn end_streak(&self, own: Bell<'_>) -> u32 {
        let streak = self.streak.replace(0);
        self.run_on(streak, own);
        streak
    }

    /// Counts messages that have come since the last sleep.
    pub(super) fn run_on(&self, count: u32, own: Bell<'_>) {
        let run = self.run.get().saturating_add(count);
        self.run.set(run);
        if run >= STREAM_LEN_MIN {
            self.stream(own);
        }
    }

    /// Says that this side is in a stream, if the kernel can fence for the other one as well.
    #[cold]
    pub(super) fn stream(&self, own: Bell<'_>) {
        if self.is_streaming.get() || self.is_refused.get() {
            return;
        }
        match Fences::offer() {
            Fences::Mutual => self.is_refused.set(true),
            Fences::OneSided => {
                self.is_streaming.set(true);
                own.stream();
            }
        }
    }

    /// Says that this side is about to sleep. After this it must look for news once more.
    pub(super) fn announce(&self, own: Bell<'_>) {
        self.run.set(0);
        if !self.is_streaming.replace(false) {
            own.announce(AT_REST);
        } else if !own.announce_after_stream(AT_REST) {
            self.is_refused.set(true);
            self.is_unfenced.set(true);
        }
    }

    /// Whether a wake-up may have been missed, and may be again.
    pub(super) fn is_unfenced(&self) -> bool {
        self.is_unfenced.get()
    }

    /// Wakes the other side if it sleeps.
    #[inline]
    pub(super) fn ring(&self, peer: Bell<'_>) {
        if self.is_enlisted.get() {
            peer.ring_in_stream(AT_REST);
            return;
        }
        peer.ring(AT_REST);
        if peer.is_streaming() {
            self.is_enlisted.set(one_sided::has_enlisted());
        }
    }
}
