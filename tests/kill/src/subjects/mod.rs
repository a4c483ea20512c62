//! What is tried: one file for each subject, and those that must fail.

mod barrier;
mod condvar;
mod control;
mod event;
mod handle;
mod link;
mod moved;
mod mutex;
mod once;
mod outbox;
mod packed;
mod pair;
mod pipe;
mod queue;
mod ring;
mod rwlock;
mod seeded;
mod semaphore;

use std::io;
use std::time::Duration;

use procession_sync::{LockError, Mutex};

use crate::actor::Role::{Barger, Corpse, Holder, Sleeper, Survivor};
use crate::scene::{Case, Plot, Scene};

const NOBODY: Plot = Plot {
    setting: "",
    first: &[],
    then: &[],
    at_point: &[],
    second: None,
    sample: None,
    late: &[],
};

/// Nobody but the victim, and one who comes after its death.
const ALONE: Plot = Plot { setting: "alone", late: &[Survivor], ..NOBODY };

/// Somebody already sleeps when the victim begins.
const SLEEPER: Plot = Plot { setting: "sleeper", then: &[Sleeper], ..ALONE };

/// As above, and somebody comes between kill point and death.
const BARGER: Plot = Plot { setting: "sleeper and barger", at_point: &[Barger], ..SLEEPER };

/// What the victim wants is held by somebody, and somebody else sleeps for it already.
const CONTENDED: Plot = Plot { then: &[Holder, Sleeper], ..SLEEPER };

/// As above, and somebody comes between kill point and death.
const CONTENDED_BARGER: Plot = Plot { then: &[Holder, Sleeper], ..BARGER };

/// Somebody has died inside before: the victim is the one who repairs.
const TORN: Plot = Plot { setting: "second death", first: &[Corpse], ..ALONE };
const TORN_SLEEPER: Plot = Plot { setting: "second death, sleeper", at_point: &[Sleeper], ..TORN };
const TORN_BARGER: Plot =
    Plot { setting: "second death, sleeper, barger", at_point: &[Sleeper, Barger], ..TORN };

/// Whoever comes after the death is killed as well, at each of its steps.
const HEIR: Plot = Plot { setting: "heir", second: Some(&[]), ..ALONE };
/// As above, and somebody waits for the heir when it dies.
const HEIR_SLEEPER: Plot = Plot { setting: "heir and sleeper", second: Some(&[Sleeper]), ..ALONE };

const TWICE: &[Plot] = &[HEIR, HEIR_SLEEPER];
const FREE: &[Plot] = &[ALONE, CONTENDED, CONTENDED_BARGER];
const HELD: &[Plot] = &[ALONE, SLEEPER, BARGER];
const REPAIR: &[Plot] = &[TORN, TORN_SLEEPER, TORN_BARGER];

/// One case for each plot.
fn each(
    name: &str,
    plots: &[Plot],
    build: impl Fn() -> io::Result<Box<dyn Scene>> + Copy + 'static,
) -> Vec<Case> {
    plots.iter().map(|plot| Case::new(name, *plot, build)).collect()
}

/// Waits once for something, so that what the crates find out once in a process is known to all forks of this one, and no
/// victim is stepped through finding it out.
pub(crate) fn warm_up() -> Result<(), LockError> {
    let mutex = Mutex::new(0);
    let _guard = mutex.lock()?;
    mutex.lock_timeout(Duration::from_millis(1)).map(drop)
}

/// All cases, the controls first: without them the others prove nothing.
pub(crate) fn all() -> Vec<Case> {
    let subjects = [
        control::cases,
        seeded::cases,
        ring::cases,
        link::cases,
        moved::cases,
        outbox::cases,
        pipe::cases,
        queue::cases,
        mutex::cases,
        rwlock::cases,
        semaphore::cases,
        condvar::cases,
        barrier::cases,
        event::cases,
        once::cases,
    ];
    subjects.into_iter().flat_map(|cases| cases()).collect()
}
