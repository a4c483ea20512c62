//! Registration against news, against the drop of the future, and against deaths.
//!
//! The object is a store of items with one word that moves with each news, of which one sleeper is woken: the case in which a
//! wake-up that goes to the wrong one is lost. A model's reactor ends by news for itself, through the list as everything else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool; // tidy: raw atomic: only the thread that drives the reactor uses it
use std::task::{Context, Poll, Wake, Waker};

use loom::thread::{self, JoinHandle};

use super::{Registration, turn_reactor, until_ready};
use crate::family::{self, Member};
use crate::ready::Waitable;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::stage::{play, play_every_death, survivor, victim};
use crate::{Deadline, KeptWord, Watch, tell, wait, wake_all, wake_one};

/// Items, each of which is for one.
struct Items {
    words: Arc<Words>,
}

struct Words {
    count: AtomicU32,
    turn: AtomicU32,
}

impl Items {
    fn none() -> Arc<Self> {
        let words = Words { count: AtomicU32::new(0), turn: AtomicU32::new(0) };
        Arc::new(Self { words: Arc::new(words) })
    }

    fn put(&self) {
        self.words.count.fetch_add(1, Ordering::AcqRel);
        self.tell();
    }

    fn tell(&self) {
        self.words.turn.fetch_add(1, Ordering::AcqRel);
        wake_one(&self.words.turn, false);
    }

    fn take(&self) -> bool {
        let count = &self.words.count;
        count.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// As another process does it, in one of its threads.
    fn take_blocking(&self) {
        loop {
            let seen = self.words.turn.load(Ordering::Acquire);
            let epoch = family::epoch().load(Ordering::Acquire);
            if self.take() {
                return;
            }
            let turn = Watch::shared(&self.words.turn, seen);
            wait(&[turn, Watch::shared(family::epoch(), epoch)], &Deadline::NEVER);
        }
    }
}

impl Waitable for Items {
    fn is_ready(&self) -> bool {
        self.words.count.load(Ordering::Acquire) > 0
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let word = KeptWord::new(Arc::clone(&self.words), |words| &words.turn);
        watches.push(Watch::shared_kept(word, self.words.turn.load(Ordering::Acquire)));
        watches.push(epoch());
    }

    /// Whoever has waited may have used up a wake-up.
    fn unwatch(&self) {
        if self.is_ready() {
            self.tell();
        }
    }
}

fn epoch() -> Watch<'static> {
    let epoch = family::epoch();
    Watch::shared_kept(epoch, epoch.load(Ordering::Acquire))
}

/// Ready when its owner is dead.
struct Held {
    owner: Member,
}

impl Waitable for Held {
    fn is_ready(&self) -> bool {
        !family::is_alive(self.owner)
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watches.push(epoch());
    }

    fn unwatch(&self) {}
}

/// Ready when it is told.
struct Told {
    word: Arc<AtomicU32>,
}

impl Waitable for Told {
    fn is_ready(&self) -> bool {
        self.word.load(Ordering::Acquire) != 0
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watches.push(Watch::told(KeptWord::new(Arc::clone(&self.word), |word| &**word), 0));
    }

    fn unwatch(&self) {}
}

/// An executor of one future, which sleeps until it is called.
struct Executor {
    called: AtomicU32,
}

impl Wake for Executor {
    fn wake(self: Arc<Self>) {
        // A plain store would let loom order it before the swap that has looked for it in vain.
        self.called.swap(1, Ordering::AcqRel);
        wake_all(&self.called, true);
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let executor = Arc::new(Executor { called: AtomicU32::new(0) });
    let waker = Waker::from(Arc::clone(&executor));
    loop {
        if let Poll::Ready(output) = poll(&mut future, &waker) {
            return output;
        }
        while executor.called.swap(0, Ordering::AcqRel) == 0 {
            wait(&[Watch::private(&executor.called, 0)], &Deadline::NEVER);
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// What makes the thread of the reactor end.
struct End {
    word: Arc<AtomicU32>,
    _place: Registration,
    is_seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen(AtomicBool);

impl Wake for Seen {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl End {
    fn new() -> Self {
        let (word, is_seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Seen::default()));
        let mut place = Registration::default();
        let kept = KeptWord::new(Arc::clone(&word), |word| &**word);
        let waker = Waker::from(Arc::clone(&is_seen));
        place.enter(&[Watch::private_kept(kept, 0)], &waker).expect("the word is kept");
        Self { word, _place: place, is_seen }
    }

    /// Runs the reactor until it has been told to end; `None` if it was killed before, which the family knows by then.
    fn drive(&self, slot: u16, steps: Option<usize>) -> JoinHandle<Option<()>> {
        let is_seen = Arc::clone(&self.is_seen);
        let life = move || {
            while !is_seen.0.load(Ordering::Relaxed) {
                turn_reactor();
            }
        };
        match steps {
            Some(steps) => victim(slot, steps, life),
            None => survivor(slot, move || Some(life())),
        }
    }

    fn tell(&self) {
        self.word.store(1, Ordering::Release);
        wake_all(&self.word, true);
    }
}

#[test]
fn news_find_the_future_wherever_it_is() {
    play(|| {
        let items = Items::none();
        let end = End::new();
        let reactor = end.drive(1, None);
        let putter = thread::spawn({
            let items = Arc::clone(&items);
            move || items.put()
        });
        block_on(until_ready(&*items)).unwrap();
        assert!(items.take());
        putter.join().unwrap();
        end.tell();
        reactor.join().unwrap();
    });
}

#[test]
fn what_is_told_finds_the_future_wherever_it_is() {
    play(|| {
        let word = Arc::new(AtomicU32::new(0));
        let end = End::new();
        let reactor = end.drive(1, None);
        let teller = thread::spawn({
            let word = Arc::clone(&word);
            move || {
                word.store(1, Ordering::Release);
                tell(&word);
            }
        });
        block_on(until_ready(&Told { word })).unwrap();
        teller.join().unwrap();
        end.tell();
        reactor.join().unwrap();
    });
}

#[test]
fn a_death_finds_the_future_wherever_it_is() {
    play(|| {
        let owner = family::enter(2);
        let end = End::new();
        let reactor = end.drive(1, None);
        let root = thread::spawn(move || family::kill(owner));
        block_on(until_ready(&Held { owner })).unwrap();
        root.join().unwrap();
        end.tell();
        reactor.join().unwrap();
    });
}

/// A future is dropped while somebody else sleeps for the same news: the one wake-up may reach either.
#[test]
fn a_future_that_is_dropped_takes_no_wake_up_along() {
    play(|| {
        let items = Items::none();
        let end = End::new();
        let mut future = until_ready(&*items);
        assert!(poll(&mut future, Waker::noop()).is_pending());
        let reactor = end.drive(1, None);
        let other = thread::spawn({
            let items = Arc::clone(&items);
            move || items.take_blocking()
        });
        let putter = thread::spawn({
            let items = Arc::clone(&items);
            move || items.put()
        });
        drop(future);
        putter.join().unwrap();
        other.join().unwrap();
        end.tell();
        reactor.join().unwrap();
    });
}

/// The process of the future is killed at any step of its reactor: a wake-up that it has used up is not lost for the other.
#[test]
fn a_death_takes_no_wake_up_along() {
    play_every_death(dies_with_a_wake_up);
}

fn dies_with_a_wake_up(steps: usize) -> bool {
    let items = Items::none();
    let end = End::new();
    let mut future = until_ready(&*items);
    assert!(poll(&mut future, Waker::noop()).is_pending());
    let reactor = end.drive(1, Some(steps));
    let other = thread::spawn({
        let items = Arc::clone(&items);
        move || items.take_blocking()
    });
    items.put();
    end.tell();
    let died = reactor.join().unwrap().is_none();
    if died {
        // A dead process drops nothing.
        std::mem::forget(future);
    } else {
        drop(future);
    }
    other.join().unwrap();
    died
}
