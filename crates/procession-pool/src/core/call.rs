//! What the pool knows of a call: its options, how fast its items are, who waits for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use procession_process::link::SharedValue;

use crate::insights::About;

use super::chunk::{CallId, Chunk, Delivery};
use super::state::Notice;

/// All calls. Each item looks its call up several times, which a hash that withstands chosen keys would make dear; these keys
/// are our own numbers, drawn one after the other.
pub(crate) type Calls = HashMap<CallId, Call, BuildHasherDefault<Spread>>;

/// Spreads numbers that follow each other over a table.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: the odd number nearest to 2^64 divided by the golden ratio (Knuth, volume 3, 6.4).
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Options of a call, set through [`Job`](crate::Job).
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) priority: i32,
    pub(crate) window: Option<usize>,
    pub(crate) window_bytes: Option<usize>,
    pub(crate) chunk: Option<usize>,
    pub(crate) about: About,
    #[cfg(feature = "progress")]
    pub(crate) progress: bool,
}

/// A call that has items without an outcome, or outcomes that nobody has fetched yet.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) options: Options,
    /// Where it was made.
    #[cfg(feature = "tracing")]
    pub(crate) origin: crate::trace::Origin,
    /// What all items share, encoded: sent once to each worker that gets any of them.
    pub(crate) context: Option<Arc<SharedValue>>,
    pub(crate) deliveries: Vec<Delivery>,
    /// An item has failed for good.
    pub(crate) has_failed: bool,
    /// Threads that wait for several tasks, this one among them, and fetch nothing: any number of them, next to the consumer. One
    /// that is gone does not count.
    pub(crate) onlookers: Vec<Weak<Waker>>,
    /// Items that were handed to the pool and have no outcome yet.
    pub(crate) unfinished: usize,
    pub(crate) pace: Pace,
    pub(crate) consumer: Consumer,
    /// Nobody will fetch the outcomes.
    pub(crate) detached: bool,
    /// Items that no worker has begun are not to be run any more.
    pub(crate) called_off: bool,
    /// Somebody must drive the pool for this call also while its owner does not wait.
    pub(crate) unattended: bool,
}

impl Call {
    /// From now on `waker` is told, too, when the next outcomes arrive, as long as somebody keeps it.
    pub(crate) fn tell_too(&mut self, waker: &Arc<Waker>) {
        self.onlookers.retain(|onlooker| onlooker.strong_count() > 0);
        self.onlookers.push(Arc::downgrade(waker));
    }

    /// Those who are told that outcomes have arrived, this once.
    #[cold]
    pub(crate) fn take_onlookers(&mut self) -> impl Iterator<Item = Notice> + use<> {
        let onlookers = std::mem::take(&mut self.onlookers).into_iter();
        let there = onlookers.filter_map(|onlooker| onlooker.upgrade());
        there.map(|waker| Notice::Waker(Waker::clone(&waker)))
    }

    /// Whether a worker must be in the family of this process for this chunk of the call.
    pub(crate) fn needs_kin(&self, chunk: &Chunk) -> bool {
        let context = self.context.as_ref();
        chunk.frame.handles().needs_family()
            || context.is_some_and(|context| context.handles.needs_family())
    }
}

/// Who is told when outcomes arrive.
#[derive(Debug, Default)]
pub(crate) enum Consumer {
    /// Nobody: the owner looks for himself.
    #[default]
    Nobody,
    /// A thread that is parked.
    Thread(Thread),
    /// A future.
    Waker(Waker),
}

/// How long an item of a call takes: a moving average that forgets slowly what is slow and fast what is fast.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pace {
    item: Option<Duration>,
    /// Results have handles: chunks do not grow then, so that few descriptors are on their way.
    has_handles: bool,
}

impl Pace {
    /// Takes note that `count` items took `elapsed` together.
    pub(crate) fn observe(&mut self, elapsed: Duration, count: usize) {
        let Ok(count) = u32::try_from(count.max(1)) else { return };
        let now = elapsed / count;
        self.item = Some(match self.item {
            Some(before) if now < before => now.max(before / 8),
            Some(before) => (before * 3 + now) / 4,
            None => now,
        });
    }

    /// Takes note that a result had handles.
    pub(crate) fn note_handles(&mut self) {
        self.has_handles = true;
    }

    /// The time an item is expected to take, once one has been seen.
    pub(crate) fn item(&self) -> Option<Duration> {
        self.item
    }

    /// How many items are expected to take `span` together, at least 1.
    pub(crate) fn items_in(&self, span: Duration) -> usize {
        let Some(item) = self.item.filter(|_| !self.has_handles) else { return 1 };
        let items = span.as_nanos() / item.as_nanos().max(1);
        usize::try_from(items).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_what_it_sees() {
        let mut pace = Pace::default();
        assert_eq!(pace.items_in(Duration::from_secs(1)), 1);
        pace.observe(Duration::from_millis(10), 10);
        assert_eq!(pace.item(), Some(Duration::from_millis(1)));
        assert_eq!(pace.items_in(Duration::from_millis(5)), 5);
        for _ in 0..20 {
            pace.observe(Duration::from_micros(10), 10);
        }
        assert_eq!(pace.item(), Some(Duration::from_micros(1)));
        for _ in 0..100 {
            pace.observe(Duration::from_millis(10), 1);
        }
        assert!(pace.item() > Some(Duration::from_millis(9)));
    }

    #[test]
    fn items_that_take_no_time_do_not_divide_by_zero() {
        let mut pace = Pace::default();
        pace.observe(Duration::ZERO, 0);
        assert_eq!(pace.items_in(Duration::from_secs(1)), 1_000_000_000);
    }
}
