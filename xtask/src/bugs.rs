//! `bugs`: builds the library with one bug at a time, and expects that the proofs find each.
//!
//! The bugs stand in the sources behind `cfg!(procession_bug = "name")`; each leaves out or moves one thing that the comments
//! beside it say is needed. A bug that nothing finds means that a proof proves less than it says: the run fails.
//!
//! A compiler wrapper sets the cfg, for the crates of the workspace only, so that no dependency is built again.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
#[derive(Clone, Copy)]
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
    bug("turn-unfenced", Models("procession-sync", "loom_semaphore")),
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

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let wanted = |bug: &&Bug| args.iter().all(|word| bug.name.contains(word.as_str()));
    let bugs: Vec<&Bug> = BUGS.iter().filter(wanted).collect();
    if bugs.is_empty() {
        return Err(format!("no bug has `{}` in its name", args.join("` and `")).into());
    }
    let mut rows = Vec::new();
    for bug in bugs {
        rows.push((bug, seek(&workspace, bug)?));
    }
    Ok(report(&rows))
}

/// What a finder came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found,
    Survived,
    /// It could not be built or run, and so says nothing.
    Broken,
}

fn seek(workspace: &Workspace, bug: &Bug) -> io::Result<Outcome> {
    let wrapper = wrapper(&workspace.target_dir(), bug.name)?;
    let finder =
        command(workspace, bug.finder).env("RUSTC_WORKSPACE_WRAPPER", &wrapper.to_string_lossy());
    Ok(outcome(&finder.run(workspace.root())?))
}

/// A model that finds a deadlock panics, and then again while it is taken down, which ends the run without a summary.
fn outcome(finished: &Finished) -> Outcome {
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
        (true, true, false) => Outcome::Found,
        (true, _, true) => Outcome::Survived,
        _ => Outcome::Broken,
    }
}

/// A script that adds the cfg to the compiler's arguments.
fn wrapper(target: &Path, bug: &str) -> io::Result<PathBuf> {
    let folder = target.join("bugs");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{bug}.sh"));
    fs::write(&path, format!("#!/bin/sh\nexec \"$@\" --cfg 'procession_bug=\"{bug}\"'\n"))?;
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
            assert!(
                sources.contains(&format!("procession_bug = \"{}\"", bug.name)),
                "{}",
                bug.name
            );
            assert!(docs.contains(&format!("`{}`", bug.name)), "{}", bug.name);
        }
        for seeded in sources.split("procession_bug = \"").skip(1) {
            let name = seeded.split('"').next().unwrap();
            assert!(BUGS.iter().any(|bug| bug.name == name), "{name} is not tried");
        }
    }

    #[test]
    fn a_build_that_fails_finds_nothing() {
        let ended = |success, output: &str| {
            outcome(&Finished { success, output: output.to_owned(), took: Duration::ZERO })
        };
        assert_eq!(ended(false, "error: could not compile"), Outcome::Broken);
        assert_eq!(ended(false, "running 1 test\ntest result: FAILED. 0 passed;"), Outcome::Found);
        let deadlock = "running 1 test\nthread 'm' (1) panicked at x:1:2:\nerror: signal 6";
        assert_eq!(ended(false, deadlock), Outcome::Found);
        assert_eq!(ended(true, "running 1 test\ntest result: ok. 1 passed;"), Outcome::Survived);
        assert_eq!(ended(true, "running 0 tests\ntest result: ok. 0 passed;"), Outcome::Broken);
        let kills = "FAILED  mutex\n2 kills, 3 pairs of deaths, 3 shared states, 0 drifted";
        assert_eq!(ended(false, kills), Outcome::Found);
    }
}
