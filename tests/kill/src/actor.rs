//! The processes of a scene: forks of the director that play one role and say how it went.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};

use procession_shm::family;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

use crate::marks;
use crate::scene::Scene;
use crate::tracer;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Is stepped through the operation and killed in it.
    Victim,
    /// Is killed before the operation begins, holding what it has said it holds.
    Corpse,
    /// Holds something, so that the others must wait, until the victim sleeps or is dead.
    Holder,
    /// Does what makes it sleep, and must get on after the death.
    Sleeper,
    /// Comes between kill point and death, and holds what it gets until after the death.
    Barger,
    /// Comes after the death.
    Survivor,
    /// Comes after the death, is stepped through what it does, and killed in it as well.
    Heir,
}

/// How far a process has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    Playing,
    /// It holds something and waits to be told to go on.
    Held,
    /// It has played its role, with this result.
    Done(Result<String, String>),
}

/// An actor's line to the director.
#[derive(Debug)]
pub(crate) struct Cue {
    line: UnixDatagram,
}

const HELD: u8 = b'h';
const GOOD: u8 = b'g';
const BAD: u8 = b'b';
const REPORT_LEN_MAX: usize = 512;

impl Cue {
    /// The victim's operation, which is stepped through.
    pub(crate) fn operate<R>(&self, operation: impl FnOnce() -> R) -> Result<R, String> {
        tracer::trace_me().map_err(|error| format!("cannot be traced: {error}"))?;
        marks::enter();
        let result = operation();
        marks::leave();
        Ok(result)
    }

    /// Tells the director that something is held, and waits until it may be given back.
    pub(crate) fn hold(&self) -> Result<(), String> {
        self.line.send(&[HELD]).map_err(|error| error.to_string())?;
        self.line.recv(&mut [0]).map(drop).map_err(|error| error.to_string())
    }

    fn report(&self, result: &Result<String, String>) -> io::Result<()> {
        let (kind, text) = match result {
            Ok(text) => (GOOD, text),
            Err(text) => (BAD, text),
        };
        let mut packet = vec![kind];
        packet.extend(text.bytes().take(REPORT_LEN_MAX - 1));
        self.line.send(&packet).map(drop)
    }
}

/// A process that plays a role, as the director knows it. It is killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    pid: Option<Pid>,
    line: UnixDatagram,
    progress: Progress,
}

impl Actor {
    /// Forks a process that plays `role` in `scene`. The director has one thread, so the fork is a whole copy of it.
    pub(crate) fn start(scene: &dyn Scene, role: Role) -> io::Result<Self> {
        let (ours, theirs) = UnixDatagram::pair()?;
        // SAFETY: this process has one thread, so the child may do whatever it could do.
        match unsafe { libc::fork() } {
            0 => play(scene, role, Cue { line: theirs }),
            child => {
                let pid = Pid::from_raw(child).ok_or_else(io::Error::last_os_error)?;
                ours.set_nonblocking(true)?;
                Ok(Self { role, pid: Some(pid), line: ours, progress: Progress::Playing })
            }
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.progress, Progress::Done(_))
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.pid.is_some_and(tracer::is_asleep)
    }

    /// The process, for somebody who kills and reaps it himself.
    pub(crate) fn take_pid(&mut self) -> Option<Pid> {
        self.pid.take()
    }

    pub(crate) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Reads what the process has said and whether it has ended. Does not block, but for a process that is just ending.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        let mut packet = [0; REPORT_LEN_MAX];
        match self.line.recv(&mut packet) {
            Ok(len) => self.take(&packet[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.look_for_end(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.look_for_end(),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, packet: &[u8]) -> io::Result<()> {
        match packet.split_first() {
            Some((&HELD, _)) => self.progress = Progress::Held,
            Some((&kind, text)) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.progress = Progress::Done(if kind == GOOD { Ok(text) } else { Err(text) });
                if let Some(pid) = self.pid.take() {
                    waitpid(Some(pid), WaitOptions::empty())?;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Victim and heir are waited for by their tracer.
    fn look_for_end(&mut self) -> io::Result<()> {
        let Some(pid) = self.pid.filter(|_| !matches!(self.role, Role::Victim | Role::Heir)) else {
            return Ok(());
        };
        if let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG)? {
            self.pid = None;
            self.progress = Progress::Done(Err(format!("ended without a word: {status:?}")));
            // Its last words may have come after the look at the line and before its end.
            let mut packet = [0; REPORT_LEN_MAX];
            if let Ok(len) = self.line.recv(&mut packet) {
                return self.take(&packet[..len]);
            }
        }
        Ok(())
    }

    /// Lets a process that holds something go on.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        self.progress = Progress::Playing;
        self.line.send(&[0]).map(drop)
    }
}

impl AsFd for Actor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            // It is a child that nobody else reaps; it cannot be gone.
            let killed = tracer::kill_and_reap(pid);
            debug_assert!(killed.is_ok(), "{killed:?}");
        }
    }
}

/// The whole life of an actor. It ends without running anything that belongs to the director it is a copy of.
fn play(scene: &dyn Scene, role: Role, cue: Cue) -> ! {
    let acted = catch_unwind(AssertUnwindSafe(|| act(scene, role, &cue)));
    let result = acted.unwrap_or_else(|_| Err("panicked".to_owned()));
    let status = i32::from(cue.report(&result).is_err());
    // SAFETY: it ends the process, and that is what is wanted.
    unsafe { libc::_exit(status) }
}

fn act(scene: &dyn Scene, role: Role, cue: &Cue) -> Result<String, String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| errno.to_string())?;
    if !scene.in_family() {
        return play_role(scene, role, cue);
    }
    family::rejoin_after_fork().map_err(|error| error.to_string())?;
    let report = play_role(scene, role, cue)?;
    // A clean leave wakes nobody: the only death that the others hear of is the victim's.
    // SAFETY: whoever has played its role uses nothing of the family any more: the process ends next.
    unsafe { family::leave() }.map_err(|error| error.to_string())?;
    Ok(report)
}

fn play_role(scene: &dyn Scene, role: Role, cue: &Cue) -> Result<String, String> {
    if role == Role::Heir { scene.inherit(cue) } else { scene.play(role, cue) }
}
