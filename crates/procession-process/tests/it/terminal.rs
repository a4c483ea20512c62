//! Programs at a terminal, where the user presses keys: a pseudo-terminal, at whose other end the test sits.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use procession_channel::pipe::{Receiver, simplex};
use procession_process::{Process, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

use skips::skipped;

use super::role::{self, command, eventually, runs, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("job", || {
        let (number, theirs) = simplex::<u32>().unwrap();
        let child = spawn!(relay(theirs)).unwrap();
        say(&format!("pids {} {}", std::process::id(), child.pid()));
        let line = io::stdin().lock().lines().next().unwrap().unwrap();
        number.send(line.trim().parse().unwrap()).unwrap();
        say(&format!("joined {}", child.join().unwrap()));
    }),
    ("three generations", || {
        let child = spawn!(middle()).unwrap();
        say(&format!("top {} {}", std::process::id(), child.pid()));
        let _interrupted = child.join();
    }),
    ("shell", shell),
];

fn relay(number: Receiver<u32>) -> u32 {
    number.recv().unwrap() + 1
}

fn middle() {
    let child = Process::spawn(|()| std::thread::sleep(role::GUARD), ()).unwrap();
    say(&format!("pids {}", child.pid()));
    let _interrupted = child.join();
}

/// As a shell does it: runs a job in the foreground, takes the terminal back when the job stops, and has it go on when the
/// user says so.
fn shell() {
    // SAFETY: no handler is installed, a disposition is set.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let mut job = command("job");
    job.stdin(std::process::Stdio::inherit()).process_group(0);
    let to_foreground = || give_terminal_to(rustix::process::getpid());
    // The job has the terminal before it can say anything. SAFETY: the closure makes async-signal-safe calls only.
    unsafe { job.pre_exec(to_foreground) };
    let mut job = job.spawn().unwrap();
    let group = Pid::from_child(&job);
    let (_, status) = waitpid(Some(group), WaitOptions::UNTRACED).unwrap().unwrap();
    foreground(rustix::process::getpid());
    say(&format!("stopped by {:?}", status.stopping_signal()));
    let word = io::stdin().lock().lines().next().unwrap().unwrap();
    assert_eq!(word, "fg");
    foreground(group);
    kill_process_group(group, Signal::CONT).unwrap();
    say(&format!("job ended {:?}", job.wait().unwrap().code()));
}

fn foreground(group: Pid) {
    give_terminal_to(group).unwrap();
}

fn give_terminal_to(group: Pid) -> io::Result<()> {
    // SAFETY: a call with two numbers.
    let given = unsafe { libc::tcsetpgrp(0, group.as_raw_nonzero().get()) };
    if given == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A terminal in which a program runs that leads its session.
struct Terminal {
    keys: File,
    program: Child,
    seen: String,
}

impl Terminal {
    /// `None` where there are no pseudo-terminals.
    fn run(role: &str) -> Option<Self> {
        role::heed_interrupts();
        let (keys, screen) = open_terminal()?;
        let copy = || screen.try_clone().unwrap();
        let mut command = command(role);
        command.stdin(copy()).stdout(copy()).stderr(copy());
        let lead_session = || {
            // SAFETY: plain system calls, which are async-signal-safe.
            let led = unsafe { libc::setsid() };
            // SAFETY: as above; descriptor 0 is the terminal.
            let controlled = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
            if led == -1 || controlled == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: the closure makes async-signal-safe calls only.
        unsafe { command.pre_exec(lead_session) };
        let program = start(&mut command);
        Some(Self { keys, program, seen: String::new() })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a line that starts like this; what stands behind.
    fn read_line(&mut self, start: &str) -> String {
        loop {
            let found = self.seen.split_inclusive('\n').find_map(|line| {
                line.ends_with('\n').then(|| line.trim().strip_prefix(start)).flatten()
            });
            if let Some(rest) = found {
                return rest.trim().to_owned();
            }
            self.read_more(start);
        }
    }

    fn read_more(&mut self, awaited: &str) {
        let guard = Timespec::try_from(role::GUARD).unwrap();
        let mut readable = [PollFd::new(&self.keys, PollFlags::IN)];
        let ready = poll(&mut readable, Some(&guard)).unwrap();
        let mut bytes = [0; 4096];
        let read = if ready == 0 { 0 } else { (&self.keys).read(&mut bytes).unwrap_or(0) };
        assert!(read > 0, "{awaited:?} never came:\n{}", self.seen);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

/// Starts a command and closes this process's copies of its descriptors.
fn start(command: &mut Command) -> Child {
    let program = command.spawn().unwrap();
    *command = Command::new("");
    program
}

fn open_terminal() -> Option<(File, OwnedFd)> {
    let (mut keys, mut screen) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: two numbers are written; no name, settings or size are passed.
    let opened =
        unsafe { libc::openpty(&raw mut keys, &raw mut screen, null, null.cast(), null.cast()) };
    if opened != 0 {
        return None;
    }
    for number in [keys, screen] {
        // SAFETY: the number is open and ours.
        assert_ne!(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }, -1);
    }
    // SAFETY: as above, and nobody else knows it.
    let keys = unsafe { OwnedFd::from_raw_fd(keys) };
    // SAFETY: as above.
    let screen = unsafe { OwnedFd::from_raw_fd(screen) };
    Some((File::from(keys), screen))
}

fn pids(line: &str) -> Vec<u32> {
    line.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

/// The letter by which the kernel names what a process is doing: `T` if it is stopped.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn one_press_of_ctrl_c_ends_three_generations() {
    let Some(mut terminal) = Terminal::run("three generations") else {
        return skipped("one_press_of_ctrl_c_ends_three_generations", "no pseudo-terminals");
    };
    let mut all = pids(&terminal.read_line("top "));
    all.extend(pids(&terminal.read_line("pids ")));
    assert_eq!(all.len(), 3);
    terminal.press("\x03");
    assert_eq!(terminal.program.wait().unwrap().signal(), Some(libc::SIGINT));
    for pid in all {
        eventually("parent, child and grandchild are gone", || !runs(pid));
    }
}

#[test]
fn a_job_that_was_stopped_goes_on() {
    let Some(mut terminal) = Terminal::run("shell") else {
        return skipped("a_job_that_was_stopped_goes_on", "no pseudo-terminals");
    };
    let all = pids(&terminal.read_line("pids "));
    terminal.press("\x1a");
    assert_eq!(terminal.read_line("stopped by "), format!("Some({})", libc::SIGTSTP));
    for pid in &all {
        eventually("it has stopped", || state(*pid) == 'T');
    }
    terminal.press("fg\n41\n");
    assert_eq!(terminal.read_line("joined "), "42");
    assert_eq!(terminal.read_line("job ended "), "Some(0)");
    assert!(terminal.program.wait().unwrap().success());
    for pid in all {
        eventually("the job is gone", || !runs(pid));
    }
}
