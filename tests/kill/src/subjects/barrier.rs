//! `procession_sync::Barrier`.

use std::cell::Cell;
use std::io;

use procession_sync::{Barrier, BarrierError};

use super::{NOBODY, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// The victim arrives last of two.
const LAST: Plot = Plot {
    setting: "last of two, sleeper",
    then: &[Role::Sleeper],
    late: &[Role::Survivor],
    ..NOBODY
};
/// The victim sleeps until the third comes, which it does when the victim sleeps or is dead.
const SECOND: Plot = Plot {
    setting: "second of three, sleeper",
    then: &[Role::Holder, Role::Sleeper],
    late: &[Role::Survivor],
    ..NOBODY
};
/// The third comes between kill point and death.
const BARGED: Plot = Plot {
    setting: "second of three, sleeper and barger",
    then: &[Role::Sleeper],
    at_point: &[Role::Barger],
    late: &[Role::Survivor],
    ..NOBODY
};

struct BarrierScene {
    barrier: ForkShared<Barrier>,
    has_arrived: Cell<bool>,
}

pub(super) fn cases() -> Vec<Case> {
    let two = each("barrier wait", &[LAST], || BarrierScene::build(2));
    let three = each("barrier wait", &[SECOND, BARGED], || BarrierScene::build(3));
    two.into_iter().chain(three).collect()
}

impl BarrierScene {
    fn build(parties: u32) -> io::Result<Box<dyn Scene>> {
        let barrier = ForkShared::new(Barrier::new(parties))?;
        Ok(Box::new(Self { barrier, has_arrived: Cell::new(false) }))
    }

    fn arrive(&self) -> Result<String, String> {
        match self.barrier.wait() {
            Ok(_) => Ok("through".to_owned()),
            Err(BarrierError::Broken) => Ok("broken".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Scene for BarrierScene {
    fn views(&self) -> Vec<View> {
        vec![self.barrier.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => cue.operate(|| self.arrive())?,
            Role::Survivor => {
                self.barrier.reset().map_err(|error| error.to_string())?;
                Ok(if self.barrier.is_broken() { "still broken" } else { "reset" }.to_owned())
            }
            Role::Holder => {
                cue.hold()?;
                self.arrive()
            }
            _ => self.arrive(),
        }
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    /// The sleeper alone waits as long as the victim has not arrived.
    fn at_point(&self) {
        self.has_arrived.set(self.barrier.waiting() != 1);
    }

    /// Nobody can be blamed for waiting for one who never arrived.
    fn after_death(&self) {
        if !self.has_arrived.get() {
            // Whether it could be done is seen by whether the others get on.
            let _ = self.barrier.abort();
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let mut waited = ending.said(Role::Sleeper).chain(ending.said(Role::Holder));
        let first = waited.next();
        if waited.any(|other| Some(other) != first) {
            return Err("some were let through and others not".to_owned());
        }
        let is_through = first == Some("through");
        match ending.place {
            Place::First if is_through => Err("let through without the victim".to_owned()),
            Place::Last if !is_through => Err("not let through although all had come".to_owned()),
            _ if ending.said(Role::Survivor).any(|said| said != "reset") => {
                Err("a reset barrier is broken".to_owned())
            }
            _ => Ok(()),
        }
    }
}
