//! How long calls take, by a clock that is cheap enough to be read for each of them.
//!
//! The system's clock costs more than a short item (on a virtual machine 45 ns, where an item on its way through a worker takes 60).
//! So a worker counts the ticks of its processor, and converts them only when a call may have taken as long as the parent has asked
//! for. How long a tick is follows from both clocks since the worker began. Where no such counter is known, a tick is a
//! nanosecond of the system's clock.
//!
//! Rejected: the clock once for several messages, which cannot tell which of them took long; the coarse clock of the kernel, whose
//! steps are milliseconds.
//!
//! # Not guaranteed
//!
//! That the counters of two processors agree. Where they do not, a call during which its worker moved is told to have taken too short
//! or too long. The parent bounds what it is told, and nothing but insights depends on it.

use std::time::Instant;

/// Calls that may be shorter than asked by this part (1/16) are looked at more closely: the length of a tick is an estimate.
const MARGIN: u64 = 16;

/// Tells which calls took long.
#[derive(Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    began_at: u64,
    /// From how many nanoseconds for an item on the parent wants to know how long a call took; 0: never.
    asked_ns: u64,
    /// So many ticks, less the margin.
    asked_ticks: u64,
    /// How many nanoseconds 2^[`SCALE_BITS`] ticks were at the last look.
    scale: u64,
}

const SCALE_BITS: u32 = 20;

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), began_at: ticks(), asked_ns: 0, asked_ticks: 0, scale: 0 }
    }

    /// From now on calls are told of that take at least `nanos` for an item; with 0, none.
    #[inline]
    pub(super) fn ask(&mut self, nanos: u64) {
        if nanos != self.asked_ns {
            self.ask_anew(nanos);
        }
    }

    #[cold]
    fn ask_anew(&mut self, nanos: u64) {
        let (ticks, elapsed_ns) = self.elapsed();
        let asked = u128::from(nanos) * ticks / elapsed_ns;
        let asked = u64::try_from(asked).unwrap_or(u64::MAX);
        (self.asked_ns, self.asked_ticks) = (nanos, asked - asked / MARGIN);
    }

    /// Whether any call is to be told of.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.asked_ns > 0
    }

    /// How many nanoseconds so many ticks are, by an estimate of when it was asked last; 0 if it never was.
    #[inline]
    pub(super) fn nanos(&self, ticks: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "less than the ticks, or not worth a check"
        )]
        let nanos = ((u128::from(ticks) * u128::from(self.scale)) >> SCALE_BITS) as u64;
        nanos
    }

    /// How many nanoseconds so many ticks are, if that is as much for each of `items` as was asked for.
    #[inline]
    pub(super) fn long(&mut self, ticks: u64, items: u64) -> Option<u64> {
        if ticks < self.asked_ticks.saturating_mul(items) {
            None
        } else {
            self.measure(ticks, items)
        }
    }

    #[cold]
    fn measure(&mut self, span: u64, items: u64) -> Option<u64> {
        let (ticks, elapsed_ns) = self.elapsed();
        let nanos = u64::try_from(u128::from(span) * elapsed_ns / ticks).unwrap_or(u64::MAX);
        (nanos / items.max(1) >= self.asked_ns).then_some(nanos)
    }

    /// Ticks and nanoseconds since it was made, at least 1. The scale follows: the later, the better it is.
    fn elapsed(&mut self) -> (u128, u128) {
        let ticks = ticks().saturating_sub(self.began_at);
        let (ticks, nanos) = (u128::from(ticks.max(1)), self.began.elapsed().as_nanos().max(1));
        self.scale = u64::try_from((nanos << SCALE_BITS) / ticks).unwrap_or(u64::MAX);
        (ticks, nanos)
    }
}

/// What the processor has counted. What it does meanwhile may be a few instructions ahead or behind.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn ticks() -> u64 {
    // SAFETY: every processor of this kind has the instruction. The kernel can be told to forbid it to a process, to which it then
    // forbids its own clock, too.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn ticks() -> u64 {
    use std::sync::LazyLock;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Ticks and the least that the system's clock says they took.
    fn sleep() -> (u64, u64) {
        let (start, since) = (ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap();
        (ticks() - start, nanos)
    }

    #[test]
    fn what_took_as_long_as_asked_is_told_and_nothing_else() {
        let mut stopwatch = Stopwatch::new();
        let (ticks, nanos) = sleep();
        stopwatch.ask(nanos / 2);
        let told = stopwatch.long(ticks, 1).unwrap();
        assert!(told >= nanos / 2, "{told} of {nanos} ns");
        let estimated = stopwatch.nanos(ticks);
        assert!(estimated >= nanos / 2, "{estimated} of {nanos} ns");
        assert_eq!(stopwatch.long(ticks / 8, 1), None);
        assert_eq!(stopwatch.long(ticks, 8), None, "it is what an item took that counts");
    }

    #[test]
    fn nothing_is_asked_at_first_and_any_number_can_be() {
        let mut stopwatch = Stopwatch::new();
        assert!(!stopwatch.is_asked());
        assert_eq!(stopwatch.nanos(1 << 40), 0);
        stopwatch.ask(1);
        assert!(stopwatch.is_asked());
        assert!(stopwatch.long(u64::MAX, 1).is_some());
        assert!(stopwatch.nanos(u64::MAX >> 1) > 0);
        stopwatch.ask(u64::MAX);
        assert_eq!(stopwatch.long(ticks() / 2, u64::MAX), None);
        assert_eq!(stopwatch.long(0, 0), None);
    }
}
