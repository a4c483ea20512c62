//! The director's side: starting actors, telling them what to do, and making sure that none is left.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::str::FromStr;

use backstage::packets::{self, pair};
use procession_shm::family::{Invitation, MEMBERS_MAX, Member};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use rustix::time::Timespec;

/// Set for actors only.
pub(crate) const ACTOR: &str = "PROCESSION_TEST_ACTOR";

/// How long anything may take before a test says that it hangs.
const HANG: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

pub(crate) fn send(socket: &OwnedFd, text: &str, fds: &[OwnedFd]) {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    packets::send(socket, text.as_bytes(), &fds);
}

/// The next packet, or an empty text at the end.
pub(crate) fn receive(socket: &OwnedFd) -> (String, Vec<OwnedFd>) {
    let (bytes, fds) = packets::receive(socket);
    (String::from_utf8(bytes).unwrap(), fds)
}

/// The command that starts an actor which is directed over `stdin`.
pub(crate) fn actor_command(stdin: OwnedFd) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["actor", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ACTOR, "1").stdin(stdin).stdout(Stdio::null());
    command
}

/// Whether an actor can have the descriptors of a full family; says loudly if it cannot.
pub(crate) fn has_room_for_a_full_family(root: &Actor, test: &str) -> bool {
    let (per_invitation, elsewhere) = (4, 64);
    let needed = per_invitation * u64::from(MEMBERS_MAX) + elsewhere;
    let has: u64 = root.number("raise_limit");
    if has < needed {
        skips::skipped(
            test,
            &format!("it needs {needed} descriptors, and the hard limit is {has}"),
        );
    }
    has >= needed
}

/// A process that does what it is told. It is killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) pid: Pid,
    control: OwnedFd,
    pidfd: OwnedFd,
}

impl Actor {
    /// A new process, of no family.
    #[expect(clippy::zombie_processes, reason = "it is reaped by its pidfd, on drop")]
    pub(crate) fn start() -> Self {
        // The children of dead actors come to this process, to be reaped when their actor is dropped.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let (control, theirs) = pair();
        let child = actor_command(theirs).spawn().unwrap();
        Self::new(Pid::from_child(&child), control)
    }

    fn new(pid: Pid, control: OwnedFd) -> Self {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        Self { pid, control, pidfd }
    }

    /// Tells it what to do, without waiting for it.
    pub(crate) fn tell(&self, command: &str) {
        send(&self.control, command, &[]);
    }

    /// What it answers; panics when it has died or nothing comes.
    pub(crate) fn hear_all(&self) -> (String, Vec<OwnedFd>) {
        let mut fds = [PollFd::new(&self.control, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&HANG)), Ok(1), "process {} hangs", self.pid.as_raw_pid());
        let (answer, fds) = receive(&self.control);
        assert!(!answer.is_empty(), "process {} is gone", self.pid.as_raw_pid());
        (answer, fds)
    }

    pub(crate) fn hear(&self) -> String {
        self.hear_all().0
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.tell(command);
        self.hear()
    }

    pub(crate) fn number<T: FromStr>(&self, command: &str) -> T {
        let answer = self.ask(command);
        answer.parse().unwrap_or_else(|_| panic!("{command}: {answer}"))
    }

    pub(crate) fn member(&self, command: &str) -> Member {
        Member::from_bits(self.number(command)).unwrap()
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.number("epoch")
    }

    pub(crate) fn sees_alive(&self, member: Member) -> bool {
        self.number(&format!("is_alive {}", member.to_bits()))
    }

    /// Blocks until this process' family has announced the death, and says the epoch.
    pub(crate) fn sees_death_of(&self, member: Member) -> u32 {
        self.number(&format!("await_death {}", member.to_bits()))
    }

    /// Has it invite somebody.
    pub(crate) fn invitation(&self) -> Invitation {
        self.tell("invite");
        let (answer, fds) = self.hear_all();
        let member = answer.parse().ok().and_then(Member::from_bits);
        Invitation::from_fds(member.unwrap_or_else(|| panic!("{answer}")), fds.try_into().unwrap())
    }

    /// Tells it to join, without waiting for it.
    pub(crate) fn tell_to_join(&self, invitation: Invitation) {
        let (member, fds) = invitation.into_fds();
        send(&self.control, &format!("join {}", member.to_bits()), &fds);
    }

    /// Starts a new process and has it join this one's family.
    pub(crate) fn child(&self) -> (Self, Member) {
        let child = Self::start();
        let invitation = self.invitation();
        let member = invitation.member();
        child.tell_to_join(invitation);
        assert_eq!(child.hear(), member.to_bits().to_string());
        (child, member)
    }

    /// Has it attach an actor to an invitation.
    pub(crate) fn attach(&self, member: Member, invited: &Self) -> String {
        let pidfd = invited.pidfd.try_clone().unwrap();
        send(&self.control, &format!("attach {}", member.to_bits()), &[pidfd]);
        self.hear()
    }

    /// Has it start a process (`spawn`) or fork itself (`fork`).
    pub(crate) fn offspring(&self, how: &str) -> Self {
        self.tell(how);
        let (answer, mut fds) = self.hear_all();
        let pid = answer.parse().ok().and_then(Pid::from_raw);
        Self::new(pid.unwrap_or_else(|| panic!("{answer}")), fds.pop().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    /// Stops it, and returns when it has stopped.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), stopped).unwrap();
    }

    /// Kills it, and returns when it is dead.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        self.await_end();
    }

    pub(crate) fn await_end(&self) {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&HANG)), Ok(1), "process {} lives", self.pid.as_raw_pid());
    }

    pub(crate) fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may be dead, and reaped by the actor that started it.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&HANG));
        let _ = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}
