//! The reaper of a family, as something that can be driven: a descriptor to poll and a turn to take.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::error::FamilyError;
use super::identity;
use super::roster::{Roster, Topic};
use super::session::Session;
use crate::quiet;

/// Deaths that come closer than this share one announcement.
///
/// The first one after a quiet time is announced at once, and those that follow it within this time together at its end.
/// Waiting first would make every recovery later by as much; this way only the crowd waits.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(1);

/// How many events one turn takes.
const EVENTS_PER_TURN: usize = 64;

/// The reaper of a family: watches every member and every open invitation, and tells the family who is gone.
///
/// A process that founds a family by its first use of it gets a small thread that drives the watcher. A program with a
/// thread of its own for such things calls [`found`](super::found) first and drives it itself: when
/// [`as_fd`](AsFd::as_fd) is readable, call [`turn`](Self::turn).
///
/// While nobody drives it, deaths go unseen, joining blocks, and everyone who waits for something a dead member held waits
/// for the second line ([`verify`](super::verify)). A watcher that is dropped is driven by a thread of its own from then
/// on, so that the family is never unwatched. In a process forked from the root it is inert.
///
/// ```
/// use std::os::fd::AsFd;
/// use procession_shm::family::{self, Watcher};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
///
/// let mut watcher: Watcher = family::found()?;
/// // In the loop of a thread of the program's own:
/// let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
/// if poll(&mut [PollFd::new(&watcher.as_fd(), PollFlags::IN)], Some(&at_once))? > 0 {
///     watcher.turn()?;
/// }
/// # assert!(family::me().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Watcher {
    roster: Arc<Roster>,
    timer: OwnedFd,
    announced: Option<Instant>,
    has_news: bool,
}

impl Watcher {
    pub(super) fn new(roster: Arc<Roster>) -> Result<Self, FamilyError> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|errno| FamilyError::from_errno("timerfd_create", errno))?;
        roster
            .watch(&timer, Topic::Timer)
            .map_err(|errno| FamilyError::from_errno("epoll_ctl", errno))?;
        Ok(Self { roster, timer, announced: None, has_news: false })
    }

    /// Does what there is to do, without ever blocking: lets in who joins, frees the slots of those who leave, marks who
    /// died and wakes the sleepers of the family.
    ///
    /// # Errors
    ///
    /// [`System`](FamilyError::System) when the kernel does not say what has happened. Nothing is lost by it, and the next
    /// turn asks again.
    ///
    /// ```
    /// use procession_shm::family;
    ///
    /// let mut watcher = family::found()?;
    /// watcher.turn()?;                                      // nobody has died or joined: there is nothing to do
    /// assert!(family::is_alive(family::me()?));
    /// # Ok::<(), family::FamilyError>(())
    /// ```
    pub fn turn(&mut self) -> Result<(), FamilyError> {
        if self.is_needed() { self.work() } else { Ok(()) }
    }

    pub(super) fn work(&mut self) -> Result<(), FamilyError> {
        let mut events = Vec::with_capacity(EVENTS_PER_TURN);
        let at_once = Some(&Timespec { tv_sec: 0, tv_nsec: 0 });
        match epoll::wait(self.roster.epoll(), spare_capacity(&mut events), at_once) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(FamilyError::from_errno("epoll_wait", errno)),
        }
        for topic in events.iter().filter_map(|event| Topic::decode(event.data)) {
            self.has_news |= self.take_up(topic)?;
        }
        self.announce_if_due()
    }

    /// Whether this process is the one whose family it watches: a forked copy must not take what is for the root.
    fn is_needed(&self) -> bool {
        identity::session().is_some_and(|session| session.drives(&self.roster))
    }

    /// Handles one event, and says whether somebody died.
    fn take_up(&self, topic: Topic) -> Result<bool, FamilyError> {
        match topic {
            Topic::Socket(member) => Ok(self.roster.hear(member)),
            Topic::Pidfd(member) => Ok(self.roster.has_ended(member)),
            Topic::Door => {
                self.roster.open_door();
                Ok(false)
            }
            Topic::Timer => {
                let mut expirations = [0; 8];
                match rustix::io::read(&self.timer, &mut expirations) {
                    Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(false),
                    Err(errno) => Err(FamilyError::from_errno("read(timerfd)", errno)),
                }
            }
        }
    }

    fn announce_if_due(&mut self) -> Result<(), FamilyError> {
        if !self.has_news {
            return Ok(());
        }
        let since = self.announced.map_or(ANNOUNCE_EVERY, |announced| announced.elapsed());
        match ANNOUNCE_EVERY.checked_sub(since).filter(|left| !left.is_zero()) {
            Some(left) => self.set_timer(left),
            None => {
                self.has_news = false;
                self.announced = Some(Instant::now());
                self.roster.table().announce();
                Ok(())
            }
        }
    }

    fn set_timer(&self, after: Duration) -> Result<(), FamilyError> {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let after = Timespec { tv_sec: 0, tv_nsec: i64::from(after.subsec_nanos()) };
        let time = Itimerspec { it_interval: once, it_value: after };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time)
            .map(drop)
            .map_err(|errno| FamilyError::from_errno("timerfd_settime", errno))
    }

    /// Drives the watcher for as long as the process lives.
    fn run(mut self) {
        let _panics_end_the_process = AbortOnPanic;
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.roster.epoll(), PollFlags::IN)];
            // Whatever either of the two failed with, there is nobody to tell and nothing better to do than to go on.
            let _ = poll(&mut fds, None);
            let _ = self.turn();
        }
    }
}

impl AsFd for Watcher {
    /// Readable when there is something to do in a [`turn`](Self::turn).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.roster.epoll()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.is_needed() {
            return;
        }
        let taken_over = Watcher::new(Arc::clone(&self.roster))
            .and_then(|watcher| start_thread()?.send(watcher).map_err(|_| THREAD_GONE));
        if taken_over.is_err() {
            // A family that nobody watches is one that hangs.
            std::process::abort();
        }
    }
}

const THREAD_GONE: FamilyError = FamilyError::Protocol { reason: "the reaper's thread is gone" };

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Starts the thread that drives the watcher it is sent. It ends when it is sent none.
fn start_thread() -> Result<mpsc::Sender<Watcher>, FamilyError> {
    let (sender, receiver) = mpsc::channel::<Watcher>();
    let work = move || {
        if let Ok(watcher) = receiver.recv() {
            watcher.run();
        }
    };
    quiet::spawn("procession-family", work).map_err(|error| FamilyError::System {
        operation: "starting the reaper's thread",
        reason: format!("{error}; allow more threads (`ulimit -u`, pids.max)"),
    })?;
    Ok(sender)
}

/// Founds a family with this process as its root, and gives out the watcher to be driven.
pub(super) fn found() -> Result<(&'static Session, Watcher), FamilyError> {
    let (roster, door) = Roster::found()?;
    let watcher = Watcher::new(Arc::clone(&roster))?;
    let session = Session::of_root(super::table::ROOT, roster, door);
    let session = identity::install(Box::new(session), None)?;
    Ok((session, watcher))
}

/// Founds a family whose watcher a thread of this crate drives.
pub(super) fn found_with_thread() -> Result<&'static Session, FamilyError> {
    let sender = start_thread()?;
    let (session, watcher) = found()?;
    sender.send(watcher).map_err(|_| THREAD_GONE)?;
    Ok(session)
}
