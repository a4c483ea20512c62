//! The barrier: all leave together or all learn that it is broken, with a death at every step.

use std::sync::Arc;

use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use crate::{Barrier, BarrierError};

#[test]
fn three_meet_and_one_leads() {
    play(|| {
        let barrier = Arc::new(Barrier::<3>::with_holders(3));
        let others = [1, 2].map(|slot| {
            let barrier = Arc::clone(&barrier);
            survivor(slot, move || barrier.wait().unwrap().index())
        });
        family::enter(3);
        let mine = barrier.wait().unwrap();
        let mut indices = others.map(|other| other.join().unwrap()).to_vec();
        indices.push(mine.index());
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2]);
    });
}

#[test]
fn two_meet_twice() {
    play(|| {
        let barrier = Arc::new(Barrier::<2>::with_holders(2));
        let same = Arc::clone(&barrier);
        let other = survivor(1, move || [same.wait().unwrap(), same.wait().unwrap()]);
        family::enter(2);
        let mine = [barrier.wait().unwrap(), barrier.wait().unwrap()];
        let theirs = other.join().unwrap();
        for (mine, theirs) in mine.iter().zip(theirs) {
            assert_ne!(mine.is_leader(), theirs.is_leader());
        }
    });
}

/// If the victim had arrived, its partner leaves by itself; if not, somebody takes its place.
#[test]
fn a_death_at_any_step_breaks_the_barrier_or_costs_nothing() {
    play_every_death(|steps| {
        let barrier = Arc::new(Barrier::<3>::with_holders(2));
        let (one, two) = (Arc::clone(&barrier), Arc::clone(&barrier));
        let victim = victim(1, steps, move || one.wait().is_ok());
        let partner = survivor(2, move || match two.wait() {
            Ok(_) => true,
            Err(BarrierError::Broken) => false,
            Err(other) => panic!("{other}"),
        });
        family::enter(3);
        let end = victim.join().unwrap();
        if end.is_none() && !barrier.the_dead_had_arrived() {
            assert!(barrier.wait().is_ok());
            assert!(partner.join().unwrap());
        } else {
            let met = partner.join().unwrap();
            assert!(end.is_none() || (met && end == Some(true)));
        }
        end.is_none()
    });
}

/// There is one place, which the dead had: who comes meanwhile does not take it as if nobody had arrived there.
#[test]
fn a_death_breaks_the_barrier_also_when_its_place_is_wanted() {
    play(|| {
        let barrier = Arc::new(Barrier::<1>::with_holders(3));
        let victim = family::enter(1);
        barrier.only_arrive(victim);
        let same = Arc::clone(&barrier);
        let late = survivor(2, move || same.wait().is_ok());
        family::kill(victim);
        assert!(!late.join().unwrap());
        assert!(barrier.is_broken());
    });
}

#[test]
fn a_reset_sends_who_waits_away_whatever_comes_after() {
    play(|| {
        let barrier = Arc::new(Barrier::<2>::with_holders(2));
        let same = Arc::clone(&barrier);
        let waiter = survivor(1, move || same.wait().is_ok());
        family::enter(2);
        while barrier.waiting() == 0 {
            loom::thread::yield_now();
        }
        barrier.reset().unwrap();
        assert!(!waiter.join().unwrap());
        assert!(!barrier.is_broken());
    });
}
