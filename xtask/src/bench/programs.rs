//! The programs that hold the cases: our own, those of the peers, and Python's.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::results::{Figure, parse_figure};
use crate::command::Invocation;
use crate::workspace::Workspace;

/// A case that takes longer hangs.
const CASE_TIME_MAX: Duration = Duration::from_secs(180);

const BUILD: &str = "build --release -p procession-benches --bin measure";
const PEERS: &str = "benches/peers/Cargo.toml";
const PEER_PROGRAMS: [&str; 3] = ["peers", "procspawn", "crossmist"];
const PYTHON_SCRIPT: &str = "benches/peers/python/measure.py";

/// A command that understands `list` and `run`.
#[derive(Debug, Clone)]
pub(super) struct Program {
    command: Vec<PathBuf>,
}

/// A contestant in a case, and who runs it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) case: String,
    pub(super) contestant: String,
    program: Program,
}

/// Builds all that is to be measured.
///
/// # Errors
///
/// When something does not build.
pub(super) fn build(
    workspace: &Workspace,
    with_peers: bool,
) -> Result<Vec<Program>, Box<dyn Error>> {
    let target = workspace.target_dir();
    build_one(workspace, Invocation::cargo(BUILD))?;
    let mut programs = vec![Program::new(&[target.join("release/measure")])];
    if with_peers {
        let peers = target.join("peers");
        let directory = format!("build --release --manifest-path {PEERS} --target-dir");
        build_one(workspace, Invocation::cargo(&directory).args(&peers.to_string_lossy()))?;
        let binary = |name| Program::new(&[peers.join("release").join(name)]);
        programs.extend(PEER_PROGRAMS.map(binary));
        programs.extend(python(workspace));
    }
    Ok(programs)
}

fn build_one(workspace: &Workspace, invocation: Invocation) -> Result<(), Box<dyn Error>> {
    if invocation.run(workspace.root())?.success {
        Ok(())
    } else {
        Err(format!("{invocation}: failed").into())
    }
}

/// `PROCESSION_PYTHON` names another interpreter, one of a virtual environment with more peers, say.
fn python(workspace: &Workspace) -> Option<Program> {
    let interpreter = env::var("PROCESSION_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !Invocation::new(&interpreter).args("--version").succeeds(workspace.root()) {
        println!("SKIPPED: Python's peers: there is no {interpreter}");
        return None;
    }
    Some(Program::new(&[interpreter.into(), workspace.root().join(PYTHON_SCRIPT)]))
}

impl Program {
    pub(super) fn new(command: &[PathBuf]) -> Self {
        Self { command: command.to_vec() }
    }

    fn start(&self, words: &[&str]) -> Command {
        let mut command =
            Command::new(self.command.first().map_or(OsStr::new(""), |p| p.as_os_str()));
        command.args(self.command.iter().skip(1)).args(words).stdin(Stdio::null());
        command
    }

    /// The cases that it has in an area.
    ///
    /// # Errors
    ///
    /// When it cannot be run, and when it says something else.
    pub(super) fn entries(&self, area: &str) -> Result<Vec<Entry>, Box<dyn Error>> {
        let listed = self.start(&["list", area]).output()?;
        if !listed.status.success() {
            return Err(
                format!("{:?} cannot list its cases: {}", self.command, listed.status).into()
            );
        }
        let entry = |line: &str| {
            let (case, contestant) = line.split_once(' ')?;
            Some(Entry { case: case.into(), contestant: contestant.into(), program: self.clone() })
        };
        let listed = String::from_utf8(listed.stdout)?;
        let entries: Option<Vec<_>> = listed.lines().map(entry).collect();
        Ok(entries.ok_or("a line of the list is no case")?)
    }
}

impl Entry {
    /// Runs it once, in a process of its own.
    ///
    /// # Errors
    ///
    /// Why there are no figures, in its own words if it has any.
    pub(super) fn run(
        &self,
        area: &str,
        is_quick: bool,
        scratch: &Path,
    ) -> Result<Vec<Figure>, String> {
        let mut words = vec!["run", area, &self.case, &self.contestant];
        words.extend(is_quick.then_some("--quick"));
        let (status, output, complaint) =
            run_to_end(self.program.start(&words), scratch).map_err(|error| error.to_string())?;
        let figures: Option<Vec<Figure>> = output.lines().map(parse_figure).collect();
        match figures.filter(|figures| !figures.is_empty()) {
            Some(figures) if status.is_some_and(|status| status.success()) => Ok(figures),
            _ => Err(explain(status, &complaint)),
        }
    }
}

fn explain(status: Option<ExitStatus>, complaint: &str) -> String {
    let ending =
        status.map_or_else(|| "it was killed after 3 minutes".to_owned(), |s| s.to_string());
    format!("{ending} {}", reason(complaint)).trim_end().to_owned()
}

/// What a panic says; of anything else the last line.
fn reason(complaint: &str) -> String {
    let lines: Vec<&str> = complaint.lines().filter(|line| !line.trim().is_empty()).collect();
    let panic = lines.iter().position(|line| line.contains(" panicked at "));
    let told =
        panic.map_or(lines.len().saturating_sub(1)..lines.len(), |at| at..lines.len().min(at + 2));
    lines[told].join(" ").split(' ').map(without_place).collect::<Vec<_>>().join(" ")
}

/// What goes into the documentation names no place on this machine: of a path there remains what is the package's own.
fn without_place(word: &str) -> &str {
    let inside = word.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    inside.map_or_else(|| word.rsplit('/').next().unwrap_or(word), |(_registry, path)| path)
}

type Ended = (Option<ExitStatus>, String, String);

/// Its output goes to files: a pipe would stay open as long as any process that the case has left behind.
fn run_to_end(mut command: Command, scratch: &Path) -> Result<Ended, Box<dyn Error>> {
    fs::create_dir_all(scratch)?;
    let [output, complaint] = ["case.out", "case.err"].map(|name| scratch.join(name));
    let mut child =
        command.stdout(File::create(&output)?).stderr(File::create(&complaint)?).spawn()?;
    let end = Instant::now() + CASE_TIME_MAX;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill()?;
                child.wait()?;
                break None;
            }
        }
    };
    let read =
        |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((status, read(&output)?, read(&complaint)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        env::temp_dir().join(format!("procession-bench-{name}-{}", std::process::id()))
    }

    fn entry(script: &str) -> Entry {
        let command = ["sh", "-c", script].map(PathBuf::from);
        Entry { case: "c".into(), contestant: "k".into(), program: Program::new(&command) }
    }

    #[test]
    fn figures_are_read_from_the_output() {
        let scratch = scratch("figures");
        let figures = entry("echo p50 ns 7; echo p99 ns 9").run("a", false, &scratch).unwrap();
        assert_eq!(figures.len(), 2);
        assert_eq!(figures[0].value, 7.0);
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn who_has_no_figures_says_why() {
        let scratch = scratch("reasons");
        let run = |script| entry(script).run("a", true, &scratch).unwrap_err();
        assert_eq!(run("echo no such thing >&2; exit 1"), "exit status: 1 no such thing");
        assert_eq!(run("echo p50 ns 7; exit 1"), "exit status: 1");
        assert_eq!(run("echo nonsense"), "exit status: 0");
        assert_eq!(run("true"), "exit status: 0");
        let panic =
            "printf \"thread 'main' panicked at x.rs:1:\\nno luck\\nnote: more\\n\" >&2; exit 101";
        assert_eq!(run(panic), "exit status: 101 thread 'main' panicked at x.rs:1: no luck");
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_list_is_cases_with_contestants() {
        let program = |script| Program::new(&["sh", "-c", script].map(PathBuf::from));
        let entries = program("echo one us; echo one them").entries("a").unwrap();
        let names: Vec<_> = entries.iter().map(|e| (&*e.case, &*e.contestant)).collect();
        assert_eq!(names, [("one", "us"), ("one", "them")]);
        assert!(program("echo one").entries("a").is_err());
        assert!(program("exit 2").entries("a").is_err());
    }
}
