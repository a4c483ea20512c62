//! The thread that collects all children of this process.
//!
//! It sleeps in one epoll on the pidfds of all children, so that it costs nothing while none
//! ends. A child whose process has ended is reaped, its `on_exit` is called, and its waiters and the
//! task that awaits it are woken, in this order. A thread that waits for just this child does the same, and to be woken by this
//! one would take it half as long again as to be woken. If it waits without a deadline, the child is left to it (`leave`): this
//! thread would be woken only to find it reaped, mostly on another processor, and a process that exits sends for that processor
//! before it lets go of its own. Others sleep on the pidfd as well, and whoever is first reaps (`Record::reap`).
//!
//! The children of a zygote are its own. Where the kernel keeps the status of a process that was reaped, it reaps them, and they
//! are watched like all others. Elsewhere the zygote reaps them and tells how they ended, over a socket that lies in the same
//! epoll, and they are watched when it has died.
//!
//! A debugger that traces a child delays its reaping: the child is asked again every 20 ms until
//! the debugger has let go. Where pidfds are forbidden each child has a thread of its own.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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

/// When a child is asked again that has ended while somebody traces it: nothing will tell when it is let go. Less than a second.
const TRACED_AGAIN: Duration = Duration::from_millis(20);

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

impl Table {
    /// A number that no other has or had; never 0.
    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
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
        let record = self.enroll(Record::new(number, self.generation, grip, ending));
        match record.grip().end_notice() {
            Some(notice) => self.watch_enrolled(&record, notice)?,
            None => watch_number(pid, Watched::new(Arc::clone(&record)))?,
        }
        Ok(record)
    }

    /// Gives the record the key of a child that is about to be watched.
    pub(crate) fn enroll(&self, record: Record) -> Arc<Record> {
        Arc::new(record.of_reaper(self.table().next_key()))
    }

    /// Watches a child by what tells of its end. On failure the caller still has to end it.
    pub(crate) fn watch_enrolled(
        &self,
        record: &Arc<Record>,
        notice: BorrowedFd<'_>,
    ) -> Result<(), SpawnError> {
        self.watch_descriptor(record.key(), notice, Watched::new(Arc::clone(record)))
            .map_err(|(error, _)| SpawnError::system("watch the child", error))
    }

    /// Takes over a process that its zygote does not look after any more. It was killed, or has ended by itself.
    pub(crate) fn adopt(&self, watched: Watched) {
        let record = Arc::clone(&watched.record);
        let Some(notice) = record.grip().end_notice() else { return watched.finish(Exit::Unknown) };
        let key = self.table().next_key();
        if let Err((_, watched)) = self.watch_descriptor(key, notice, watched) {
            // No memory for one more. It ends soon, and somebody may be waiting for it.
            ends_within(notice, None);
            drop(watched.reap());
        }
    }

    /// Gives the process back if there is no room for it.
    fn watch_descriptor(
        &self,
        key: u64,
        notice: BorrowedFd<'_>,
        watched: Watched,
    ) -> Result<(), (Errno, Watched)> {
        // The lock is kept until the child is in the table: its end may be reported at once.
        let mut table = self.table();
        match self.add(key, notice, epoll::EventFlags::ONESHOT) {
            Ok(()) => {
                table.watched.insert(key, watched);
                Ok(())
            }
            Err(error) => Err((error, watched)),
        }
    }

    /// Leaves a child to the caller, who must [see it out](Watched::see_out): nobody else is sure to reap it. `None` if it is
    /// not this thread's to reap, or is being reaped already.
    pub(crate) fn leave(&self, key: u64) -> Option<Watched> {
        let watched = self.table().watched.remove(&key)?;
        if let Some(notice) = watched.grip().end_notice() {
            // An event that has come out of the epoll before, or comes because this fails, finds nothing in the table.
            let _removed = epoll::delete(&self.epoll, notice);
        }
        Some(watched)
    }

    /// Hears what a zygote has to tell until [`dismiss`](Self::dismiss) is called with the key, or the line is at its end.
    pub(crate) fn listen(&self, line: &Arc<Line>) -> Result<u64, SpawnError> {
        let mut table = self.table();
        let key = table.next_key();
        self.add(key, line.control(), epoll::EventFlags::empty())
            .map_err(|error| SpawnError::system("watch the zygote", error))?;
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
        key: u64,
        descriptor: BorrowedFd<'_>,
        flags: epoll::EventFlags,
    ) -> Result<(), Errno> {
        let flags = epoll::EventFlags::IN | flags;
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(key), flags)
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
            let again = (!traced.is_empty())
                .then(|| Timespec { tv_sec: 0, tv_nsec: TRACED_AGAIN.subsec_nanos().into() });
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

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn grip(&self) -> &Grip {
        self.record.grip()
    }

    /// Blocks until the process was reaped, by this call or another.
    pub(crate) fn see_out(self) {
        let mut waiting = Some(self);
        while let Some(watched) = waiting {
            // Where the kernel has no memory to sleep with, the process is asked now and then.
            let _ended = watched.grip().ends_within(None);
            waiting = watched.reap();
            if waiting.is_some() {
                thread::sleep(TRACED_AGAIN);
            }
        }
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
