//! `procession_sync::OnceLock`. Everybody brings its own pid as the value.

use std::io;

use procession_sync::{LockError, OnceLock};

use super::{ALONE, REPAIR, TWICE, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Place, Plot, Scene};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    GetOrInit,
    Set,
}

struct OnceScene {
    op: Op,
    once: ForkShared<OnceLock<u32>>,
}

const SLEEPER: Plot = Plot { setting: "sleeper", at_point: &[Role::Sleeper], ..ALONE };
const BARGER: Plot =
    Plot { setting: "sleeper and barger", at_point: &[Role::Sleeper, Role::Barger], ..ALONE };

pub(super) fn cases() -> Vec<Case> {
    let plots: &[Plot] = &[ALONE, SLEEPER, BARGER];
    let ops = [
        ("once get_or_init", Op::GetOrInit, plots),
        ("once set", Op::Set, plots),
        ("once get_or_init", Op::GetOrInit, REPAIR),
        ("once get_or_init", Op::GetOrInit, TWICE),
    ];
    let each = |(name, op, plots)| each(name, plots, move || OnceScene::build(op));
    ops.into_iter().flat_map(each).collect()
}

impl OnceScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self { op, once: ForkShared::new(OnceLock::new())? }))
    }

    fn get(&self) -> Result<u32, String> {
        let value = self.once.get_or_init(std::process::id);
        value.copied().map_err(|error: LockError| error.to_string())
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        let pid = std::process::id();
        match self.op {
            Op::GetOrInit => cue.operate(|| self.get())?.map(|value| value.to_string()),
            Op::Set => cue.operate(|| self.once.set(pid).is_ok()).map(|is_set| is_set.to_string()),
        }
    }

    fn corpse(&self, cue: &Cue) -> Result<String, String> {
        let value = self.once.get_or_init(|| {
            // It is killed here; if not, the value is one that nobody accepts.
            let _ = cue.hold();
            0
        });
        Err(format!("a corpse was not killed, and got {value:?}"))
    }
}

impl Scene for OnceScene {
    fn views(&self) -> Vec<View> {
        vec![self.once.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => self.victim(cue),
            Role::Corpse => self.corpse(cue),
            _ => self.get().map(|value| value.to_string()),
        }
    }

    /// All see one value; it is the victim's if the victim had come to the end, and not if it had not begun.
    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let Some(value) = self.once.get() else { return Err("no value".to_owned()) };
        if ending.all().any(|seen| seen != value.to_string()) {
            return Err(format!("not all have seen {value}"));
        }
        match (ending.place, *value == ending.victim_pid) {
            (Place::First, true) => Err("a value from one who gave none".to_owned()),
            (Place::Last, false) => Err("the victim's value is lost".to_owned()),
            _ => Ok(()),
        }
    }
}
