//! The zygote itself: one thread that forks when it is told to, and tells how the children end where the kernel does not.
//!
//! All signals are blocked while it serves, so that Ctrl-C and a hangup are for the program and its children to decide about:
//! a zygote that died of them would take its children along. It is asked for nothing between its requests, and its only ways
//! to end are SIGKILL (that of the kernel at its parent's death among them) and the end of its socket.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use procession_shm::fork;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, pidfd_open, pidfd_send_signal,
    wait, waitid,
};

use super::newborn::Newborn;
use super::protocol::{self, Notice, Order, Received, Refused, Reply, Request};
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::failure::shorten;
use crate::grip::statuses_are_kept;
use crate::image;
use crate::launcher::Start;
use crate::overflow;
use crate::panics;
use crate::refusal::Refusal;
use crate::standard::{block_signals, open_standard_descriptors, set_handler, signal_set};
use crate::threads;

/// The least number of children at which it is looked which of them live.
const CHILDREN_MIN: usize = 64;

/// How many bytes of a preload function's panic message travel.
const MESSAGE_LEN_MAX: usize = 4096;

/// What [`main`] is told: the offset of the preload function, if there is one.
pub(super) fn payload(preload: Option<u64>) -> Result<Vec<u8>, SpawnError> {
    postcard::to_stdvec(&preload)
        .map_err(|error| SpawnError::system("write to the zygote", io::Error::other(error)))
}

/// The main function of a zygote, called on the main thread. In the processes that it forks it goes on as theirs.
pub(super) fn main(start: Start) {
    match Server::open(start) {
        Ok(server) => server.run().live(),
        Err(error) => Refusal::system("prepare the zygote")(error).exit(),
    }
}

struct Server {
    control: OwnedFd,
    /// Readable when a child has ended; `None` if that is left to the kernel.
    ends: Option<OwnedFd>,
    preloaded: Result<(), Refused>,
    /// The requests whose processes live, by pid, and others that have ended.
    children: HashMap<i32, u64>,
    /// How many there may be before it is looked which of them live.
    children_max: usize,
}

impl Server {
    fn open(start: Start) -> io::Result<Self> {
        let control = start.fds.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
        let preload = postcard::from_bytes(&start.payload).map_err(io::Error::other)?;
        let preloaded = run_preload(preload)?;
        // The function may have closed some, and what comes with a request must not have their numbers.
        open_standard_descriptors()?;
        block_signals();
        // Two mappings less for each child to make.
        overflow::use_own_signal_stack()?;
        let is_left = statuses_are_kept();
        // Whatever the function made of it. Children whose end is ignored are reaped by the kernel.
        set_handler(libc::SIGCHLD, if is_left { libc::SIG_IGN } else { libc::SIG_DFL }, 0)?;
        let ends = if is_left { None } else { Some(open_ends()?) };
        let (children, children_max) = (HashMap::new(), CHILDREN_MIN);
        Ok(Self { control, ends, preloaded, children, children_max })
    }

    /// Serves until the parent is gone. Returns in the processes that were forked, and only there.
    fn run(mut self) -> Newborn {
        loop {
            let (is_asked, has_ended) = self.sleep();
            if has_ended && let Some(ends) = &self.ends {
                let mut signals = [0; size_of::<libc::signalfd_siginfo>()];
                // It only says that there is something to reap, once for any number of children.
                let _read = rustix::io::read(ends, &mut signals);
                self.reap();
            }
            if is_asked && let Some(newborn) = self.serve() {
                return newborn;
            }
        }
    }

    fn sleep(&self) -> (bool, bool) {
        let ends = self.ends.as_ref().unwrap_or(&self.control);
        let mut both =
            [PollFd::new(&self.control, PollFlags::IN), PollFd::new(ends, PollFlags::IN)];
        match poll(&mut both, None) {
            Ok(_) => (!both[0].revents().is_empty(), !both[1].revents().is_empty()),
            // Only a lack of kernel memory is left; the next poll may go better.
            Err(_) => (false, false),
        }
    }

    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let exit = Exit::from_wait_status(status.as_raw());
                    self.tell(pid.as_raw_nonzero().get(), exit);
                }
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn tell(&mut self, pid: i32, exit: Exit) {
        // The preload function may have left children of its own behind.
        let Some(id) = self.children.remove(&pid) else { return };
        if protocol::send(&self.control, &Notice { id, exit }, &[]).is_err() {
            leave();
        }
    }

    /// Takes up a request; a newborn in the process that was forked.
    fn serve(&mut self) -> Option<Newborn> {
        match protocol::receive(&self.control) {
            Ok(Received::Message(Order::Fork(request), descriptors)) => {
                self.answer(request, descriptors)
            }
            Ok(Received::Message(Order::Kill { id }, _)) => {
                self.kill(id);
                None
            }
            Ok(Received::Nothing) => None,
            Ok(Received::End) | Err(_) => leave(),
        }
    }

    /// Kills a child. Its number may be another process's by now, but no other child's: that would have taken its place in the table.
    fn kill(&self, wanted: u64) {
        let found = self.children.iter().find(|(_, id)| **id == wanted);
        if let Some(pid) = found.and_then(|(pid, _)| Pid::from_raw(*pid))
            && let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
            && is_child(WaitId::PidFd(pidfd.as_fd()))
        {
            // It fails only for a child that has taken on the rights of another user.
            let _killed = pidfd_send_signal(&pidfd, Signal::KILL);
        }
    }

    fn note(&mut self, pid: i32, id: u64) {
        if self.children.len() >= self.children_max {
            let lives = |pid: i32| Pid::from_raw(pid).is_some_and(|pid| is_child(WaitId::Pid(pid)));
            self.children.retain(|pid, _| lives(*pid));
            self.children_max = (2 * self.children.len()).max(CHILDREN_MIN);
        }
        self.children.insert(pid, id);
    }

    fn answer(&mut self, request: Request, mut descriptors: Vec<OwnedFd>) -> Option<Newborn> {
        if descriptors.is_empty() {
            // Its socket was lost on the way, and with its last copy closed whoever asked knows that.
            return None;
        }
        let socket = descriptors.remove(0);
        let (id, zygote) = (request.id, std::process::id());
        match self.fork() {
            Ok(None) => {
                let is_left = self.ends.is_none();
                return Some(Newborn { zygote, is_left, request, socket, descriptors });
            }
            Ok(Some(pid)) => self.note(pid, id),
            Err(why) => refuse(&socket, why),
        }
        None
    }

    /// The number of the child, in the zygote.
    fn fork(&self) -> Result<Option<i32>, Refused> {
        self.preloaded.clone()?;
        let look =
            |error: io::Error| Refused::Look { errno: error.raw_os_error().unwrap_or_default() };
        let count = threads::count().map_err(look)? as u64;
        if count != 1 {
            return Err(Refused::Threads { count });
        }
        // SAFETY: this process has one thread, so that no lock is held in the copy and nothing is half done.
        match unsafe { libc::fork() } {
            0 => Ok(None),
            pid if pid > 0 => Ok(Some(pid)),
            _ => Err(Refused::Fork {
                errno: io::Error::last_os_error().raw_os_error().unwrap_or_default(),
            }),
        }
    }
}

/// Whether this is a child that was not reaped.
fn is_child(id: WaitId<'_>) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(id, look).is_ok()
}

/// Tells whoever asked. The packet is the first on its socket, so that there is room for it.
fn refuse(socket: &OwnedFd, why: Refused) {
    // Who asked may have died, which ends this process, too.
    let _sent = protocol::send(socket, &Reply::Refused(why), &[]);
}

/// Runs the function at this offset. What it has printed is flushed: it would be printed by each child again.
fn run_preload(offset: Option<u64>) -> io::Result<Result<(), Refused>> {
    let Some(offset) = offset else { return Ok(Ok(())) };
    let address = image::address_of(offset).ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: the offset is that of a `fn()`, written by `Zygotes::fork` in a process that runs the same image.
    let preload = unsafe { std::mem::transmute::<usize, fn()>(address) };
    fork::set_template(true);
    let done = panics::catch(preload);
    io::stdout().flush()?;
    // SAFETY: null stands for all streams.
    if unsafe { libc::fflush(std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(done.map_err(|(mut message, _, _)| {
        shorten(&mut message, MESSAGE_LEN_MAX);
        Refused::Preload { message }
    }))
}

fn open_ends() -> io::Result<OwnedFd> {
    let signals = signal_set(&[libc::SIGCHLD]);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is initialised.
    let number = unsafe { libc::signalfd(-1, &raw const signals, flags) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: made by the call above, and known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The parent is gone. Exit handlers of the preload function are for the processes that run something.
fn leave() -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) }
}
