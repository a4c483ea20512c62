//! The event: no lost set, not even one that is cleared at once, and a death at every step of setting.

use std::sync::Arc;

use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use crate::Event;
use crate::patience::Limit;

#[test]
fn two_waiters_see_a_set() {
    play(|| {
        let event = Arc::new(Event::new());
        let waiters = [1, 2].map(|slot| {
            let event = Arc::clone(&event);
            survivor(slot, move || event.wait().unwrap())
        });
        family::enter(3);
        event.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// Both waiters have looked before the event was set, and may fall asleep after it was cleared.
#[test]
fn a_set_that_is_cleared_at_once_is_not_missed() {
    play(|| {
        let event = Arc::new(Event::new());
        let since = event.look();
        let waiters = [1, 2].map(|slot| {
            let event = Arc::clone(&event);
            survivor(slot, move || assert!(event.wait_since(since, Limit::NEVER)))
        });
        family::enter(3);
        event.set();
        event.clear();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// The victim may set the event and not live to wake anybody; who sets it after that has nothing to do.
#[test]
fn a_dead_setter_leaves_nobody_asleep() {
    play_every_death(|steps| {
        let event = Arc::new(Event::new());
        let (one, two) = (Arc::clone(&event), Arc::clone(&event));
        let victim = victim(1, steps, move || one.set());
        let waiter = survivor(2, move || two.wait().unwrap());
        family::enter(3);
        event.set();
        waiter.join().unwrap();
        assert!(event.is_set());
        victim.join().unwrap().is_none()
    });
}

#[test]
fn a_dead_waiter_takes_no_wake_up_along() {
    play_every_death(|steps| {
        let event = Arc::new(Event::new());
        let (one, two) = (Arc::clone(&event), Arc::clone(&event));
        let victim = victim(1, steps, move || one.wait().unwrap());
        let waiter = survivor(2, move || two.wait().unwrap());
        family::enter(3);
        event.set();
        waiter.join().unwrap();
        victim.join().unwrap().is_none()
    });
}
