//! `procession_sync::Condvar`, with a mutex that guards a flag.

use std::io;

use procession_sync::{Condvar, LockError, Mutex, MutexGuard};

use super::{NOBODY, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Plot, Scene};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Wait,
    NotifyOne,
    NotifyAll,
}

struct Table {
    flag: Mutex<u64>,
    condvar: Condvar,
}

struct CondvarScene {
    op: Op,
    table: ForkShared<Table>,
}

/// The sleeper waits for the flag before the victim sets it.
const NOTIFY: Plot =
    Plot { setting: "sleeper", first: &[Role::Sleeper], late: &[Role::Survivor], ..NOBODY };
/// The barger holds the mutex.
const NOTIFY_BARGER: Plot =
    Plot { setting: "sleeper and barger", at_point: &[Role::Barger], ..NOTIFY };
/// The holder sets the flag when it is let go.
const WAIT: Plot =
    Plot { setting: "alone", then: &[Role::Holder], late: &[Role::Survivor], ..NOBODY };
const WAIT_SLEEPER: Plot = Plot { setting: "sleeper", first: &[Role::Sleeper], ..WAIT };
const WAIT_BARGER: Plot =
    Plot { setting: "sleeper and barger", at_point: &[Role::Barger], ..WAIT_SLEEPER };

pub(super) fn cases() -> Vec<Case> {
    let ops: [(_, _, &[Plot]); 3] = [
        ("condvar wait", Op::Wait, &[WAIT, WAIT_SLEEPER, WAIT_BARGER]),
        ("condvar notify_one", Op::NotifyOne, &[NOTIFY, NOTIFY_BARGER]),
        ("condvar notify_all", Op::NotifyAll, &[NOTIFY, NOTIFY_BARGER]),
    ];
    let each = |(name, op, plots)| each(name, plots, move || CondvarScene::build(op));
    ops.into_iter().flat_map(each).collect()
}

fn text(error: LockError) -> String {
    error.to_string()
}

impl CondvarScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let table = Table { flag: Mutex::new(0), condvar: Condvar::new() };
        Ok(Box::new(Self { op, table: ForkShared::new(table)? }))
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        let Table { flag, condvar } = &*self.table;
        let mut guard = flag.lock().map_err(text)?;
        if self.op == Op::Wait {
            drop(cue.operate(|| condvar.wait(guard))?.map_err(text)?);
            return Ok(String::new());
        }
        *guard = 1;
        drop(guard);
        cue.operate(|| match self.op {
            Op::NotifyAll => condvar.notify_all(),
            _ => condvar.notify_one(),
        })?;
        Ok(String::new())
    }

    /// Waits for the flag; whoever dies with the mutex in hand counts as one who has set it.
    fn sleep(&self) -> Result<String, String> {
        let Table { flag, condvar } = &*self.table;
        let waited = flag.lock().and_then(|guard| condvar.wait_while(guard, |flag| *flag == 0));
        match waited {
            Ok(_) => Ok("flag".to_owned()),
            Err(LockError::OwnerDied { .. }) => Ok("died".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn enter(&self) -> Result<MutexGuard<'_, u64>, String> {
        match self.table.flag.lock() {
            Err(LockError::OwnerDied { .. }) => Ok(self.table.flag.lock_or_reset(|| 0)),
            other => other.map_err(text),
        }
    }
}

impl Scene for CondvarScene {
    fn views(&self) -> Vec<View> {
        vec![self.table.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => return self.victim(cue),
            Role::Sleeper => return self.sleep(),
            Role::Holder => {
                cue.hold()?;
                *self.enter()? = 1;
                self.table.condvar.notify_all();
            }
            Role::Barger => {
                let _guard = self.enter()?;
                cue.hold()?;
            }
            Role::Survivor | Role::Corpse | Role::Heir => drop(self.enter()?),
        }
        Ok(String::new())
    }

    /// A notifier is killed without the mutex: that death must be nobody's error.
    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let is_told = ending.said(Role::Sleeper).any(|said| said == "died");
        if is_told && self.op != Op::Wait {
            return Err("told of a death that tore nothing".to_owned());
        }
        Ok(())
    }
}
