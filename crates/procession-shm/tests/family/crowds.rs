//! Many waiters, many deaths, many members.

use procession_shm::family::MEMBERS_MAX;
use rustix::process::Signal;

use crate::stage::{Actor, has_room_for_a_full_family};

#[test]
fn a_thousand_sleepers_wake_at_one_death() {
    needs_pidfds!();
    let root = Actor::start();
    let sleepers: Vec<_> = (0..4).map(|_| root.child().0).collect();
    let (victim, _) = root.child();
    for sleeper in &sleepers {
        assert_eq!(sleeper.ask("crowd 250"), "done");
    }
    victim.kill();
    for sleeper in &sleepers {
        assert_eq!(sleeper.ask("woken"), "250");
    }
}

#[test]
fn deaths_that_come_together_are_all_told() {
    needs_pidfds!();
    let root = Actor::start();
    let victims: Vec<_> = (0..16).map(|_| root.child()).collect();
    for (victim, _) in &victims {
        victim.signal(Signal::KILL);
    }
    let epochs: Vec<_> = victims.iter().map(|&(_, member)| root.sees_death_of(member)).collect();
    assert!(epochs.iter().all(|&epoch| (1..=16).contains(&epoch)), "{epochs:?}");
}

#[test]
fn a_full_family_says_so_and_has_room_again() {
    needs_pidfds!();
    let root = Actor::start();
    if !has_room_for_a_full_family(&root, "a_full_family_says_so_and_has_room_again") {
        return;
    }
    let answer = root.ask("fill");
    assert_eq!(answer, format!("{0} Full {{ max: {0} }}", MEMBERS_MAX - 1));
    let (_, answered) = (root.ask("drop"), root.member("reuse 2"));
    assert_eq!(answered.generation(), 2);
}

/// They are more than fit into the socket by which they ask.
#[test]
fn a_crowd_of_copies_is_let_in() {
    const COPIES: u64 = 320;
    needs_pidfds!();
    let root = Actor::start();
    let has: u64 = root.number("raise_limit");
    if has < 3 * COPIES {
        let reason = format!("the hard limit of descriptors is {has}");
        return skips::skipped("a_crowd_of_copies_is_let_in", &reason);
    }
    assert_eq!(root.ask("found"), "done");
    assert_eq!(root.ask(&format!("rejoin_many {COPIES}")), COPIES.to_string());
}
