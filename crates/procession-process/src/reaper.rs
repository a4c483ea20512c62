//! The thread that collects all children of this process.
//!
//! It sleeps in one epoll on the pidfds of all children, so that it costs nothing while none
//! ends. A child whose process has ended is reaped, its `on_exit` is called, and its waiters and the
//! task that awaits it are woken, in this order.
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
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::grip::Grip;
use crate::launcher::OnExit;
use crate::offices;

pub(crate) struct Reaper {
    generation: u64,
    epoll: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_key: u64,
    watched: HashMap<u64, Watched>,
}

struct Watched {
    record: Arc<Record>,
    on_exit: Option<OnExit>,
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
        on_exit: Option<OnExit>,
    ) -> Result<Arc<Record>, SpawnError> {
        let number = pid.as_raw_nonzero().get().cast_unsigned();
        let record = Arc::new(Record::new(number, self.generation, grip));
        let watched = Watched { record: Arc::clone(&record), on_exit };
        match record.grip().end_notice() {
            Some(notice) => self.watch_descriptor(notice, watched)?,
            None => watch_number(pid, watched)?,
        }
        Ok(record)
    }

    fn watch_descriptor(&self, notice: BorrowedFd<'_>, watched: Watched) -> Result<(), SpawnError> {
        let mut table = self.table();
        table.last_key += 1;
        let key = table.last_key;
        // The lock is kept until the child is in the table: its end may be reported at once.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(&self.epoll, notice, epoll::EventData::new_u64(key), flags)
            .map_err(|error| SpawnError::system("watch the child", error))?;
        table.watched.insert(key, watched);
        Ok(())
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
            let ended = events.iter().filter_map(|event| self.forget(event.data.u64()));
            let due: Vec<Watched> = traced.drain(..).chain(ended).collect();
            traced.extend(due.into_iter().filter_map(Watched::reap));
        }
    }

    /// The child of this key; the one-shot event does not report it again.
    fn forget(&self, key: u64) -> Option<Watched> {
        self.table().watched.remove(&key)
    }
}

impl Watched {
    /// Gives itself back if the process cannot be reaped yet.
    fn reap(self) -> Option<Self> {
        match self.record.grip().reap() {
            Some(exit) => {
                self.finish(exit);
                None
            }
            None => Some(self),
        }
    }

    fn finish(self, exit: Exit) {
        if let Some(on_exit) = self.on_exit {
            on_exit(exit);
        }
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
