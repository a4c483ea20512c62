//! The cell that is written once: one initializer at a time, and a death at every step of initializing.

use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::sync::Arc;

use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use super::pair::Pair;
use crate::Once;
use crate::lock::{Call, Mark};
use crate::patience::Limit;

/// What is initialized to two values that are equal.
struct Filled {
    once: Once,
    value: Pair,
}

impl Filled {
    fn new() -> Arc<Self> {
        Arc::new(Self { once: Once::new(), value: Pair::new() })
    }

    /// Fills it with `number` if it is the caller's turn, and returns what is in it.
    fn get_or_init(&self, number: u32) -> u32 {
        if let ControlFlow::Continue(turn) = self.once.enter(Limit::NEVER).unwrap() {
            let turn = ManuallyDrop::new(turn);
            self.value.write(number);
            turn.end(Mark::DONE, Call::Everybody);
        }
        assert!(self.once.is_completed());
        let (one, two) = self.value.read();
        assert_eq!(one, two);
        one
    }
}

#[test]
fn three_agree_on_one_value() {
    play(|| {
        let filled = Filled::new();
        let others = [1, 2].map(|slot| {
            let filled = Arc::clone(&filled);
            survivor(slot, move || filled.get_or_init(slot.into()))
        });
        family::enter(3);
        let mine = filled.get_or_init(3);
        for other in others {
            assert_eq!(other.join().unwrap(), mine);
        }
    });
}

#[test]
fn after_a_death_at_any_step_the_next_one_initializes() {
    play_every_death(|steps| {
        let filled = Filled::new();
        let (one, two) = (Arc::clone(&filled), Arc::clone(&filled));
        let victim = victim(1, steps, move || one.get_or_init(1));
        let other = survivor(2, move || two.get_or_init(2));
        family::enter(3);
        let mine = filled.get_or_init(3);
        assert_eq!(other.join().unwrap(), mine);
        let end = victim.join().unwrap();
        assert!(end.is_none_or(|theirs| theirs == mine));
        end.is_none()
    });
}

/// An initializer that fails gives its turn to the next one.
#[test]
fn a_turn_that_is_given_back_is_the_next_ones() {
    play(|| {
        let filled = Filled::new();
        let others = [1, 2].map(|slot| {
            let filled = Arc::clone(&filled);
            survivor(slot, move || filled.get_or_init(slot.into()))
        });
        family::enter(3);
        drop(filled.once.enter(Limit::NEVER).unwrap());
        for other in others {
            other.join().unwrap();
        }
    });
}
