//! The semaphore: never more holders than permits, no lost wake-up, a death at every step of taking, giving back and
//! forgetting.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use crate::patience::Limit;
use crate::semaphore::{Grant, RawSemaphore};

/// One permit, and what only its holder may touch.
struct Guarded<const N: usize> {
    semaphore: RawSemaphore<N>,
    value: UnsafeCell<u32>,
}

impl<const N: usize> Guarded<N> {
    fn new(permits: u32) -> Arc<Self> {
        Arc::new(Self { semaphore: RawSemaphore::new(permits), value: UnsafeCell::new(0) })
    }

    fn acquire(&self) -> usize {
        match self.semaphore.acquire(family::me().unwrap(), Limit::NEVER).unwrap() {
            Grant::Taken(cell) => cell,
            Grant::TimedOut | Grant::Full => panic!("no time passes, and there is room"),
        }
    }

    fn use_permit(&self) {
        let cell = self.acquire();
        // SAFETY: loom itself checks that nobody else is here.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.semaphore.release(cell);
    }

    fn use_up_permit(&self) {
        let cell = self.acquire();
        self.semaphore.forget(cell);
    }
}

#[test]
fn three_share_one_permit() {
    play(|| {
        let guarded = Guarded::<2>::new(1);
        let others = [1, 2].map(|slot| {
            let guarded = Arc::clone(&guarded);
            survivor(slot, move || guarded.use_permit())
        });
        family::enter(3);
        guarded.use_permit();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(guarded.semaphore.available(), 1);
    });
}

/// One of two who wait is woken, by which time its time is over; who gave the permit back takes it again in between.
#[test]
fn who_gives_up_takes_no_wake_up_along() {
    play(|| {
        let guarded = Guarded::<2>::new(1);
        family::enter(3);
        let cell = guarded.acquire();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let hasty = survivor(1, move || {
            let me = family::me().unwrap();
            if let Grant::Taken(cell) = one.semaphore.acquire(me, Limit::Naps(1)).unwrap() {
                one.semaphore.release(cell);
            }
        });
        let patient = survivor(2, move || two.use_permit());
        guarded.semaphore.release(cell);
        hasty.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn a_death_at_any_step_gives_the_permit_to_who_waits() {
    play_every_death(|steps| {
        let guarded = Guarded::<1>::new(1);
        let one = Arc::clone(&guarded);
        let victim = victim(1, steps, move || one.use_permit());
        family::enter(3);
        guarded.use_permit();
        let died = victim.join().unwrap().is_none();
        assert_eq!(guarded.semaphore.available(), 1);
        died
    });
}

#[test]
fn a_death_gives_the_permit_to_one_of_two_who_wait() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new(1);
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.use_permit());
        let other = survivor(2, move || two.use_permit());
        family::enter(3);
        guarded.use_permit();
        other.join().unwrap();
        let died = victim.join().unwrap().is_none();
        assert_eq!(guarded.semaphore.available(), 1);
        died
    });
}

/// At no step of forgetting is there a permit for somebody else.
#[test]
fn a_permit_that_is_forgotten_goes_to_nobody() {
    play(|| {
        let guarded = Guarded::<2>::new(1);
        family::enter(3);
        let cell = guarded.acquire();
        let one = Arc::clone(&guarded);
        let other =
            survivor(1, move || one.semaphore.acquire(family::me().unwrap(), Limit::Try).unwrap());
        guarded.semaphore.forget(cell);
        assert_eq!(other.join().unwrap(), Grant::TimedOut);
        assert_eq!(guarded.semaphore.available(), 0);
    });
}

/// A permit that is forgotten is gone or was given back by the death; two others share the second one meanwhile.
#[test]
fn a_death_while_forgetting_leaves_one_permit_or_two() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new(2);
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.use_up_permit());
        let other = survivor(2, move || {
            let cell = two.acquire();
            two.semaphore.release(cell);
        });
        family::enter(3);
        let cell = guarded.acquire();
        guarded.semaphore.release(cell);
        other.join().unwrap();
        let died = victim.join().unwrap().is_none();
        let left = guarded.semaphore.available();
        assert!(left == 1 || (died && left == 2), "{left} permits left");
        died
    });
}

/// Who adds may die before it wakes; if it died before it added, another one, who adds at the same time, has added.
#[test]
fn a_permit_that_is_added_reaches_who_waits_whoever_dies() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new(0);
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.semaphore.add(1).unwrap());
        let waiter = survivor(2, move || two.use_up_permit());
        guarded.semaphore.add(1).unwrap();
        waiter.join().unwrap();
        let died = victim.join().unwrap().is_none();
        let left = guarded.semaphore.available();
        assert!(left == 1 || (died && left == 0), "{left} permits left");
        died
    });
}

/// The permit is taken and given back by somebody else, by whom the one wake-up that there was may have been used up.
#[test]
fn a_permit_that_was_added_and_borrowed_reaches_who_waits_whoever_dies() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new(0);
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.semaphore.add(1).unwrap());
        let waiter = survivor(2, move || two.use_up_permit());
        family::enter(3);
        guarded.borrow_permit_if_there_is_one();
        let died = victim.join().unwrap().is_none();
        if died {
            guarded.semaphore.add(1).unwrap();
        }
        waiter.join().unwrap();
        died
    });
}

impl<const N: usize> Guarded<N> {
    fn borrow_permit_if_there_is_one(&self) {
        let grant = self.semaphore.acquire(family::me().unwrap(), Limit::Try).unwrap();
        if let Grant::Taken(cell) = grant {
            self.semaphore.release(cell);
        }
    }
}
