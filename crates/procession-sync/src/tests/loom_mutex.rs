//! The mutex's lock: mutual exclusion, no lost wake-up, and a death at every step.

use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use procession_shm::family;
use procession_shm::sync::mortal::live_for;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use super::pair::Pair;
use crate::lock::{Call, Claim, Entry, Lock, Mark};
use crate::patience::Limit;

const WORK: Claim = Claim { dirty: true, repair: false };
const REPAIR: Claim = Claim { dirty: true, repair: true };

/// What the mutex is around: two values that are equal whenever nobody is inside.
struct Guarded {
    lock: Lock,
    value: Pair,
}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { lock: Lock::new(), value: Pair::new() })
    }

    /// Locks, counts, unlocks. Says whether the lock was had.
    fn count(&self) -> bool {
        let me = family::me().unwrap();
        match self.lock.enter(me, WORK, Limit::NEVER) {
            Entry::Taken(_) => self.write_and_leave(),
            Entry::Refused(mark) => {
                assert!(mark.is_torn());
                return false;
            }
            Entry::TimedOut => panic!("no time passes"),
        }
        true
    }

    /// Locks, counts, unlocks, unless somebody died or panicked inside.
    fn count_unless_marked(&self) -> bool {
        let entry = self.lock.enter(family::me().unwrap(), WORK, Limit::NEVER);
        let is_taken = matches!(entry, Entry::Taken(_));
        if is_taken {
            self.write_and_leave();
        }
        is_taken
    }

    fn write_and_leave(&self) {
        self.value.count();
        self.lock.leave(Mark::CLEAN, Call::Next);
    }

    /// Locks whatever the state, makes the value sound if need be, counts, unlocks.
    fn count_or_repair(&self) {
        let me = family::me().unwrap();
        let Entry::Taken(mark) = self.lock.enter(me, REPAIR, Limit::NEVER) else {
            panic!("a repairer takes every lock");
        };
        if mark.is_torn() {
            self.value.write(0);
        }
        self.write_and_leave();
    }
}

/// A victim of whose death the family is not told, except that the dead is marked. One sleeper is woken if the lock's word is
/// open or names the dead, as a kernel does that only knows the word.
fn unwatched_victim(steps: usize, guarded: Arc<Guarded>) -> JoinHandle<Option<bool>> {
    thread::spawn(move || {
        family::enter(1);
        let end = live_for(steps, || guarded.count());
        if end.is_none() {
            // SAFETY: nothing of a model is handed out for good: it is to see what becomes of a lock whose owner is gone.
            unsafe { family::leave() };
            guarded.lock.wake_as_a_kernel_does();
        }
        end
    })
}

#[test]
fn three_take_turns() {
    play(|| {
        let guarded = Guarded::new();
        let others = [1, 2].map(|slot| {
            let guarded = Arc::clone(&guarded);
            survivor(slot, move || assert!(guarded.count()))
        });
        family::enter(3);
        assert!(guarded.count());
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(guarded.value.read(), (3, 3));
    });
}

/// One of two who wait is woken, by which time its time is over; who unlocks takes the lock again in between.
#[test]
fn who_gives_up_takes_no_wake_up_along() {
    play(|| {
        let guarded = Guarded::new();
        family::enter(3);
        let me = family::me().unwrap();
        assert_eq!(guarded.lock.enter(me, WORK, Limit::NEVER), Entry::Taken(Mark::CLEAN));
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let hasty = survivor(1, move || {
            let me = family::me().unwrap();
            match one.lock.enter(me, WORK, Limit::Naps(1)) {
                Entry::Taken(_) => one.write_and_leave(),
                Entry::TimedOut => {}
                Entry::Refused(_) => panic!("nobody dies"),
            }
        });
        let patient = survivor(2, move || assert!(two.count()));
        guarded.write_and_leave();
        assert!(guarded.count());
        hasty.join().unwrap();
        patient.join().unwrap();
    });
}

/// One who poisons the lock may die at it; of two who wait for it, one forgives.
#[test]
fn poison_and_its_clearing_leave_nobody_asleep() {
    play_every_death(|steps| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let careless = victim(1, steps, move || {
            let me = family::me().unwrap();
            if let Entry::Taken(_) = one.lock.enter(me, WORK, Limit::NEVER) {
                one.lock.leave(Mark::POISONED, Call::Everybody);
            }
        });
        let strict = survivor(2, move || two.count_unless_marked());
        family::enter(3);
        if !guarded.count_unless_marked() {
            guarded.lock.clear_poison();
            guarded.count_unless_marked();
        }
        strict.join().unwrap();
        careless.join().unwrap().is_none()
    });
}

/// One victim, two survivors: all come to an end, and each learns of the death or gets the lock.
#[test]
fn a_death_at_any_step_blocks_nobody() {
    play_every_death(|steps| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.count());
        let other = survivor(2, move || two.count());
        family::enter(3);
        let mine = guarded.count();
        let other = other.join().unwrap();
        let died = victim.join().unwrap().is_none();
        assert!(died || (mine && other));
        died
    });
}

#[test]
fn a_torn_value_is_repaired_before_anybody_sees_it() {
    play_every_death(|steps| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.count_or_repair());
        let other = survivor(2, move || two.count_or_repair());
        family::enter(3);
        guarded.count_or_repair();
        other.join().unwrap();
        victim.join().unwrap().is_none()
    });
}

/// What happens without the family's wake-all: the holder unlocks and dies before it wakes; another one has the lock by then,
/// so there is nothing to be seen of the dead, and gives it back without knowing of the sleeper.
#[test]
#[should_panic(expected = "deadlock")]
fn without_waking_all_three_parties_hang() {
    play_every_death(|steps| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = unwatched_victim(steps, one);
        let other = survivor(2, move || two.count());
        family::enter(3);
        guarded.count();
        other.join().unwrap();
        victim.join().unwrap().is_none()
    });
}

/// The control to the above: for two parties, what a kernel does is enough.
#[test]
fn without_waking_all_two_parties_get_on() {
    play_every_death(|steps| {
        let guarded = Guarded::new();
        let one = Arc::clone(&guarded);
        let victim = unwatched_victim(steps, one);
        family::enter(3);
        guarded.count();
        victim.join().unwrap().is_none()
    });
}
