//! The condition variable: no lost notification, and a death at every step of waiting and of notifying.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread::JoinHandle;
use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use crate::Condvar;
use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::Limit;

const WORK: Claim = Claim { dirty: true, repair: false };

/// A heap of tokens that some bring and others take.
struct Heap {
    lock: Lock,
    tokens: UnsafeCell<u32>,
    brought: Condvar,
}

impl Heap {
    fn new() -> Arc<Self> {
        let (lock, tokens) = (Lock::new(), UnsafeCell::new(0));
        Arc::new(Self { lock, tokens, brought: Condvar::new() })
    }

    /// `false` when somebody died inside.
    fn lock(&self) -> bool {
        let me = family::me().unwrap();
        matches!(self.lock.enter(me, WORK, Limit::NEVER), Entry::Taken(_))
    }

    fn bring(&self, tokens: u32, notify: fn(&Condvar)) {
        if self.lock() {
            // SAFETY: loom itself checks that nobody else is here.
            self.tokens.with_mut(|heap| unsafe { *heap += tokens });
            self.lock.leave(Mark::CLEAN, Call::Next);
            notify(&self.brought);
        }
    }

    /// Waits for a token, unless somebody dies inside.
    fn take(&self) {
        while self.lock() {
            let has_token = self.tokens.with_mut(|heap| {
                // SAFETY: loom itself checks that nobody else is here.
                let heap = unsafe { &mut *heap };
                let has_token = *heap > 0;
                *heap = heap.saturating_sub(1);
                has_token
            });
            if has_token {
                self.lock.leave(Mark::CLEAN, Call::Next);
                return;
            }
            let ticket = self.brought.announce();
            self.lock.leave(Mark::CLEAN, Call::Next);
            self.brought.doze(ticket, Limit::NEVER);
        }
    }

    /// Takes a token and brings another, so that the living can never run out of them.
    fn pass_on(&self) {
        self.take();
        self.bring(1, Condvar::notify_one);
    }

    /// Waits for the end of `other`, and then brings a token if there is none: for one that is there, nobody notifies again.
    fn bring_again_after<R>(&self, other: JoinHandle<Option<R>>) -> bool {
        let died = other.join().unwrap().is_none();
        if self.is_empty() {
            self.bring(1, Condvar::notify_one);
        }
        died
    }

    /// Whether there is no token, as far as anybody can say.
    fn is_empty(&self) -> bool {
        if !self.lock() {
            return false;
        }
        // SAFETY: loom itself checks that nobody else is here.
        let is_empty = self.tokens.with(|heap| unsafe { *heap == 0 });
        self.lock.leave(Mark::CLEAN, Call::Next);
        is_empty
    }
}

#[test]
fn one_notification_a_token_reaches_two_waiters() {
    play(|| {
        let heap = Heap::new();
        let takers = [1, 2].map(|slot| {
            let heap = Arc::clone(&heap);
            survivor(slot, move || heap.take())
        });
        family::enter(3);
        heap.bring(1, Condvar::notify_one);
        heap.bring(1, Condvar::notify_one);
        for taker in takers {
            taker.join().unwrap();
        }
    });
}

#[test]
fn one_notification_for_all_reaches_two_waiters() {
    play(|| {
        let heap = Heap::new();
        let takers = [1, 2].map(|slot| {
            let heap = Arc::clone(&heap);
            survivor(slot, move || heap.take())
        });
        family::enter(3);
        heap.bring(2, Condvar::notify_all);
        for taker in takers {
            taker.join().unwrap();
        }
    });
}

/// The victim may have been woken for a token that it does not live to take.
#[test]
fn a_dead_waiter_swallows_no_notification() {
    play_every_death(|steps| {
        let heap = Heap::new();
        let (one, two) = (Arc::clone(&heap), Arc::clone(&heap));
        let victim = victim(1, steps, move || one.pass_on());
        let taker = survivor(2, move || two.pass_on());
        family::enter(3);
        heap.bring(1, Condvar::notify_one);
        let died = heap.bring_again_after(victim);
        taker.join().unwrap();
        died
    });
}

/// The victim may have brought its token and not lived to say so.
#[test]
fn a_dead_notifier_leaves_nobody_asleep() {
    play_every_death(|steps| {
        let heap = Heap::new();
        let (one, two) = (Arc::clone(&heap), Arc::clone(&heap));
        let victim = victim(1, steps, move || one.bring(1, Condvar::notify_one));
        let taker = survivor(2, move || two.take());
        family::enter(3);
        let died = heap.bring_again_after(victim);
        taker.join().unwrap();
        died
    });
}
