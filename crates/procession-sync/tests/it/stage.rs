//! Players in processes of their own, and the director's line to them.
//!
//! The director, which is the test, is the root of a family. It starts this binary again as a player, and hands it over
//! a socket what it needs: an invitation to the family, and the table, which both map.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backstage::packets::{pair, receive, send};
use procession_shm::Shared;
use procession_shm::family::{self, Invitation, Member};
use procession_shm::transfer::{Trust, receive_scope, send_scope};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::player::{Hands, Table, perform};

const PLAYER: &str = "PROCESSION_TEST_PLAYER";

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

/// A process that does what it is told. It is killed and reaped when dropped.
pub(crate) struct Player {
    child: Child,
    socket: OwnedFd,
    member: Member,
}

impl Player {
    pub(crate) fn start(table: &Shared<Table>) -> Self {
        let (socket, theirs) = pair();
        let child = Command::new("/proc/self/exe")
            .args(["player", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(PLAYER, "1")
            .stdin(theirs)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (member, fds) = family::invite().unwrap().into_fds();
        send(&socket, &member.to_bits().to_ne_bytes(), &fds.each_ref().map(AsFd::as_fd));
        let (bytes, outgoing) = send_scope(|| postcard::to_stdvec(table)).unwrap();
        send(&socket, &bytes, &outgoing.descriptors().collect::<Vec<_>>());
        outgoing.commit();
        Self { child, socket, member }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
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
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let start = Instant::now();
        while family::is_alive(self.member) {
            assert!(start.elapsed() < HANG, "nobody saw process {} die", self.pid());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it, and does not wait for anything.
    pub(crate) fn kill_at_once(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It fails when the process is dead already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}
