//! `procession_sync::Event`.

use std::cell::Cell;
use std::io;

use procession_sync::{Event, LockError};

use super::{BARGER, CONTENDED, CONTENDED_BARGER, SLEEPER, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Place, Plot, Scene};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Set,
    Wait,
}

struct EventScene {
    op: Op,
    event: ForkShared<Event>,
    was_set: Cell<bool>,
}

/// The holder sets the event when it is let go.
const WAIT: Plot = Plot { setting: "alone", then: &[Role::Holder], ..CONTENDED };

pub(super) fn cases() -> Vec<Case> {
    let set = each("event set", &[SLEEPER, BARGER], || EventScene::build(Op::Set));
    let waits = [WAIT, CONTENDED, CONTENDED_BARGER];
    let wait = each("event wait", &waits, || EventScene::build(Op::Wait));
    set.into_iter().chain(wait).collect()
}

impl EventScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let event = ForkShared::new(Event::new())?;
        Ok(Box::new(Self { op, event, was_set: Cell::new(false) }))
    }

    fn wait(&self) -> Result<(), String> {
        self.event.wait().map_err(|error: LockError| error.to_string())
    }
}

impl Scene for EventScene {
    fn views(&self) -> Vec<View> {
        vec![self.event.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match (role, self.op) {
            (Role::Victim, Op::Set) => cue.operate(|| self.event.set())?,
            (Role::Victim, Op::Wait) => cue.operate(|| self.wait())??,
            (Role::Holder, _) => {
                cue.hold()?;
                self.event.set();
            }
            _ => self.wait()?,
        }
        Ok(String::new())
    }

    fn at_point(&self) {
        self.was_set.set(self.event.is_set());
    }

    /// Nobody can be blamed for waiting for an event that was never set.
    fn after_death(&self) {
        if self.op == Op::Set && !self.was_set.get() {
            self.event.set();
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        if self.op == Op::Wait {
            return if self.event.is_set() { Ok(()) } else { Err("not set any more".to_owned()) };
        }
        match (ending.place, self.was_set.get()) {
            (Place::First, true) => Err("set before it was".to_owned()),
            (Place::Last, false) => Err("not set".to_owned()),
            _ => Ok(()),
        }
    }
}
