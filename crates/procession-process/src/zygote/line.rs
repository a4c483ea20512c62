//! The parent's end of a zygote's control socket, and the processes that come and go over it.
//!
//! | ward | meaning | next |
//! |---|---|---|
//! | `Asked` | a request for it is under way | `Living`, `Ended`, `Left`, none |
//! | `Ended` | it has ended, and who asked for it has not heard of its start yet | none: the reaper tells |
//! | `Living` | it runs, for all that is known | none: a notice came, or the zygote has died |
//! | `Left` | it runs, for all that is known, and no notice will come | none: it was reaped, or the zygote has died |
//!
//! Requests are sent by any thread. Notices are received by the reaper, and by a thread that waits for a process which is known to
//! have ended: it has them sooner.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use super::protocol::{self, Notice, Received};
use crate::child::Record;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::reaper::{Reaper, Watched};

/// So that a zygote whose children end by the thousands does not keep the reaper from its other work.
const NOTICES_PER_TURN: usize = 64;

pub(crate) struct Line {
    control: OwnedFd,
    wards: Mutex<Wards>,
}

#[derive(Default)]
struct Wards {
    /// Whether the zygote has died.
    is_over: bool,
    last_id: u64,
    known: HashMap<u64, Ward>,
}

enum Ward {
    Asked,
    Ended(Exit),
    Living(Watched),
    /// The reaper watches it.
    Left(Arc<Record>),
}

impl Line {
    pub(super) fn new(control: OwnedFd) -> Self {
        Self { control, wards: Mutex::default() }
    }

    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.wards().is_over
    }

    /// A number for a process that is about to be asked for, to be followed by [`enter`](Self::enter) or
    /// [`forget`](Self::forget); `None` once the zygote has died.
    pub(super) fn expect(&self) -> Option<u64> {
        let mut wards = self.wards();
        if wards.is_over {
            return None;
        }
        wards.last_id += 1;
        let id = wards.last_id;
        wards.known.insert(id, Ward::Asked);
        Some(id)
    }

    /// The process was not started, or was reaped.
    pub(crate) fn forget(&self, id: u64) {
        self.wards().known.remove(&id);
    }

    /// The process was started. It may have ended meanwhile, and so may the zygote.
    pub(super) fn enter(&self, id: u64, watched: Watched, reaper: &Reaper) {
        let mut wards = self.wards();
        match wards.known.remove(&id) {
            Some(Ward::Ended(exit)) => {
                drop(wards);
                reaper.adopt(watched.told(exit));
            }
            _ if wards.is_over => {
                drop(wards);
                orphan(watched, reaper);
            }
            _ => {
                wards.known.insert(id, Ward::Living(watched));
            }
        }
    }

    /// The process was started, and is left to the kernel and the reaper; [`forget`](Self::forget) is called when it has ended. The
    /// zygote may have ended meanwhile.
    pub(super) fn enter_left(
        &self,
        id: u64,
        record: &Arc<Record>,
        reaper: &Reaper,
    ) -> Result<(), SpawnError> {
        let mut wards = self.wards();
        wards.known.insert(id, Ward::Left(Arc::clone(record)));
        let is_over = wards.is_over;
        drop(wards);
        let Some(notice) = record.grip().end_notice() else { return Ok(()) };
        let watched = reaper.watch_enrolled(record, notice).inspect_err(|_| self.forget(id));
        if is_over || watched.is_err() {
            kill(record);
        }
        watched
    }

    /// Whether there is something to [`hear`](Self::hear). Does not block.
    pub(crate) fn has_news(&self) -> bool {
        let mut news = [PollFd::new(&self.control, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An error is no news: whoever asks asks again, or sleeps until the reaper has heard.
        poll(&mut news, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Takes up the notices that have come; whether there may be more some day.
    pub(crate) fn hear(&self) -> bool {
        for _ in 0..NOTICES_PER_TURN {
            match self.hear_one() {
                Ok(Received::Message((), _)) => {}
                Ok(Received::Nothing) => return true,
                Ok(Received::End) => return false,
                Err(_) => {
                    // No zygote of ours, or one whose notices are lost: it leaves at the end of its socket, and its death
                    // tells of all of its children. The call fails only if it has done so.
                    let _closed = shutdown(&self.control, Shutdown::Both);
                    return false;
                }
            }
        }
        true
    }

    /// The lock is kept from the receipt of a notice until it is noted: `end` finds none that is in somebody's hands.
    fn hear_one(&self) -> io::Result<Received<()>> {
        let mut wards = self.wards();
        let Notice { id, exit } = match protocol::receive(&self.control)? {
            Received::Message(notice, _) => notice,
            Received::Nothing => return Ok(Received::Nothing),
            Received::End => return Ok(Received::End),
        };
        let ended = wards.note(id, exit);
        drop(wards);
        if let Some(watched) = ended {
            watched.finish(exit);
        }
        Ok(Received::Message((), Vec::new()))
    }

    /// The zygote has died, and the kernel has killed its children. Called by the reaper.
    pub(super) fn end(&self, reaper: &Reaper) {
        // Its last words are all there.
        while let Ok(Received::Message((), _)) = self.hear_one() {}
        let left_behind = self.wards().close();
        for ward in left_behind {
            match ward {
                Ward::Living(watched) => orphan(watched, reaper),
                Ward::Left(record) => kill(&record),
                Ward::Asked | Ward::Ended(_) => {}
            }
        }
    }

    fn wards(&self) -> MutexGuard<'_, Wards> {
        // Nothing panics while the lock is held.
        self.wards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wards {
    /// Notes that a process has ended; the process, if that is to be told now.
    fn note(&mut self, id: u64, exit: Exit) -> Option<Watched> {
        match self.known.remove(&id) {
            Some(Ward::Living(watched)) => Some(watched),
            Some(Ward::Asked | Ward::Ended(_)) => {
                self.known.insert(id, Ward::Ended(exit));
                None
            }
            // Who asked for it has given it up; and the end of one that is left to the kernel is no news.
            None | Some(Ward::Left(_)) => None,
        }
    }

    /// From here on there is no zygote; the processes that it leaves behind.
    fn close(&mut self) -> Vec<Ward> {
        self.is_over = true;
        let runs = |ward: &Ward| matches!(ward, Ward::Living(_) | Ward::Left(_));
        self.known.extract_if(|_, ward| runs(ward)).map(|(_, ward)| ward).collect()
    }
}

/// Nobody tells any more how this process ends. One that has taken back its parent-death signal still runs.
fn orphan(watched: Watched, reaper: &Reaper) {
    kill(watched.record());
    reaper.adopt(watched);
}

fn kill(record: &Record) {
    // What cannot be killed has ended, or has another user by now.
    let _killed = record.grip().signal(libc::SIGKILL);
}
