//! Programs for the tests, without further binaries: the test binary runs itself, and only the test
//! `program` of it, which plays the role that an environment variable names.
//!
//! Such a program prints [`MAIN`] first. A child process that ever ran `main` would print it again,
//! having inherited arguments and environment.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const VARIABLE: &str = "PROCESSION_TEST_ROLE";
pub(crate) const MAIN: &str = "MAIN RUNS";

/// Nothing here takes this long; it only keeps a broken test from running for ever.
pub(crate) const GUARD: Duration = Duration::from_secs(120);

type Role = (&'static str, fn());

const ROLES: &[&[Role]] = &[
    super::builder::ROLES,
    super::cgroup::ROLES,
    super::constructors::ROLES,
    super::descriptors::ROLES,
    super::ending::ROLES,
    super::environment::ROLES,
    super::foreign_proc::ROLES,
    super::fork::ROLES,
    super::handles::ROLES,
    super::hostile::ROLES,
    super::inline::ROLES,
    super::lifetime::ROLES,
    super::lineage::ROLES,
    super::long::ROLES,
    super::nth_call::ROLES,
    super::other_program::ROLES,
    super::process::ROLES,
    super::refused::ROLES,
    super::sandbox::ROLES,
    super::status::ROLES,
    super::terminal::ROLES,
    super::zygote::ROLES,
    super::zygote_steps::ROLES,
];

#[test]
fn program() {
    let Ok(role) = std::env::var(VARIABLE) else {
        return;
    };
    say(&format!("{MAIN} ({role})"));
    let found = ROLES.iter().copied().flatten().find(|(name, _)| *name == role);
    found.unwrap().1();
    std::process::exit(0);
}

/// Prints a line past the test harness, which writes without ending its own lines.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Asserts that the program ran to its end, and `main` once.
    pub(crate) fn succeed(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.out, self.err);
        assert_eq!(self.count(MAIN), 1, "{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.out.matches(line).count()
    }

    /// What the program said behind `key`.
    pub(crate) fn answer(&self, key: &str) -> &str {
        let mut lines = self.out.lines();
        let found = lines.find_map(|line| line.strip_prefix(key));
        assert!(found.is_some(), "no line starts with {key:?}:\n{}\n{}", self.out, self.err);
        found.unwrap_or_default().trim()
    }
}

/// The command that plays `role` with the program at `path`.
pub(crate) fn command_at(path: &Path, role: &str) -> Command {
    let mut command = Command::new(path);
    command.args(["--exact", "role::program", "--nocapture", "--test-threads=1"]);
    command.env(VARIABLE, role).stdin(Stdio::null());
    command
}

pub(crate) fn command(role: &str) -> Command {
    command_at(&std::env::current_exe().unwrap(), role)
}

pub(crate) fn play(role: &str) -> Finished {
    finish(&mut command(role))
}

/// Runs a command to its end, and kills it if that does not come.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Where there are no pidfds the number does: whoever hangs has not been reaped.
    let guard = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok();
    let (done, watched) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watched.recv_timeout(GUARD) == Err(mpsc::RecvTimeoutError::Timeout) {
            let kill = rustix::process::Signal::KILL;
            match guard {
                Some(guard) => rustix::process::pidfd_send_signal(guard, kill).unwrap(),
                None => rustix::process::kill_process(pid, kill).unwrap(),
            }
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    Finished {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits for something that must come, and fails the test if it does not.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < GUARD, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process of this number exists and is not a zombie. Those that lost their parent are
/// reaped by whatever runs as init here, whenever it does.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("X", |(_, fields)| &fields[..1]);
    !matches!(state, "X" | "Z")
}

/// The children of this process, zombies included.
pub(crate) fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
        (parent == own).then_some(pid)
    });
    processes.collect()
}

/// The children of all threads of a process, zombies included; none if it is gone.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let paths = threads.flatten().map(|entry| entry.path().join("children"));
    let listed: String = paths.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// A directory of its own, removed when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("procession-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A copy of this test binary. Another program writes it: a descriptor of this one, open for
    /// writing, would be in every process that another test is just forking, and the copy could
    /// not be executed meanwhile ("text file busy").
    pub(crate) fn copy_of_program(&self) -> PathBuf {
        let copy = self.0.join("program");
        let program = std::env::current_exe().unwrap();
        assert!(Command::new("cp").arg(program).arg(&copy).status().unwrap().success());
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Children start with these signals ignored if this process was, as a shell's job in the background is. Tests that send
/// them to children need them to be deadly.
pub(crate) fn heed_interrupts() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: no handler is installed, a disposition is set.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// What a descriptor refers to, as the kernel names it.
pub(crate) fn target(descriptor: &impl AsRawFd) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap()
}
