//! What all models have in common: who plays, who dies, and how often it is played.
//!
//! Each thread of a model stands for a process. A *victim* has a number of steps to live; where it stops, the family's root
//! marks it as dead, moves the epoch and wakes all, as it does in life. A model with a victim is run for every number of
//! steps up to the one with which it survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64}; // tidy: raw atomic: counts across runs of a model, outside of it

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::thread::{self, JoinHandle};
use procession_shm::family;
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::sync::mortal;

/// Two preemptions miss a lost wake-up among three that three find.
const PREEMPTIONS: usize = 3;

/// No victim takes more steps than that.
const STEPS_MAX: usize = 64;

/// Runs a model in every order of its steps that the preemption bound allows: 3, or what `LOOM_MAX_PREEMPTIONS` says.
#[expect(clippy::print_stderr, reason = "how large a model is shows with `--nocapture`")]
pub(super) fn play(scene: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(PREEMPTIONS));
    builder.max_branches = 10_000;
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
pub(super) fn play_every_death(scene: impl Fn(usize) -> bool + Copy + Sync + Send + 'static) {
    for steps in 0..STEPS_MAX {
        if !can_die(steps, scene) {
            assert!(steps > 0, "the victim takes no step at all");
            return;
        }
    }
    panic!("the victim takes more than {STEPS_MAX} steps");
}

/// Plays `scene` with a victim that has `steps` steps to live, and says whether it died in any order of steps.
pub(super) fn can_die(
    steps: usize,
    scene: impl Fn(usize) -> bool + Copy + Sync + Send + 'static,
) -> bool {
    let died = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&died);
    play(move || {
        if scene(steps) {
            seen.store(true, Ordering::Relaxed);
        }
    });
    died.load(Ordering::Relaxed)
}

/// Two numbers that are equal whenever nobody writes them. Between the two there is a step at which a writer can die.
pub(super) struct Pair {
    one: UnsafeCell<u32>,
    two: AtomicU32,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self { one: UnsafeCell::new(0), two: AtomicU32::new(0) }
    }

    /// Both numbers; loom fails the model if somebody writes meanwhile.
    pub(super) fn read(&self) -> (u32, u32) {
        // SAFETY: loom itself checks that nobody writes.
        (self.one.with(|one| unsafe { *one }), self.two.load(Ordering::Relaxed))
    }

    /// Makes both `number`; loom fails the model if anybody is here meanwhile.
    pub(super) fn write(&self, number: u32) {
        // SAFETY: loom itself checks that nobody else is here.
        self.one.with_mut(|one| unsafe { *one = number });
        self.two.store(number, Ordering::Relaxed);
    }

    /// Adds one to both, which must be equal.
    pub(super) fn count(&self) {
        let (one, two) = self.read();
        assert_eq!(one, two, "a torn value was handed out");
        self.write(one + 1);
    }
}

/// A process of the family in `slot`, that lives to the end of its part.
pub(super) fn survivor<R: 'static>(slot: u16, part: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(move || {
        family::enter(slot);
        part()
    })
}

/// A process of the family in `slot` that is killed after so many steps. What it came to, or `None` if it died; the family
/// knows of the death by then.
pub(super) fn victim<R: 'static>(
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
