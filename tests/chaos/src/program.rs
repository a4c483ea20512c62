//! One program, from its first process on: some acts, of which most are actors. Behind each, what was put has come out or was lost
//! with somebody who died, and this process has no more than before.

use std::fs;
use std::sync::atomic::Ordering::SeqCst;

use procession::prelude::*;
use procession::queue::JoinError;
use procession::sync::Mutex;

use crate::actor::{self, Orders};
use crate::chain::chain;
use crate::crowd::crowd;
use crate::dice::Dice;
use crate::excuse::{judge, must};
use crate::ledger::{complain, doing, ledger};
use crate::letter::Twins;
use crate::patience::nap;
use crate::queues::drain;

const ACTS: usize = 6;
/// By then the library has made what it makes once and keeps.
const WARM: usize = 2;
const STEPS: u32 = 150;

pub(crate) fn play(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut warm = [usize::MAX; 3];
    for act in 0..ACTS {
        let seed = dice.number();
        match dice.below(4) {
            0 => chain(seed),
            1 => crowd(seed),
            _ => actors(seed),
        }
        doing(c"between the acts");
        nothing_has_grown(warm);
        if act == WARM {
            warm = holdings();
        }
    }
}

/// Descriptors, threads and mappings.
fn holdings() -> [usize; 3] {
    let count = |folder| fs::read_dir(folder).map_or(usize::MAX, Iterator::count);
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    [count("/proc/self/fd"), count("/proc/self/task"), maps.matches("memfd:procession").count()]
}

/// Some is closed a moment later, and zygotes may have been needed first just now.
fn nothing_has_grown(before: [usize; 3]) {
    const SLACK: usize = 8;
    for _ in 0..100 {
        if holdings().iter().zip(before).all(|(now, before)| *now <= before.saturating_add(SLACK)) {
            return;
        }
        nap(20);
    }
    complain(format_args!("descriptors, threads, mappings: {:?}, {before:?} before", holdings()));
}

fn actors(seed: u64) {
    let (deaths, first) = (ledger().deaths.load(SeqCst), ledger().messages.load(SeqCst));
    ledger().births.store(0, SeqCst);
    let mut dice = Dice::new(seed);
    let builder = Queue::builder().capacity(1 << (17 + dice.below(4)));
    let builder = if dice.one_in(2) { builder.items(5 + dice.below(40) as usize) } else { builder };
    let Some(queue) = must("a queue", builder.build()) else { return };
    let Some(lock) = must("a lock", Shared::new(Mutex::new(Twins::default()))) else { return };
    let share = queue.clone();
    actor::play(Orders { seed, depth: 0, steps: STEPS, queue: share, lock, bag: Vec::new() });
    // Those that were detached are still there, and hear that it is over.
    queue.close();
    for child in procession::active_children() {
        doing(c"wait for a child");
        child.wait();
    }
    drain(&queue);
    while let Err(error) = queue.join() {
        judge("join in the end", &error);
        if !matches!(error, JoinError::OwnerDied { .. }) {
            return;
        }
    }
    let (lost, died) = (ledger().lost_since(first), ledger().deaths.load(SeqCst) - deaths);
    if lost as u64 > died.into() {
        complain(format_args!("{lost} messages are lost with {died} who died"));
    }
}
