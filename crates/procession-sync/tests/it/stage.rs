//! Players in processes of their own, and the director's line to them.
//!
//! The director, which is the test, is the root of a family. It starts this binary again as a player, and hands it over
//! a socket what it needs: an invitation to the family, and the table, which both map.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backstage::packets::{pair, receive, send};
use procession_shm::Shared;
use procession_shm::family::{self, Invitation, Member};
use procession_shm::transfer::{Trust, receive_scope, send_scope};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};
use rustix::time::Timespec;

use crate::player::{Hands, Table, perform};

const PLAYER: &str = "PROCESSION_TEST_PLAYER";
const DIRECTOR: &str = "PROCESSION_TEST_DIRECTOR";

/// How long anything may take before a test says that it hangs.
const HANG: Duration = Duration::from_secs(60);

/// The player's part, until the director hangs up.
pub(crate) fn play() {
    if std::env::var_os(PLAYER).is_none() {
        return;
    }
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let (member, fds) = receive(&socket);
    let member = u64::from_ne_bytes(member.try_into().unwrap());
    let member = Member::from_bits(member).unwrap();
    family::join(Invitation::from_fds(member, fds.try_into().unwrap())).unwrap();
    let (bytes, fds) = receive(&socket);
    let table = receive_scope(fds, Trust::Trusting, || postcard::from_bytes(&bytes));
    let table: Shared<Table> = table.value.unwrap();
    let mut hands = Hands::default();
    loop {
        let (command, _) = receive(&socket);
        if command.is_empty() {
            std::process::exit(0);
        }
        let command = String::from_utf8(command).unwrap();
        let mut say = |answer: &str| send(&socket, answer.as_bytes(), &[]);
        let answer = perform(&table, &mut hands, &command, &mut say);
        say(&answer);
    }
}

/// The part of a director that is to be killed: it engages players, and hands over the lines to them.
pub(crate) fn direct() {
    let Ok(count) = std::env::var(DIRECTOR) else { return };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let table = Shared::new(Table::new()).unwrap();
    let players: Vec<Player> = (0..count.parse().unwrap()).map(|_| Player::start(&table)).collect();
    for Player { pid, member, socket: line } in &players {
        let name =
            [u64::from(pid.as_raw_pid().cast_unsigned()), member.to_bits()].map(u64::to_ne_bytes);
        send(&socket, &name.concat(), &[line.as_fd()]);
    }
    receive(&socket);
}

/// This binary again, in the part that `role` says. Its standard input is the other side of the socket.
#[expect(clippy::zombie_processes, reason = "who has its pid reaps it, not always its parent")]
fn start(part: &str, role: (&str, &str)) -> (Pid, OwnedFd) {
    let (socket, theirs) = pair();
    let child = Command::new("/proc/self/exe")
        .args([part, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env_remove(DIRECTOR)
        .env(role.0, role.1)
        .stdin(theirs)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (Pid::from_child(&child), socket)
}

/// A director that is not the test, and players who outlive it.
pub(crate) fn engage<const COUNT: usize>() -> (Director, [Player; COUNT]) {
    // Whose parent is dead is a child of this process from then on.
    set_child_subreaper(Some(getpid())).unwrap();
    let (pid, socket) = start("director", (DIRECTOR, &COUNT.to_string()));
    let players = [(); COUNT].map(|()| {
        let (name, line) = receive(&socket);
        let number = |at: usize| u64::from_ne_bytes(name[at..at + 8].try_into().unwrap());
        let [line] = line.try_into().unwrap();
        let pid = Pid::from_raw(i32::try_from(number(0)).unwrap()).unwrap();
        Player { pid, socket: line, member: Member::from_bits(number(8)).unwrap() }
    });
    (Director { pid, _socket: socket }, players)
}

/// The root of the players' family. It is killed and reaped when dropped.
pub(crate) struct Director {
    pid: Pid,
    _socket: OwnedFd,
}

impl Drop for Director {
    fn drop(&mut self) {
        end(self.pid);
    }
}

/// Kills a process, if it lives, and reaps it.
fn end(pid: Pid) {
    // It fails when the process is dead already.
    let _ = kill_process(pid, Signal::KILL);
    // It fails for a player whose director lives.
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
}

/// A process that does what it is told. It is killed and reaped when dropped.
pub(crate) struct Player {
    pid: Pid,
    socket: OwnedFd,
    member: Member,
}

impl Player {
    pub(crate) fn start(table: &Shared<Table>) -> Self {
        let (pid, socket) = start("player", (PLAYER, "1"));
        let (member, fds) = family::invite().unwrap().into_fds();
        send(&socket, &member.to_bits().to_ne_bytes(), &fds.each_ref().map(AsFd::as_fd));
        let (bytes, outgoing) = send_scope(|| postcard::to_stdvec(table)).unwrap();
        send(&socket, &bytes, &outgoing.descriptors().collect::<Vec<_>>());
        outgoing.commit();
        Self { pid, socket, member }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().cast_unsigned()
    }

    pub(crate) fn send_signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Tells it what to do, without waiting for it.
    pub(crate) fn tell(&self, command: &str) {
        send(&self.socket, command.as_bytes(), &[]);
    }

    /// What it says; panics when nothing comes.
    pub(crate) fn hear(&self) -> String {
        let hang = Timespec::try_from(HANG).unwrap();
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&hang)), Ok(1), "process {} hangs", self.pid());
        String::from_utf8(receive(&self.socket).0).unwrap()
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.tell(command);
        self.hear()
    }

    /// Tells it to do something that blocks, and waits until it has fallen asleep over it.
    pub(crate) fn ask_to_wait(&self, command: &str) {
        self.tell(command);
        let start = Instant::now();
        while !self.sleeps_on_futexes() && start.elapsed() < HANG {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(self.is_silent(), "process {} did not wait to {command}", self.pid());
    }

    /// Whether all of its threads do: the test harness has some besides the one that plays, which otherwise sleeps on its
    /// socket, or runs.
    fn sleeps_on_futexes(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads.map(|thread| thread.unwrap().path().join("syscall")).all(|call| {
            let call = fs::read_to_string(call).unwrap();
            let number = call.split(' ').next().and_then(|number| number.parse().ok());
            number.is_some_and(|call| [libc::SYS_futex, libc::SYS_futex_waitv].contains(&call))
        })
    }

    fn is_silent(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 0
    }

    /// Kills it, and waits until the family knows.
    pub(crate) fn kill(self) {
        self.send_signal(Signal::KILL);
        let start = Instant::now();
        while family::is_alive(self.member) {
            assert!(start.elapsed() < HANG, "nobody saw process {} die", self.pid());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it, and does not wait for anything but its end.
    pub(crate) fn kill_at_once(self) {
        drop(self);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        end(self.pid);
    }
}
