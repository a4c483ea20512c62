//! What all models have in common: who plays, who dies, and how often it is played.
//!
//! Each thread of a model stands for a process. A *victim* has a number of steps to live ([`mortal`]); where it stops, the
//! family's root marks it as dead, moves the epoch and wakes all, as it does in life. A model with a victim is played for every
//! number of steps up to the one with which it survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering}; // tidy: raw atomic: counts across runs of a model, outside of it

use loom::model::Builder;
use loom::thread::{self, JoinHandle};

use super::mortal;
use crate::family;

/// Two preemptions miss a lost wake-up among three that three find.
const PREEMPTIONS: usize = 3;

/// No victim takes more steps than that.
const STEPS_MAX: usize = 80;

/// No order of steps is longer than that, unless somebody spins for ever.
const BRANCHES_MAX: usize = 20_000;

/// Runs a model in every order of its steps that the preemption bound allows: 3, or what `LOOM_MAX_PREEMPTIONS` says.
///
/// # Panics
///
/// If `scene` fails in one of the orders.
#[expect(clippy::print_stderr, reason = "how large a model is shows with `--nocapture`")]
pub fn play(scene: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.max_branches = BRANCHES_MAX;
    let orders = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&orders);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    eprintln!("{} orders", orders.load(Ordering::Relaxed));
}

/// Plays `scene` with a victim that has 0, 1, 2... steps to live, until it lives through every order of steps.
///
/// `scene` returns whether the victim died.
///
/// # Panics
///
/// If `scene` fails in one of the orders, or its victim takes no step at all, or more than any does.
pub fn play_every_death(scene: impl Fn(usize) -> bool + Copy + Sync + Send + 'static) {
    let survives = |steps: &usize| !can_die(*steps, scene);
    let steps = (0..STEPS_MAX).find(survives).expect("no victim takes so many steps");
    assert!(steps > 0, "the victim takes no step at all");
}

/// Plays `scene` with a victim that has `steps` steps to live, and says whether it died in any order of steps.
fn can_die(steps: usize, scene: impl Fn(usize) -> bool + Copy + Sync + Send + 'static) -> bool {
    let died = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&died);
    play(move || {
        if scene(steps) {
            seen.store(true, Ordering::Relaxed);
        }
    });
    died.load(Ordering::Relaxed)
}

/// A process of the family in `slot`, that lives to the end of its part.
pub fn survivor<R: 'static>(slot: u16, part: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(move || {
        family::enter(slot);
        part()
    })
}

/// A process of the family in `slot` that is killed after so many steps. What it came to, or `None` if it died; the family
/// knows of the death by then.
pub fn victim<R: 'static>(
    slot: u16,
    steps: usize,
    part: impl Fn() -> R + 'static,
) -> JoinHandle<Option<R>> {
    thread::spawn(move || {
        let me = family::enter(slot);
        let end = mortal::live_for(steps, &part);
        if end.is_none() {
            family::kill(me);
        }
        end
    })
}
