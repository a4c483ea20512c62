//! Programs for the tests, without further binaries: the test binary runs itself, and only the test `program` of it, which
//! plays the role that an environment variable names. For what must not happen to the process that runs the tests.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use super::guard::{eventually, patience};

pub(crate) const VARIABLE: &str = "PROCESSION_POOL_TEST_ROLE";

pub(crate) type Role = (&'static str, fn());

const ROLES: &[&[Role]] = &[
    super::chaos::ROLES,
    super::foreign_proc::ROLES,
    super::forks::ROLES,
    super::handles::ROLES,
    super::hostile::ROLES,
    super::inline::ROLES,
    super::lifecycle::ROLES,
    super::long::ROLES,
    super::oddities::ROLES,
    super::other_program::ROLES,
    super::resources::ROLES,
    super::sandbox::ROLES,
    super::starting::ROLES,
    super::suspended::ROLES,
    super::timeouts::ROLES,
];

#[test]
fn program() {
    let Ok(role) = std::env::var(VARIABLE) else { return };
    let found = ROLES.iter().copied().flatten().find(|(name, _)| *name == role);
    found.unwrap().1();
    eventually("no child is left", || children().is_empty());
    say("DONE");
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
    /// Asserts that the program came to its end.
    #[track_caller]
    pub(crate) fn succeed(self) -> Self {
        let done = self.status.success() && self.out.contains("\nDONE\n");
        assert!(done, "{}\n{}\n{}", self.status, self.out, self.err);
        self
    }

    /// What the program said behind `key`.
    #[track_caller]
    pub(crate) fn answer(&self, key: &str) -> &str {
        let found = self.out.lines().find_map(|line| line.strip_prefix(key));
        assert!(found.is_some(), "no line starts with {key:?}:\n{}\n{}", self.out, self.err);
        found.unwrap_or_default().trim()
    }
}

/// The command that plays `role`.
pub(crate) fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "program::program", "--nocapture", "--test-threads=1"]);
    command.env(VARIABLE, role).stdin(Stdio::null());
    command
}

pub(crate) fn play(role: &str) -> Finished {
    finish(&mut command(role))
}

/// Runs a command to its end, and kills it if that does not come.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (done, watched) = mpsc::channel::<()>();
    let pid = child.id();
    let watchdog = std::thread::spawn(move || {
        if watched.recv_timeout(patience()) == Err(mpsc::RecvTimeoutError::Timeout) {
            super::idle::kill(pid, rustix::process::Signal::KILL);
        }
    });
    let output = output_of(child);
    drop(done);
    watchdog.join().unwrap();
    output
}

fn output_of(child: Child) -> Finished {
    let output = child.wait_with_output().unwrap();
    Finished {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whether a process of this number exists and is not a zombie.
pub(crate) fn runs(pid: u32) -> bool {
    !matches!(state_of(pid), 'X' | 'Z')
}

/// The letter that `ps` shows for it; X if it does not exist.
pub(crate) fn state_of(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next()).unwrap_or('X')
}

/// The children of this process, zombies included.
pub(crate) fn children() -> Vec<u32> {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (parent_of(pid)? == own).then_some(pid)
    });
    processes.collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
