//! `procession_sync::Mutex`.

use std::io;
use std::time::Duration;

use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_sync::{LockError, Mutex, MutexGuard};

use super::pair::{self, Holds, INTACT, Pair, died};
use super::{FREE, HELD, REPAIR, TWICE, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Scene};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Lock,
    LockTimeout,
    LockExpired,
    TryLock,
    Unlock,
    LockOrReset,
    LockOrKeep,
}

struct Table {
    mutex: Mutex<Pair>,
    corpse_pid: AtomicU32,
}

struct MutexScene {
    op: Op,
    table: ForkShared<Table>,
}

pub(super) fn cases() -> Vec<Case> {
    let ops = [
        ("mutex lock", Op::Lock, FREE),
        ("mutex unlock", Op::Unlock, HELD),
        ("mutex try_lock", Op::TryLock, FREE),
        ("mutex lock_timeout", Op::LockTimeout, FREE),
        ("mutex lock_timeout expired", Op::LockExpired, FREE),
        ("mutex lock", Op::Lock, REPAIR),
        ("mutex lock_or_reset", Op::LockOrReset, FREE),
        ("mutex lock_or_reset", Op::LockOrReset, REPAIR),
        ("mutex lock_or_keep", Op::LockOrKeep, REPAIR),
        ("mutex lock", Op::Lock, TWICE),
        ("mutex unlock", Op::Unlock, TWICE),
        ("mutex lock_or_reset", Op::LockOrReset, TWICE),
    ];
    let each = |(name, op, plots)| each(name, plots, move || MutexScene::build(op));
    ops.into_iter().flat_map(each).collect()
}

impl MutexScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let mutex = Mutex::new(Pair::default());
        let table = ForkShared::new(Table { mutex, corpse_pid: AtomicU32::new(0) })?;
        Ok(Box::new(Self { op, table }))
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        let mutex = &self.table.mutex;
        let unexpected = |error: LockError| error.to_string();
        match self.op {
            Op::Lock => drop(cue.operate(|| mutex.lock())?.map_err(unexpected)?),
            Op::TryLock => drop(cue.operate(|| mutex.try_lock())?.map_err(unexpected)?),
            Op::LockTimeout => {
                drop(cue.operate(|| mutex.lock_timeout(LONG))?.map_err(unexpected)?);
            }
            Op::LockExpired => {
                drop(cue.operate(|| mutex.lock_timeout(Duration::ZERO))?.map_err(unexpected)?);
            }
            Op::Unlock => {
                let mut guard = mutex.lock().map_err(unexpected)?;
                cue.operate(|| {
                    guard.bump();
                    drop(guard);
                })?;
            }
            Op::LockOrReset => drop(cue.operate(|| mutex.lock_or_reset(Pair::default))?),
            Op::LockOrKeep => drop(cue.operate(|| {
                let mut guard = mutex.lock_or_keep();
                guard.mend();
                guard
            })?),
        }
        Ok(String::new())
    }

    fn corpse(&self, cue: &Cue) -> Result<String, String> {
        let mut guard = self.table.mutex.lock().map_err(|error| error.to_string())?;
        self.table.corpse_pid.store(std::process::id(), Ordering::Relaxed);
        guard.tear();
        cue.hold()?;
        Err("a corpse was not killed".to_owned())
    }

    /// Locks, repairs if need be, and says what it was told.
    fn enter(&self) -> Result<(MutexGuard<'_, Pair>, String), String> {
        let mutex = &self.table.mutex;
        let (guard, report) = match mutex.lock() {
            Ok(guard) => (guard, INTACT.to_owned()),
            Err(LockError::OwnerDied { pid }) => (mutex.lock_or_reset(Pair::default), died(pid)),
            Err(error) => return Err(error.to_string()),
        };
        guard.check()?;
        Ok((guard, report))
    }

    fn holds(&self, has_holder: bool) -> Holds {
        let takes = match self.op {
            Op::TryLock | Op::LockExpired => !has_holder,
            Op::Unlock => false,
            _ => true,
        };
        Holds { before: self.op == Op::Unlock, after: takes }
    }
}

impl Scene for MutexScene {
    fn views(&self) -> Vec<View> {
        vec![self.table.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => self.victim(cue),
            Role::Corpse => self.corpse(cue),
            Role::Sleeper | Role::Survivor | Role::Heir => {
                let (mut guard, report) = self.enter()?;
                guard.bump();
                Ok(report)
            }
            Role::Holder | Role::Barger => {
                let (mut guard, report) = self.enter()?;
                cue.hold()?;
                guard.bump();
                Ok(report)
            }
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let corpse = self.table.corpse_pid.load(Ordering::Relaxed);
        if corpse != 0 {
            return judge_second_death(ending, self.op, corpse);
        }
        let has_holder = ending.said(Role::Holder).next().is_some();
        pair::judge(ending, self.holds(has_holder), &[])
    }
}

/// Before the operation the first death is still to be told, after a repair the second is.
fn judge_second_death(ending: &Ending, op: Op, corpse: u32) -> Result<(), String> {
    let repairs = op != Op::Lock;
    pair::judge(ending, Holds { before: false, after: repairs }, &[corpse])
}
