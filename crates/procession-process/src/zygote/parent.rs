//! A zygote as its parent sees it: started when it is needed, asked for processes, and replaced when it has died.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::line::Line;
use super::protocol::{self, Environment, Order, Received, Refused, Reply, Request};
use super::server;
use crate::child::{Child, Record};
use crate::ending::Ending;
use crate::environment::Patch;
use crate::error::SpawnError;
use crate::grip::Grip;
use crate::image;
use crate::launcher::{Launcher, sealed_memory};
use crate::offices::Offices;
use crate::packet;
use crate::program::Program;
use crate::reaper::Watched;
use crate::standard;

/// Requests that may be lost in a row, with the zygotes that lost them.
const ATTEMPTS_MAX: u32 = 6;

/// How long a zygote whose sockets are closed may take to be seen dead. If it takes longer, another error is told.
const DYING: Duration = Duration::from_secs(1);

/// The zygotes of this process.
#[derive(Default)]
pub(crate) struct Zygotes(Mutex<BTreeMap<Kind, Arc<Zygote>>>);

/// What a zygote is of: those that are equal are one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) program: Option<Program>,
    /// The offset of its preload function.
    preload: Option<u64>,
}

impl Kind {
    pub(crate) fn new(program: Option<Program>, preload: Option<fn()>) -> Result<Self, SpawnError> {
        let preload = preload.map(|function| image::offset_of(function as usize)).transpose()?;
        Ok(Self { program, preload })
    }
}

/// A running zygote, or one of which nobody has noticed yet that it has died.
pub(crate) struct Zygote {
    process: Child,
    line: Arc<Line>,
    /// What it was started with.
    environment: BTreeMap<OsString, OsString>,
}

/// What the zygote has to know of a process; everything else is in its bootstrap message.
pub(crate) struct Birth {
    pub(crate) depth: u32,
    pub(crate) block_interrupt: bool,
    pub(crate) environment: Patch,
    /// This process's end of the bootstrap socket.
    pub(crate) ours: OwnedFd,
    /// The other one, in which the message lies.
    pub(crate) theirs: OwnedFd,
}

/// A process that has reported.
struct Born {
    id: u64,
    pid: u32,
    pidfd: OwnedFd,
    is_left: bool,
}

/// Why a request has no answer. Nothing of the process has run then, and nothing will.
enum Lost {
    /// The newborn or the zygote has died.
    Request,
    Zygote,
}

impl Zygotes {
    /// Has the zygote of this kind fork a process, with what `birth` makes of the zygote's environment.
    pub(crate) fn fork(
        &self,
        offices: &Offices,
        kind: &Kind,
        standard: &[Option<OwnedFd>; 3],
        mut birth: impl FnMut(&BTreeMap<OsString, OsString>) -> Result<Birth, SpawnError>,
        ending: Ending,
    ) -> Result<Child, SpawnError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let zygote = self.get(offices, kind)?;
            match zygote.fork(birth(&zygote.environment)?, standard)? {
                Ok(born) => return zygote.take_in(offices, born, ending),
                Err(Lost::Zygote) => self.remove(kind, &zygote),
                Err(Lost::Request) => {}
            }
            last = Some(zygote);
        }
        Err(last.map_or_else(out_of_reach, |zygote| zygote.why_lost()))
    }

    fn get(&self, offices: &Offices, kind: &Kind) -> Result<Arc<Zygote>, SpawnError> {
        // The lock is kept while a zygote is started: who else asks for it needs the same one.
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zygote) = running.get(kind)
            && !zygote.line.is_over()
        {
            return Ok(Arc::clone(zygote));
        }
        let started = Arc::new(Zygote::start(offices, kind)?);
        running.insert(kind.clone(), Arc::clone(&started));
        Ok(started)
    }

    /// Forgets a zygote that has died, unless another one has taken its place.
    fn remove(&self, kind: &Kind, dead: &Arc<Zygote>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(kind).is_some_and(|known| Arc::ptr_eq(known, dead)) {
            running.remove(kind);
        }
    }
}

fn out_of_reach() -> SpawnError {
    SpawnError::system("reach the zygote", io::ErrorKind::BrokenPipe)
}

impl Zygote {
    fn start(offices: &Offices, kind: &Kind) -> Result<Self, SpawnError> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| SpawnError::system("create the zygote's socket", error))?;
        let (reaper, line) = (offices.reaper()?, Arc::new(Line::new(ours)));
        let key = reaper.listen(&line)?;
        let (at_its_end, of_zygote) = (Arc::clone(&reaper), Arc::clone(&line));
        let on_exit = move |_| {
            of_zygote.end(&at_its_end);
            at_its_end.dismiss(key);
        };
        let environment = std::env::vars_os().collect();
        let launcher = Launcher::new(server::main).other_program(kind.program.clone());
        let launcher = launcher.payload(server::payload(kind.preload)?);
        let launched = launcher.fds(vec![theirs]).zygote().on_exit(on_exit).launch();
        let process = launched.inspect_err(|_| reaper.dismiss(key))?;
        Ok(Self { process, line, environment })
    }

    /// The outer error: there is no use in asking another zygote.
    fn fork(
        &self,
        birth: Birth,
        standard: &[Option<OwnedFd>; 3],
    ) -> Result<Result<Born, Lost>, SpawnError> {
        let Some(id) = self.line.expect() else { return Ok(Err(Lost::Zygote)) };
        let asked = self.ask(id, birth, standard);
        if !matches!(asked, Ok(Ok(_))) {
            self.line.forget(id);
        }
        if asked.is_err() {
            // It may have been forked, and only the zygote can kill it without hitting another. One that is gone takes it along.
            let _sent = protocol::send(self.line.control(), &Order::Kill { id }, &[]);
        }
        asked
    }

    fn ask(
        &self,
        id: u64,
        birth: Birth,
        standard: &[Option<OwnedFd>; 3],
    ) -> Result<Result<Born, Lost>, SpawnError> {
        let Birth { depth, block_interrupt, environment, ours, theirs } = birth;
        let (environment, memory) = pack(environment)?;
        let lent = lend(standard);
        let request = Request {
            id,
            parent: std::process::id(),
            depth,
            block_interrupt,
            standard: lent.map(|given| given.is_some()),
            environment,
        };
        let memory = memory.as_ref().map(AsFd::as_fd);
        let descriptors: Vec<BorrowedFd<'_>> =
            [theirs.as_fd()].into_iter().chain(lent.into_iter().flatten()).chain(memory).collect();
        match protocol::send(self.line.control(), &Order::Fork(request), &descriptors) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Ok(Err(Lost::Zygote)),
            Err(error) => return Err(SpawnError::system("ask the zygote", error)),
        }
        // From here on the socket ends when zygote and newborn do.
        drop(theirs);
        self.answer(id, &ours)
    }

    /// Waits for the newborn to report, for the zygote to refuse, or for either to die.
    fn answer(&self, id: u64, ours: &OwnedFd) -> Result<Result<Born, Lost>, SpawnError> {
        let hear = |error| SpawnError::system("hear from the zygote", error);
        loop {
            let zygote_ended = self.sleep(ours)?;
            match protocol::receive(ours).map_err(hear)? {
                Received::Message(Reply::Started { pid, is_left }, descriptors) => {
                    let pidfd = descriptors.into_iter().next();
                    let lost = || hear(io::Error::other("a pidfd was lost: no descriptor is left"));
                    let born = |pidfd| Ok(Born { id, pid, pidfd, is_left });
                    return pidfd.map(born).ok_or_else(lost);
                }
                Received::Message(Reply::Refused(why), _) => {
                    return Err(why.into_error(self.process.pid()));
                }
                Received::End => return Ok(Err(Lost::Request)),
                Received::Nothing if zygote_ended => return Ok(Err(Lost::Zygote)),
                Received::Nothing => {}
            }
        }
    }

    /// Sleeps until something has come; whether the zygote has died.
    fn sleep(&self, ours: &OwnedFd) -> Result<bool, SpawnError> {
        let Some(notice) = self.process.end_notice() else {
            return Err(Refused::Pidfd { errno: libc::ENOSYS }.into_error(self.process.pid()));
        };
        let mut both =
            [PollFd::new(ours, PollFlags::IN), PollFd::from_borrowed_fd(notice, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut both, None))
            .map_err(|error| SpawnError::system("wait for the zygote", error))?;
        Ok(!both[1].revents().is_empty())
    }

    fn take_in(&self, offices: &Offices, born: Born, ending: Ending) -> Result<Child, SpawnError> {
        let Born { id, pid, pidfd, is_left } = born;
        let reaper = offices.reaper()?;
        let grip = if is_left { Grip::Left(pidfd) } else { Grip::Pidfd(pidfd) };
        let record = Record::new(pid, offices.generation(), grip, ending);
        let record = reaper.enroll(record.of_zygote(&self.line, id));
        if is_left {
            self.line.enter_left(id, &record, &reaper)?;
        } else {
            self.line.enter(id, Watched::new(Arc::clone(&record)), &reaper);
        }
        Ok(Child::new(record))
    }

    /// What is told of requests that were lost again and again.
    fn why_lost(&self) -> SpawnError {
        let ended = |exit| SpawnError::ZygoteEnded {
            pid: self.process.pid(),
            exit,
            attempts: ATTEMPTS_MAX,
        };
        // Its sockets are closed a moment before the kernel says that it has ended.
        self.process.wait_timeout(DYING).map_or_else(out_of_reach, ended)
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// The standard descriptors of a process: those it was given, and this process's as far as they are open.
fn lend(given: &[Option<OwnedFd>; 3]) -> [Option<BorrowedFd<'_>>; 3] {
    let [stdin, stdout, stderr] = given;
    [(0, stdin), (1, stdout), (2, stderr)].map(|(number, given)| match given {
        Some(given) => Some(given.as_fd()),
        None => standard::borrow(number),
    })
}

/// The environment for the request, with its memory if it is long.
fn pack(environment: Patch) -> Result<(Environment, Option<OwnedFd>), SpawnError> {
    let copy = |error| SpawnError::system("copy the environment into shared memory", error);
    let bytes = postcard::to_stdvec(&environment).map_err(|error| copy(io::Error::other(error)))?;
    if bytes.len() <= packet::BYTES_MAX / 2 {
        return Ok((Environment::Here(environment), None));
    }
    let memory = sealed_memory(&bytes).map_err(copy)?;
    Ok((Environment::Memory { len_bytes: bytes.len() as u64 }, Some(memory)))
}
