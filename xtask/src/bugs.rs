//! `bugs`: gives the library one bug at a time, and expects that the proofs find each.
//!
//! The bugs stand in the sources behind `seeded!("name")`; each leaves out or moves one thing that the comments beside it say
//! is needed. A bug that nothing finds means that a proof proves less than it says: the run fails. A proof that fails has
//! found something only if it passes where there is no bug, which is tried first.
//!
//! A compiler wrapper sets `--cfg procession_bugs`, for the crates of the workspace only, so that no dependency is built
//! again. The bug is chosen when the proof runs, by an environment variable: one build of each proof serves all bugs.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::Verdict;
use crate::command::{Finished, Invocation};
use crate::loom;
use crate::workspace::Workspace;

/// A bug, and which proof must find it.
struct Bug {
    name: &'static str,
    finder: Finder,
}

/// What finds a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Finder {
    /// The kill points with these words in their names.
    Kills(&'static str),
    /// The loom models of a crate with this in their paths.
    Models(&'static str, &'static str),
    /// Tests of a crate: which binary, and which of them.
    Tests(&'static str, &'static str),
}

use Finder::{Kills, Models, Tests};

/// `docs/proof.md` says of each what is wrong with it.
const BUGS: &[Bug] = &[
    bug("unlock-without-wake", Models("procession-sync", "loom_mutex::three_take_turns")),
    bug("waiter-forgets-others", Models("procession-sync", "loom_mutex::three_take_turns")),
    bug("owner-not-checked", Kills("mutex unlock alone")),
    bug("copied-guard-unlocks", Tests("procession-sync", "--test it forks")),
    bug("permit-before-name", Kills("semaphore acquire alone")),
    bug("turn-unfenced", Models("procession-sync", "loom_semaphore::a_death_at_any_step")),
    bug("reader-unfenced", Models("procession-sync", "loom_rwlock::a_readers_death_at_any_step")),
    bug("leaver-unfenced", Models("procession-sync", "loom_rwlock::a_readers_death_at_any_step")),
    bug("writer-wakes-one", Models("procession-sync", "loom_rwlock::two_readers_and_a_writer")),
    bug("forgotten-too-late", Models("procession-sync", "a_permit_that_is_forgotten")),
    bug("epoch-before-mark", Models("procession-shm", "loom::no_death_is_slept_through")),
    bug("death-wakes-nobody", Kills("mutex unlock sleeper")),
    bug("wake-not-passed-on", Models("procession-shm", "loom_tests::a_future_that_is_dropped")),
    bug("generation-ignored", Tests("procession-shm", "--lib roster")),
    bug("slot-reused-last-first", Tests("procession-shm", "--lib roster")),
    bug("published-before-written", Kills("ring producer")),
    bug("released-while-reading", Kills("pipe receive heir")),
    bug("peer-not-checked", Tests("procession-channel", "--lib ring")),
    bug("latest-stays-stamped", Models("procession-channel", "loom_pipe_a_frame_beside")),
    bug("bell-unfenced", Models("procession-channel", "loom_ring")),
    bug("stream-unfenced", Models("procession-channel", "loom_pipe_a_stream")),
    bug("gate-unfenced", Models("procession-channel", "loom_gate")),
    bug("gate-not-asked", Models("procession-channel", "loom_gate")),
    bug("frame-before-packet", Kills("pipe send with handle")),
    bug("packet-taken-before-commit", Kills("pipe receive with handle heir")),
    bug("message-not-aborted", Tests("procession-channel", "--test pipe bytes::")),
    bug("counted-before-told", Kills("--all queue get with handle heir")),
    bug("handles-taken-before-gate", Kills("link item with handle")),
    bug("answer-before-bytes", Kills("process leaves its result")),
];

const fn bug(name: &'static str, finder: Finder) -> Bug {
    Bug { name, finder }
}

/// How long a finder may take, its build included, in seconds. One that hangs has found something; it says nothing of it.
const FINDER_TIMEOUT_S: &str = "900";

/// Names the bug that is there.
const VARIABLE: &str = "PROCESSION_BUG";

pub(crate) fn run(args: &[String]) -> Verdict {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    let wanted = |bug: &&Bug| args.iter().all(|word| bug.name.contains(word.as_str()));
    let bugs: Vec<&Bug> = BUGS.iter().filter(wanted).collect();
    if bugs.is_empty() {
        return Err(format!("no bug has `{}` in its name", args.join("` and `")).into());
    }
    let mut hunt = Hunt::new(&workspace)?;
    let mut rows = Vec::new();
    for bug in bugs {
        rows.push((bug, hunt.seek(bug)?));
    }
    let code = report(&rows);
    println!("in {:.0} s", started.elapsed().as_secs_f32());
    Ok(code)
}

/// What one run of a finder came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    /// It could not be built or run, and so says nothing.
    Nothing,
}

/// What came of the search for a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found,
    Survived,
    /// The finder says nothing, or fails without the bug as well.
    Broken,
}

impl Outcome {
    fn of(without: Ending, with: Ending) -> Self {
        match (without, with) {
            (Ending::Passed, Ending::Failed) => Self::Found,
            (Ending::Passed, Ending::Passed) => Self::Survived,
            _ => Self::Broken,
        }
    }
}

/// The finders, in the build that has the bugs.
struct Hunt<'a> {
    workspace: &'a Workspace,
    wrapper: PathBuf,
    /// What each came to without a bug.
    without: HashMap<Finder, Ending>,
}

impl<'a> Hunt<'a> {
    fn new(workspace: &'a Workspace) -> io::Result<Self> {
        let wrapper = wrapper(&workspace.target_dir())?;
        Ok(Self { workspace, wrapper, without: HashMap::new() })
    }

    fn seek(&mut self, bug: &Bug) -> io::Result<Outcome> {
        let without = match self.without.get(&bug.finder) {
            Some(known) => *known,
            None => self.run(bug.finder, "")?,
        };
        self.without.insert(bug.finder, without);
        if without != Ending::Passed {
            return Ok(Outcome::Broken);
        }
        Ok(Outcome::of(without, self.run(bug.finder, bug.name)?))
    }

    fn run(&self, finder: Finder, bug: &str) -> io::Result<Ending> {
        let finder = command(self.workspace, finder)
            .env("RUSTC_WORKSPACE_WRAPPER", &self.wrapper.to_string_lossy())
            .env(VARIABLE, bug);
        Ok(ending(&finder.run(self.workspace.root())?))
    }
}

/// A model that finds a deadlock panics, and then again while it is taken down, which ends the run without a summary.
fn ending(finished: &Finished) -> Ending {
    let has = |is_it: fn(&str) -> bool| finished.output.lines().any(is_it);
    let has_run = has(|line| {
        let is_run = line.starts_with("running ") && line != "running 0 tests";
        is_run || line.contains(" shared states, ")
    });
    let has_failed = has(|line| {
        let is_failed = line.starts_with("FAILED ") || line.starts_with("test result: FAILED");
        is_failed || (line.starts_with("thread '") && line.contains(" panicked at "))
    });
    match (has_run, has_failed, finished.success) {
        (true, true, false) => Ending::Failed,
        (true, _, true) => Ending::Passed,
        _ => Ending::Nothing,
    }
}

/// A script that adds the cfg to the compiler's arguments.
fn wrapper(target: &Path) -> io::Result<PathBuf> {
    let folder = target.join("bugs");
    fs::create_dir_all(&folder)?;
    let path = folder.join("rustc.sh");
    fs::write(&path, "#!/bin/sh\nexec \"$@\" --cfg procession_bugs\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn command(workspace: &Workspace, finder: Finder) -> Invocation {
    let timed = Invocation::new("timeout").args(FINDER_TIMEOUT_S).args("cargo");
    match finder {
        Kills(words) => timed
            .args("run --quiet --release --package procession-kill --")
            .args(words)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        Models(package, filter) => loom::environment(
            workspace,
            timed.args("test --release --no-fail-fast --lib -p").args(package).args(filter),
        ),
        Tests(package, filter) => timed.args("test --no-fail-fast -p").args(package).args(filter),
    }
}

fn report(rows: &[(&Bug, Outcome)]) -> ExitCode {
    println!();
    for (bug, outcome) in rows {
        let (kind, what) = match bug.finder {
            Kills(words) => ("kill points", words.to_owned()),
            Models(package, filter) => ("loom", format!("{package} {filter}")),
            Tests(package, filter) => ("tests", format!("{package} {filter}")),
        };
        println!("{:<9} {:<28} by {kind}: {what}", format!("{outcome:?}"), bug.name);
    }
    let count = |wanted| rows.iter().filter(|(_, outcome)| *outcome == wanted).count();
    let (found, survived, broken) =
        (count(Outcome::Found), count(Outcome::Survived), count(Outcome::Broken));
    println!(
        "{found} of {} bugs found, {survived} survived, {broken} could not be tried",
        rows.len()
    );
    if found == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_bug_stands_in_the_sources_and_in_the_docs_and_nowhere_else() {
        let workspace = Workspace::find().unwrap();
        let read = |file: &String| fs::read_to_string(workspace.root().join(file)).unwrap();
        let files = workspace.files().unwrap();
        let is_source = |file: &&String| file.starts_with("crates/") && file.ends_with(".rs");
        let sources: String = files.iter().filter(is_source).map(read).collect();
        let docs = read(&"docs/proof.md".to_owned());
        for bug in BUGS {
            assert!(sources.contains(&format!("seeded!(\"{}\")", bug.name)), "{}", bug.name);
            assert!(docs.contains(&format!("`{}`", bug.name)), "{}", bug.name);
        }
        for seeded in sources.split("::seeded!(\"").skip(1) {
            let name = seeded.split('"').next().unwrap();
            assert!(BUGS.iter().any(|bug| bug.name == name), "{name} is not tried");
        }
    }

    #[test]
    fn a_build_that_fails_finds_nothing() {
        let ended = |success, output: &str| {
            ending(&Finished { success, output: output.to_owned(), took: Duration::ZERO })
        };
        assert_eq!(ended(false, "error: could not compile"), Ending::Nothing);
        assert_eq!(ended(false, "running 1 test\ntest result: FAILED. 0 passed;"), Ending::Failed);
        let deadlock = "running 1 test\nthread 'm' (1) panicked at x:1:2:\nerror: signal 6";
        assert_eq!(ended(false, deadlock), Ending::Failed);
        assert_eq!(ended(true, "running 1 test\ntest result: ok. 1 passed;"), Ending::Passed);
        assert_eq!(ended(true, "running 0 tests\ntest result: ok. 0 passed;"), Ending::Nothing);
        let kills = "FAILED  mutex\n2 kills, 3 pairs of deaths, 3 shared states, 0 drifted";
        assert_eq!(ended(false, kills), Ending::Failed);
    }

    #[test]
    fn a_finder_that_fails_without_the_bug_finds_nothing() {
        assert_eq!(Outcome::of(Ending::Passed, Ending::Failed), Outcome::Found);
        assert_eq!(Outcome::of(Ending::Passed, Ending::Passed), Outcome::Survived);
        assert_eq!(Outcome::of(Ending::Failed, Ending::Failed), Outcome::Broken);
        assert_eq!(Outcome::of(Ending::Passed, Ending::Nothing), Outcome::Broken);
    }
}
