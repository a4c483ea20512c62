//! The thread that collects all children of this process.
//!
//! It sleeps in one epoll on the pidfds of all children, so that it costs nothing while none
//! ends. A child whose process has ended is reaped, its `on_exit` is called, and its waiters and the
//! task that awaits it are woken, in this order. A thread that waits for just this child sleeps on the pidfd, too, and does
//! the same if it is the first (`Record::reap`): to be woken by this thread would take it half as long again as to be woken.
//!
//! The children of a zygote are its own to reap: it tells how they ended, over a socket that lies in the same epoll. Only when
//! the zygote has died are they watched like all others.
//!
//! A debugger that traces a child delays its reaping: the child is asked again every 20 ms until
//! the debugger has let go. Where pidfds are forbidden each child has a thread of its own.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::child::Record;
use crate::ending::Ending;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::grip::{Grip, ends_within};
use crate::offices;
use crate::zygote::Line;

pub(crate) struct Reaper {
    generation: u64,
    epoll: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_key: u64,
    watched: HashMap<u64, Watched>,
    zygotes: HashMap<u64, Arc<Line>>,
}

/// A process, and whom its end concerns.
pub(crate) struct Watched {
    record: Arc<Record>,
    /// How it ended, if a zygote has told before it was known.
    told: Option<Exit>,
}

impl Reaper {
    pub(crate) fn new(generation: u64) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { generation, epoll, table: Mutex::default() })
    }

    /// Takes over a child. On failure the caller still has to end it.
    pub(crate) fn watch(
        &self,
        pid: Pid,
        grip: Grip,
        ending: Ending,
    ) -> Result<Arc<Record>, SpawnError> {
        let number = pid.as_raw_nonzero().get().cast_unsigned();
        let record = Arc::new(Record::new(number, self.generation, grip, ending));
        let watched = Watched::new(Arc::clone(&record));
        match record.grip().end_notice() {
            Some(notice) => self
                .watch_descriptor(notice, watched)
                .map_err(|(error, _)| SpawnError::system("watch the child", error))?,
            None => watch_number(pid, watched)?,
        }
        Ok(record)
    }

    /// Takes over a process that its zygote does not look after any more. It was killed, or has ended by itself.
    pub(crate) fn adopt(&self, watched: Watched) {
        let record = Arc::clone(&watched.record);
        let Some(notice) = record.grip().end_notice() else { return watched.finish(Exit::Unknown) };
        if let Err((_, watched)) = self.watch_descriptor(notice, watched) {
            // No memory for one more. It ends soon, and somebody may be waiting for it.
            ends_within(notice, None);
            drop(watched.reap());
        }
    }

    /// Gives the process back if there is no room for it.
    fn watch_descriptor(
        &self,
        notice: BorrowedFd<'_>,
        watched: Watched,
    ) -> Result<(), (Errno, Watched)> {
        // The lock is kept until the child is in the table: its end may be reported at once.
        let mut table = self.table();
        match self.add(&mut table, notice, epoll::EventFlags::ONESHOT) {
            Ok(key) => {
                table.watched.insert(key, watched);
                Ok(())
            }
            Err(error) => Err((error, watched)),
        }
    }

    /// Hears what a zygote has to tell until [`dismiss`](Self::dismiss) is called with the key, or the line is at its end.
    pub(crate) fn listen(&self, line: &Arc<Line>) -> Result<u64, SpawnError> {
        let mut table = self.table();
        let added = self.add(&mut table, line.control(), epoll::EventFlags::empty());
        let key = added.map_err(|error| SpawnError::system("watch the zygote", error))?;
        table.zygotes.insert(key, Arc::clone(line));
        Ok(key)
    }

    /// Stops listening to a zygote.
    pub(crate) fn dismiss(&self, key: u64) {
        let line = self.table().zygotes.remove(&key);
        if let Some(line) = line {
            let removed = epoll::delete(&self.epoll, line.control());
            debug_assert!(removed.is_ok(), "what is in the table is in the epoll");
        }
    }

    fn add(
        &self,
        table: &mut Table,
        descriptor: BorrowedFd<'_>,
        flags: epoll::EventFlags,
    ) -> Result<u64, Errno> {
        table.last_key += 1;
        let (key, flags) = (table.last_key, epoll::EventFlags::IN | flags);
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(key), flags).map(|()| key)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the lock is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps for the life of the process.
    pub(crate) fn work(&self) {
        let mut events = Vec::with_capacity(64);
        let mut traced = Vec::new();
        loop {
            events.clear();
            // Somebody traces a child that has ended: nothing will tell when it lets go.
            let again = (!traced.is_empty()).then_some(Timespec { tv_sec: 0, tv_nsec: 20_000_000 });
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, again.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("epoll_wait on our own descriptors failed: {error}"),
            }
            let ended = events.iter().filter_map(|event| self.take_up(event.data.u64()));
            let due: Vec<Watched> = traced.drain(..).chain(ended).collect();
            traced.extend(due.into_iter().filter_map(Watched::reap));
        }
    }

    /// Takes up an event; the process that has ended, if it tells of one, which the one-shot event does not report again.
    fn take_up(&self, key: u64) -> Option<Watched> {
        let mut table = self.table();
        let Some(line) = table.zygotes.get(&key).cloned() else {
            return table.watched.remove(&key);
        };
        drop(table);
        if !line.hear() {
            self.dismiss(key);
        }
        None
    }
}

impl Watched {
    pub(crate) fn new(record: Arc<Record>) -> Self {
        Self { record, told: None }
    }

    /// The same, of which is known how it ended.
    pub(crate) fn told(self, exit: Exit) -> Self {
        Self { told: Some(exit), ..self }
    }

    pub(crate) fn grip(&self) -> &Grip {
        self.record.grip()
    }

    /// Gives itself back if the process cannot be reaped yet.
    fn reap(self) -> Option<Self> {
        match self.told {
            Some(exit) => self.finish(exit),
            None if self.record.reap() => {}
            None => return Some(self),
        }
        None
    }

    /// Tells all whom the end of the process concerns.
    pub(crate) fn finish(self, exit: Exit) {
        self.record.finish(exit);
    }
}

/// Without pidfds: a thread that sleeps until the child has ended, leaves it unreaped, and then
/// reaps it under the lock that keeps signals from its number (see `Grip::Number`).
fn watch_number(pid: Pid, watched: Watched) -> Result<(), SpawnError> {
    offices::start("procession-reap", move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let mut waiting = Some(watched);
        while let Some(watched) = waiting {
            // An error means that somebody else was faster, which `reap` finds out too.
            let _ended = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            waiting = watched.reap();
        }
    })
}
