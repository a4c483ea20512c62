//! How many file descriptors this process has under way to others.
//!
//! The kernel counts descriptors in sockets for each *user*, up to the process's `RLIMIT_NOFILE`, and past that nobody of this
//! user can send one. So that no program of the same user is broken by this one, a process stays below a quarter of the limit.
//!
//! # Algorithm
//!
//! A sending end has an [`Account`] with what it has sent, in the order of sending, and a way to ask whether something was
//! delivered. The process has a ledger of all accounts. A charge that would go over the limit first asks all accounts what was
//! delivered meanwhile; if it still would, it is refused. An account that has become long asks for itself.
//!
//! # Not guaranteed
//!
//! An account ends with its end: what an end leaves under way when it is dropped or goes to another process is counted by the kernel
//! alone, which refuses the same way. What a receiver says of itself is believed, as it can only hurt whoever sends to it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use procession_shm::fork::PerProcess;
use procession_shm::limit;

static LEDGER: PerProcess<Mutex<Ledger>> = PerProcess::new();

/// An account of so many messages asks what was delivered meanwhile. A channel has fewer under way, so that half of them were, at
/// least; without it, an account would grow for as long as the limit, which may be a thousand million, is far.
const ENTRIES_MAX: usize = 128;

/// Whether what ends at this place was delivered.
type IsDelivered = Box<dyn Fn(u64) -> bool + Send>;

#[derive(Default)]
struct Ledger {
    next: u64,
    /// All that is under way or about to be.
    total: usize,
    accounts: BTreeMap<u64, UnderWay>,
}

struct UnderWay {
    is_delivered: IsDelivered,
    /// Where each message ends, and how many descriptors it has.
    messages: VecDeque<(u64, usize)>,
}

impl UnderWay {
    /// Forgets what was delivered, and says how many descriptors that were.
    fn settle(&mut self) -> usize {
        let mut count = 0;
        while self.messages.front().is_some_and(|(place, _)| (self.is_delivered)(*place)) {
            count += self.messages.pop_front().map_or(0, |(_, some)| some);
        }
        count
    }
}

impl Ledger {
    fn charge(&mut self, count: usize, limit: usize) -> bool {
        if self.total.saturating_add(count) > limit {
            self.total -= self.accounts.values_mut().map(UnderWay::settle).sum::<usize>();
        }
        let is_within = self.total.saturating_add(count) <= limit;
        if is_within {
            self.total += count;
        }
        is_within
    }

    /// Notes a message that was charged, and ends at `place`.
    fn sent(&mut self, key: u64, place: u64, count: usize) {
        let Some(account) = self.accounts.get_mut(&key) else {
            self.total -= count;
            return;
        };
        account.messages.push_back((place, count));
        if account.messages.len() >= ENTRIES_MAX {
            self.total -= account.settle();
        }
    }

    fn open(&mut self, is_delivered: IsDelivered) -> u64 {
        self.next += 1;
        self.accounts.insert(self.next, UnderWay { is_delivered, messages: VecDeque::new() });
        self.next
    }
}

/// What one sending end has under way. It opens with the first charge.
#[derive(Default)]
pub(crate) struct Account {
    place: Option<(&'static Mutex<Ledger>, u64)>,
}

/// Descriptors that are about to be sent. Dropped before they are, they are not counted any more.
#[must_use = "dropping it says that nothing was sent"]
pub(crate) struct Charge {
    ledger: &'static Mutex<Ledger>,
    key: u64,
    count: usize,
}

impl Account {
    /// Counts `count` descriptors; `None` when they are too many together with those that are under way.
    pub(crate) fn charge(
        &mut self,
        count: usize,
        is_delivered: impl Fn(u64) -> bool + Send + 'static,
    ) -> io::Result<Option<Charge>> {
        let ledger = LEDGER.get_or_try_init(|| Ok(Mutex::default()))?;
        let mut held = lock(ledger);
        let open = self.place.filter(|(own, _)| std::ptr::eq(*own, ledger));
        let key = match open {
            Some((_, key)) => key,
            None => held.open(Box::new(is_delivered)),
        };
        self.place = Some((ledger, key));
        let is_within = held.charge(count, limit::descriptor_share());
        Ok(is_within.then(|| Charge { ledger, key, count }))
    }
}

impl Charge {
    /// They were sent, with a message that ends at `place`.
    pub(crate) fn sent(mut self, place: u64) {
        let count = std::mem::take(&mut self.count);
        lock(self.ledger).sent(self.key, place, count);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        lock(self.ledger).total -= self.count;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some((ledger, key)) = self.place else { return };
        // A fork has a copy of this, and of a lock that somebody may have held.
        if !LEDGER.get().is_some_and(|own| std::ptr::eq(own, ledger)) {
            return;
        }
        let mut held = lock(ledger);
        let account = held.accounts.remove(&key);
        let left = account
            .as_ref()
            .map_or(0, |account| account.messages.iter().map(|(_, count)| count).sum::<usize>());
        held.total -= left;
        drop(held);
        // What it asks keeps memory mapped.
        drop(account);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("is_open", &self.place.is_some()).finish()
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    // Nothing that can panic is done while it is held, but for counting, which is checked before it changes anything.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering}; // tidy: raw atomic: a counter of one test

    use super::*;

    #[test]
    fn what_was_delivered_or_not_sent_or_has_no_end_any_more_makes_room() {
        let mut ledger = Ledger::default();
        let delivered = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&delivered);
        let key = ledger.open(Box::new(move |place| seen.load(Ordering::Relaxed) >= place));
        for place in [5, 7] {
            assert!(ledger.charge(4, 10));
            ledger.sent(key, place, 4);
        }
        assert!(!ledger.charge(3, 10));
        delivered.store(5, Ordering::Relaxed);
        assert!(ledger.charge(3, 10) && !ledger.charge(4, 10));
        assert_eq!(ledger.total, 7);
    }

    #[test]
    fn an_account_stays_short_however_far_the_limit_is() {
        let mut ledger = Ledger::default();
        let delivered = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&delivered);
        let key = ledger.open(Box::new(move |place| seen.load(Ordering::Relaxed) >= place));
        for place in 0..10_000 {
            assert!(ledger.charge(3, usize::MAX));
            ledger.sent(key, place, 3);
            delivered.store(place.saturating_sub(50), Ordering::Relaxed);
            let entries = ledger.accounts.get(&key).unwrap().messages.len();
            assert!(entries <= ENTRIES_MAX && ledger.total == 3 * entries, "{entries} at {place}");
        }
    }
}
