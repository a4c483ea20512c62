//! What the pool knows of a call: its options, how fast its items are, who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use super::chunk::Delivery;

/// Options of a call, set through [`Job`](crate::Job).
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) priority: i32,
    pub(crate) window: Option<usize>,
    pub(crate) chunk: Option<usize>,
}

/// A call that has items without an outcome, or outcomes that nobody has fetched yet.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) options: Options,
    /// What all items share, encoded: sent once to each worker that gets any of them.
    pub(crate) context: Option<Arc<[u8]>>,
    pub(crate) deliveries: VecDeque<Delivery>,
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

    /// The time an item is expected to take, once one has been seen.
    pub(crate) fn item(&self) -> Option<Duration> {
        self.item
    }

    /// How many items are expected to take `span` together, at least 1.
    pub(crate) fn items_in(&self, span: Duration) -> usize {
        let Some(item) = self.item else { return 1 };
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
