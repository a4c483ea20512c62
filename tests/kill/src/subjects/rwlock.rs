//! `procession_sync::RwLock`. Sleepers and survivors write, bargers read.

use std::io;

use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_sync::{LockError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::pair::{self, Holds, INTACT, Pair, died};
use super::{FREE, HELD, REPAIR, TWICE, each};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Scene};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Read,
    TryRead,
    EndRead,
    Write,
    TryWrite,
    EndWrite,
    WriteOrReset,
}

struct Table {
    lock: RwLock<Pair>,
    corpse_pid: AtomicU32,
}

struct RwLockScene {
    op: Op,
    table: ForkShared<Table>,
}

pub(super) fn cases() -> Vec<Case> {
    let ops = [
        ("rwlock read", Op::Read, FREE),
        ("rwlock try_read", Op::TryRead, FREE),
        ("rwlock end of read", Op::EndRead, HELD),
        ("rwlock write", Op::Write, FREE),
        ("rwlock try_write", Op::TryWrite, FREE),
        ("rwlock end of write", Op::EndWrite, HELD),
        ("rwlock read", Op::Read, REPAIR),
        ("rwlock write_or_reset", Op::WriteOrReset, REPAIR),
        ("rwlock end of read", Op::EndRead, TWICE),
        ("rwlock write", Op::Write, TWICE),
        ("rwlock end of write", Op::EndWrite, TWICE),
    ];
    let each = |(name, op, plots)| each(name, plots, move || RwLockScene::build(op));
    ops.into_iter().flat_map(each).collect()
}

fn text(error: LockError) -> String {
    error.to_string()
}

impl RwLockScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let lock = RwLock::new(Pair::default());
        let table = ForkShared::new(Table { lock, corpse_pid: AtomicU32::new(0) })?;
        Ok(Box::new(Self { op, table }))
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        let lock = &self.table.lock;
        match self.op {
            Op::Read => drop(cue.operate(|| lock.read())?.map_err(text)?),
            Op::TryRead => drop(cue.operate(|| lock.try_read())?.map_err(text)?),
            Op::EndRead => {
                let guard = lock.read().map_err(text)?;
                cue.operate(|| drop(guard))?;
            }
            Op::Write => drop(cue.operate(|| lock.write())?.map_err(text)?),
            Op::TryWrite => drop(cue.operate(|| lock.try_write())?.map_err(text)?),
            Op::EndWrite => {
                let mut guard = lock.write().map_err(text)?;
                cue.operate(|| {
                    guard.bump();
                    drop(guard);
                })?;
            }
            Op::WriteOrReset => drop(cue.operate(|| lock.write_or_reset(Pair::default))?),
        }
        Ok(String::new())
    }

    fn corpse(&self, cue: &Cue) -> Result<String, String> {
        let mut guard = self.table.lock.write().map_err(text)?;
        self.table.corpse_pid.store(std::process::id(), Ordering::Relaxed);
        guard.tear();
        cue.hold()?;
        Err("a corpse was not killed".to_owned())
    }

    fn write(&self) -> Result<(RwLockWriteGuard<'_, Pair>, String), String> {
        let lock = &self.table.lock;
        let (guard, report) = match lock.write() {
            Ok(guard) => (guard, INTACT.to_owned()),
            Err(LockError::OwnerDied { pid }) => (lock.write_or_reset(Pair::default), died(pid)),
            Err(error) => return Err(error.to_string()),
        };
        guard.check()?;
        Ok((guard, report))
    }

    /// A reader cannot repair: it is told of the death, and gets nothing.
    fn read(&self) -> Result<(Option<RwLockReadGuard<'_, Pair>>, String), String> {
        match self.table.lock.read() {
            Ok(guard) => {
                guard.check()?;
                Ok((Some(guard), INTACT.to_owned()))
            }
            Err(LockError::OwnerDied { pid }) => Ok((None, died(pid))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn holds(&self, has_holder: bool) -> Holds {
        let after = match self.op {
            Op::Write | Op::WriteOrReset => true,
            Op::TryWrite => !has_holder,
            _ => false,
        };
        Holds { before: self.op == Op::EndWrite, after }
    }
}

impl Scene for RwLockScene {
    fn views(&self) -> Vec<View> {
        vec![self.table.view()]
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => self.victim(cue),
            Role::Corpse => self.corpse(cue),
            Role::Sleeper | Role::Survivor | Role::Heir => {
                let (mut guard, report) = self.write()?;
                guard.bump();
                Ok(report)
            }
            Role::Holder => {
                let (mut guard, report) = self.write()?;
                cue.hold()?;
                guard.bump();
                Ok(report)
            }
            Role::Barger => {
                let (guard, report) = self.read()?;
                cue.hold()?;
                guard.map_or(Ok(()), |guard| guard.check())?;
                Ok(report)
            }
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let corpse = self.table.corpse_pid.load(Ordering::Relaxed);
        let has_holder = ending.said(Role::Holder).next().is_some();
        let others: &[u32] = if corpse == 0 { &[] } else { &[corpse] };
        pair::judge(ending, self.holds(has_holder), others)
    }
}
