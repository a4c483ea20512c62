//! The actor's side: does one thing at a time, as told.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use backstage::holdings;
use backstage::packets::pair;
use procession_shm::family::{self, FamilyError, Invitation, Member, Watcher};
use procession_shm::{Deadline, Wake, Watch, wait};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::stage::{ACTOR, actor_command, receive, send};

const HANG: Duration = Duration::from_secs(60);

/// Serves the director until it hangs up.
pub(crate) fn act() {
    if std::env::var_os(ACTOR).is_none() {
        eprintln!("an actor without a director has nothing to do");
        return;
    }
    // SAFETY: no handler is installed; what this process starts is reaped by the kernel.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    serve(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
}

fn serve(mut control: OwnedFd) {
    let (mut kept, mut crowd, mut watchers) = (Vec::new(), Vec::new(), Vec::new());
    let mut ballast = Vec::new();
    loop {
        let (command, fds) = receive(&control);
        let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
        let (answer, fds) = match verb {
            "" => std::process::exit(0),
            "fork" => fork(&mut control),
            "spawn" => spawn(),
            "invite" => invite(),
            "keep" => text(family::invite().map(|invitation| kept.push(invitation))),
            "crowd" => gather(argument.parse().unwrap(), &mut crowd),
            "woken" => (woken(&mut crowd).to_string(), Vec::new()),
            "found" => text(family::found().map(|watcher| watchers.extend([watcher]))),
            "turns" => (turns(&mut watchers, argument.parse().unwrap()), Vec::new()),
            "rejoin_many" => (rejoin_many(&mut watchers[0], argument.parse().unwrap()), Vec::new()),
            "hand_over" => {
                watchers.clear();
                text(Ok(()))
            }
            "fill" => (fill(&mut kept), Vec::new()),
            "exhaust" => exhaust(&mut ballast),
            "relieve" => {
                ballast.clear();
                text(Ok(()))
            }
            "drop" => {
                kept.clear();
                text(Ok(()))
            }
            _ => (perform(verb, argument, fds), Vec::new()),
        };
        if !answer.is_empty() {
            send(&control, &answer, &fds);
        }
    }
}

fn perform(verb: &str, argument: &str, fds: Vec<OwnedFd>) -> String {
    let member = || argument.parse().ok().and_then(Member::from_bits).unwrap();
    match verb {
        "me" => bits(family::me()),
        "join" => bits(family::join(Invitation::from_fds(member(), fds.try_into().unwrap()))),
        "rejoin" => bits(family::rejoin_after_fork()),
        "attach" => text(family::attach(member(), fds[0].as_fd())).0,
        // SAFETY: an actor holds nothing, and nobody in its crowd waits any more when it is told to leave.
        "leave" => text(unsafe { family::leave() }).0,
        "check_root" => text(family::check_root()).0,
        "is_alive" => family::is_alive(member()).to_string(),
        "verify" => family::verify(member()).to_string(),
        "pid_of" => family::pid_of(member()).unwrap_or(0).to_string(),
        "epoch" => family::epoch().load(Ordering::SeqCst).to_string(),
        "await_death" => await_death(member()),
        "reuse" => reuse(argument.parse().unwrap()),
        "thread" => bits(std::thread::spawn(family::me).join().unwrap()),
        "descriptors" => holdings::descriptors().to_string(),
        "deny" => crate::denied::deny(argument),
        "raise_limit" => raise_limit(),
        "unshare_pids" => unshare_pids(),
        "doctor" => format!("{:?}", procession_shm::doctor().get(argument).unwrap().status),
        "exec" => panic!("{}", Command::new("sleep").arg("1000").exec()),
        other => panic!("no such command: {other}"),
    }
}

fn bits(result: Result<Member, FamilyError>) -> String {
    result.map_or_else(|error| format!("{error:?}"), |member| member.to_bits().to_string())
}

fn text(result: Result<(), FamilyError>) -> (String, Vec<OwnedFd>) {
    (result.map_or_else(|error| format!("{error:?}"), |()| "done".into()), Vec::new())
}

fn invite() -> (String, Vec<OwnedFd>) {
    match family::invite() {
        Ok(invitation) => {
            let (member, fds) = invitation.into_fds();
            (member.to_bits().to_string(), fds.into())
        }
        Err(error) => (format!("{error:?}"), Vec::new()),
    }
}

/// Starts another actor, which the director of this one directs too.
#[expect(clippy::zombie_processes, reason = "SIGCHLD is ignored, so the kernel reaps")]
fn spawn() -> (String, Vec<OwnedFd>) {
    let (control, theirs) = pair();
    let child = actor_command(theirs).spawn().unwrap();
    (child.id().to_string(), vec![control])
}

/// Children of this process count pids among themselves from here on; in its `/proc`, which they see too, they count otherwise.
fn unshare_pids() -> String {
    // SAFETY: the call takes no pointer. Of this process it changes what its children are, and nothing else.
    match unsafe { libc::unshare(libc::CLONE_NEWPID) } {
        0 => "done".into(),
        _ => std::io::Error::last_os_error().to_string(),
    }
}

/// Forks this process. The copy serves over a socket of its own.
fn fork(control: &mut OwnedFd) -> (String, Vec<OwnedFd>) {
    let (directors, copys) = pair();
    // SAFETY: the copy goes on with this thread alone, which uses nothing but its own state and the allocator, which
    // glibc makes safe to use after a fork.
    match unsafe { libc::fork() } {
        0 => {
            *control = copys;
            (String::new(), Vec::new())
        }
        pid => (pid.to_string(), vec![directors]),
    }
}

/// Sleeps on the epoch as everybody does who waits for something that a member owns.
fn await_death(member: Member) -> String {
    let word = AtomicU32::new(0);
    let deadline = Deadline::after(HANG);
    loop {
        let epoch = family::epoch().load(Ordering::Acquire);
        if !family::is_alive(member) && epoch != 0 {
            return epoch.to_string();
        }
        let watches = [Watch::private(&word, 0), Watch::shared(family::epoch(), epoch)];
        if wait(&watches, &deadline) == Wake::TimedOut {
            return "nobody told".into();
        }
    }
}

/// Invites and withdraws until the slot comes back, and answers with its next holder.
fn reuse(slot: u16) -> String {
    loop {
        match family::invite() {
            Ok(invitation) if invitation.member().slot() == slot => {
                return invitation.member().to_bits().to_string();
            }
            // The watcher frees what is dropped here only when it gets to run.
            Ok(_) | Err(FamilyError::Full { .. }) => {}
            Err(error) => return format!("{error:?}"),
        }
    }
}

/// Drives the watcher until it has had something to do so many times.
fn turns(watchers: &mut [Watcher], count: usize) -> String {
    for _ in 0..count {
        poll(&mut [PollFd::new(&watchers[0], PollFlags::IN)], None).unwrap();
        watchers[0].turn().unwrap();
    }
    "done".into()
}

/// Forks so many copies, which all want to be let in before the watcher has its first turn: how many were.
fn rejoin_many(watcher: &mut Watcher, count: usize) -> String {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for _ in 0..count {
        // SAFETY: as in `fork`; the copy ends without running anything of the harness.
        if unsafe { libc::fork() } == 0 {
            let is_let_in = family::rejoin_after_fork().is_ok();
            let told = (&theirs).write_all(&[u8::from(is_let_in)]);
            // SAFETY: ends this process and nothing else.
            unsafe { libc::_exit(i32::from(told.is_err())) };
        }
    }
    drop(theirs);
    let mut told = Vec::new();
    while told.len() < count {
        let mut fds = [PollFd::new(&ours, PollFlags::IN), PollFd::new(watcher, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        let has_news = !fds[0].revents().is_empty();
        watcher.turn().unwrap();
        let mut some = [0; 64];
        let len = if has_news { (&ours).read(&mut some).unwrap() } else { continue };
        assert!(len > 0, "a copy has ended without a word");
        told.extend_from_slice(&some[..len]);
    }
    told.iter().filter(|&&is_let_in| is_let_in == 1).count().to_string()
}

/// Invites until that is refused: how often, and why it was.
fn fill(kept: &mut Vec<Invitation>) -> String {
    let before = kept.len();
    loop {
        match family::invite() {
            Ok(invitation) => kept.push(invitation),
            Err(error) => return format!("{} {error:?}", kept.len() - before),
        }
    }
}

/// Lets this process have as many descriptors as it may, and answers with how many these are.
fn raise_limit() -> String {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.map_or(u64::MAX, |limit| limit).to_string()
}

/// Takes all the descriptors that this process can have.
fn exhaust(ballast: &mut Vec<OwnedFd>) -> (String, Vec<OwnedFd>) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(128);
    setrlimit(Resource::Nofile, limit).unwrap();
    while let Ok(fd) = std::io::stdin().as_fd().try_clone_to_owned() {
        ballast.push(fd);
    }
    text(Ok(()))
}

/// Adds so many threads to the crowd, which all sleep on a word of their own and on the epoch; returns when each of them has
/// at least read the epoch that it sleeps on.
fn gather(count: usize, crowd: &mut Vec<JoinHandle<bool>>) -> (String, Vec<OwnedFd>) {
    let ready = Arc::new(Barrier::new(count + 1));
    for _ in 0..count {
        let ready = Arc::clone(&ready);
        let sleeper = std::thread::Builder::new().stack_size(32 << 10).spawn(move || {
            let epoch = family::epoch().load(Ordering::Acquire);
            ready.wait();
            sleep_through(epoch)
        });
        crowd.push(sleeper.unwrap());
    }
    ready.wait();
    text(Ok(()))
}

fn sleep_through(epoch: u32) -> bool {
    let (word, deadline) = (AtomicU32::new(0), Deadline::after(HANG));
    while family::epoch().load(Ordering::Acquire) == epoch {
        let watches = [Watch::shared(&word, 0), Watch::shared(family::epoch(), epoch)];
        if wait(&watches, &deadline) == Wake::TimedOut {
            return false;
        }
    }
    true
}

/// How many of the crowd were woken; blocks until all are done.
fn woken(crowd: &mut Vec<JoinHandle<bool>>) -> usize {
    crowd.drain(..).map(|thread| thread.join().unwrap()).filter(|&woken| woken).count()
}
