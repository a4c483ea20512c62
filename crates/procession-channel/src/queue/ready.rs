//! Waiting for a queue together with other things.

use std::sync::Arc;

use procession_shm::{KeptWord, Waitable, Watch, family};
use procession_sync::parts::Turn;

use super::body::{Body, Seat};
use super::vigil::Patience;
use super::{Getter, Putter, Queue};

/// Announces a sleeper on one of the queue's turns.
fn watch<'a>(seat: &'a Seat, turn: fn(&Body) -> &Turn, watches: &mut Vec<Watch<'a>>) {
    if !seat.is_here() {
        return;
    }
    watches.push(family::watch_deaths());
    let seen = turn(&seat.body).announce();
    let word = KeptWord::new(Arc::clone(&seat.body), move |body| turn(body).word());
    watches.push(Watch::shared_kept(word, seen));
}

/// Ready when a get would go on at once: with an item, which another one may get first, or with the end.
impl<T> Waitable for Getter<T> {
    fn is_ready(&self) -> bool {
        let Ok(me) = self.seat.me() else { return true };
        let is_ready = self.body().is_ready_to_get(me, &Patience::None);
        is_ready || (!self.is_whole && self.seat.is_alone())
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watch(&self.seat, |body| &body.control.not_empty, watches);
    }

    /// The sleeper may have been woken in place of one who would get the item. It does not wait to find out.
    fn unwatch(&self) {
        if self.seat.is_here() && self.body().looks_ready_to_get() {
            self.body().control.not_empty.wake_one();
        }
    }
}

/// Ready when a small value could be put at once, or would be refused for good.
impl<T> Waitable for Putter<T> {
    fn is_ready(&self) -> bool {
        let Ok(me) = self.seat.me() else { return true };
        let body = &self.seat.body;
        body.is_closed()
            || body.has_room(me, &Patience::None)
            || (!self.is_whole && self.seat.is_alone())
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watch(&self.seat, |body| &body.control.not_full, watches);
    }

    /// All who wait for room are woken together, so nobody was passed over.
    fn unwatch(&self) {}
}

/// Ready when there is something to get: as its [`Getter`]. To wait for room, wait for its [`putter`](Queue::putter).
impl<T> Waitable for Queue<T> {
    fn is_ready(&self) -> bool {
        self.getter.is_ready()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        self.getter.watch(watches);
    }

    fn unwatch(&self) {
        self.getter.unwatch();
    }
}
