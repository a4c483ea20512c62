//! `procession_sync::Semaphore`, with one permit.

use std::cell::Cell;
use std::io;

use procession_sync::{LockError, Semaphore};

use super::{FREE, HELD, SLEEPER, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Plot, Scene};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Acquire,
    TryAcquire,
    Release,
    /// The victim brings the only permit.
    Add,
}

struct SemaphoreScene {
    op: Op,
    semaphore: ForkShared<Semaphore>,
    has_permit: Cell<bool>,
}

pub(super) fn cases() -> Vec<Case> {
    let add: &[Plot] = &[SLEEPER];
    let ops = [
        ("semaphore acquire", Op::Acquire, FREE),
        ("semaphore try_acquire", Op::TryAcquire, FREE),
        ("semaphore release", Op::Release, HELD),
        ("semaphore add_permits", Op::Add, add),
    ];
    let each = |(name, op, plots)| each(name, plots, move || SemaphoreScene::build(op));
    ops.into_iter().flat_map(each).collect()
}

fn text(error: LockError) -> String {
    error.to_string()
}

impl SemaphoreScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let semaphore = ForkShared::new(Semaphore::new(u32::from(op != Op::Add)))?;
        Ok(Box::new(Self { op, semaphore, has_permit: Cell::new(true) }))
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        let semaphore = &*self.semaphore;
        match self.op {
            Op::Acquire => drop(cue.operate(|| semaphore.acquire())?.map_err(text)?),
            Op::TryAcquire => drop(cue.operate(|| semaphore.try_acquire())?.map_err(text)?),
            Op::Release => {
                let permit = semaphore.acquire().map_err(text)?;
                cue.operate(|| drop(permit))?;
            }
            Op::Add => cue.operate(|| semaphore.add_permits(1))?.map_err(|e| e.to_string())?,
        }
        Ok(String::new())
    }
}

impl Scene for SemaphoreScene {
    fn views(&self) -> Vec<View> {
        vec![self.semaphore.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role == Role::Victim {
            return self.victim(cue);
        }
        let _permit = self.semaphore.acquire().map_err(text)?;
        if matches!(role, Role::Holder | Role::Barger) {
            cue.hold()?;
        }
        Ok(String::new())
    }

    fn wants_quiet(&self) -> bool {
        self.op == Op::Add
    }

    /// Either the permit is there, or the sleeper has had it and given it back.
    fn at_point(&self) {
        self.has_permit.set(self.op != Op::Add || self.semaphore.available_permits() == 1);
    }

    /// If the victim died before it brought the permit, nobody can be blamed for waiting for it.
    fn after_death(&self) {
        if !self.has_permit.get() {
            self.semaphore.add_permits(1).unwrap_or_else(|_| self.has_permit.set(false));
        }
    }

    fn judge(&self, _ending: &Ending) -> Result<(), String> {
        match self.semaphore.available_permits() {
            1 => Ok(()),
            permits => Err(format!("{permits} permits are left of one")),
        }
    }
}
