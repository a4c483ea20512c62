//! What a lock guards here: two numbers that must be equal whenever nobody is inside.

use std::hint::black_box;

use bytemuck::{AnyBitPattern, Zeroable};

use crate::scene::{Ending, Place};

/// Two numbers that must be equal.
#[derive(Debug, Default, Clone, Copy)]
#[repr(C)]
pub(crate) struct Pair {
    one: u64,
    two: u64,
}

// SAFETY: two integers, for which zero is a value.
unsafe impl Zeroable for Pair {}
// SAFETY: two integers without padding: every bit pattern is a value.
unsafe impl AnyBitPattern for Pair {}

/// What an actor says who found the pair in order.
pub(crate) const INTACT: &str = "intact";

impl Pair {
    /// Adds one to both, in two stores between which a death tears the pair.
    pub(crate) fn bump(&mut self) {
        self.tear();
        self.two += 1;
        black_box(&mut *self);
    }

    /// Adds one to the first only.
    pub(crate) fn tear(&mut self) {
        self.one += 1;
        black_box(&mut *self);
    }

    /// Makes the second what the first is.
    pub(crate) fn mend(&mut self) {
        self.two = self.one;
        black_box(&mut *self);
    }

    pub(crate) fn check(self) -> Result<(), String> {
        if self.one == self.two { Ok(()) } else { Err(format!("silently torn: {self:?}")) }
    }
}

/// What an actor says who was told of the death of `pid`.
pub(crate) fn died(pid: u32) -> String {
    format!("died {pid}")
}

/// Whether the victim holds the lock before, and after its operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds {
    pub(crate) before: bool,
    pub(crate) after: bool,
}

/// Nobody is told of another death than that of the victim (or of who else has died), and at both ends of the operation,
/// where it is clear whether the victim held the lock, somebody is told exactly if it did.
pub(crate) fn judge(ending: &Ending, holds: Holds, others: &[u32]) -> Result<(), String> {
    let of_victim = died(ending.victim_pid);
    let of_others: Vec<_> = others.iter().chain(&ending.heir_pid).map(|pid| died(*pid)).collect();
    let mut was_told = false;
    for report in ending.all().filter(|report| report.starts_with("died")) {
        was_told |= report == of_victim;
        if report != of_victim && !of_others.iter().any(|other| other == report) {
            return Err("somebody was told of a death that was not".to_owned());
        }
    }
    // An heir may have been told, and have taken what it heard along.
    if ending.heir_pid.is_some() {
        return Ok(());
    }
    let must = match ending.place {
        Place::First => holds.before,
        Place::Last => holds.after,
        Place::Inside => was_told,
    };
    match (was_told, must) {
        (false, true) => Err("the holder's death was kept secret".to_owned()),
        (true, false) => Err("told of a death that tore nothing".to_owned()),
        _ => Ok(()),
    }
}
