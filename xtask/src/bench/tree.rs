//! `bench main`: what processes cost beside threads in a whole job, measured side by side in one run.
//!
//! The example `tree_hash` and its twin on rayon's threads hash the same warm tree in turns. Both
//! have one worker per core. The ratio of the medians counts; seconds are those of the machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::command::Invocation;
use crate::workspace::Workspace;

/// How much longer processes may take, for `--check`.
const RATIO_MAX: f64 = 1.15;

const DIR: &str = "/usr/share";
const ROUNDS: usize = 5;
const USAGE: &str = "usage: cargo xtask bench main [DIR] [--rounds N] [--check]";

const BUILD: &str =
    "build --release -p procession --example tree_hash -p procession-benches --bin tree_hash_rayon";

#[derive(Debug, PartialEq, Eq)]
struct Options {
    dir: PathBuf,
    rounds: usize,
    /// Whether a ratio that is too high is a failure.
    is_check: bool,
}

/// The two programs, and how long each took in each round.
struct Race {
    dir: PathBuf,
    programs: [PathBuf; 2],
    times: [Vec<Duration>; 2],
}

pub(super) fn run(args: &[String]) -> Verdict {
    let options = parse(args).ok_or(USAGE)?;
    let workspace = Workspace::find()?;
    if !Invocation::cargo(BUILD).run(workspace.root())?.success {
        return Err("the programs do not build".into());
    }
    let mut race = Race::new(&workspace.target_dir().join("release"), options.dir);
    println!("\n{} warms the disk cache", race.dir.display());
    let files = race.warm_up()?;
    println!("{files} lines, the same from both");
    for round in 0..options.rounds {
        race.run(round)?;
    }
    let ratio = race.report();
    let is_too_slow = options.is_check && ratio > RATIO_MAX;
    Ok(if is_too_slow { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse(args: &[String]) -> Option<Options> {
    let (name, mut args) = args.split_first()?;
    let mut options = Options { dir: DIR.into(), rounds: ROUNDS, is_check: false };
    while let Some((arg, rest)) = args.split_first() {
        args = rest;
        match arg.as_str() {
            "--check" => options.is_check = true,
            "--rounds" => {
                let (number, rest) = args.split_first()?;
                options.rounds = number.parse().ok().filter(|&rounds| rounds > 0)?;
                args = rest;
            }
            unknown if unknown.starts_with('-') => return None,
            dir => options.dir = dir.into(),
        }
    }
    (name == "main").then_some(options)
}

impl Race {
    fn new(release: &Path, dir: PathBuf) -> Self {
        let programs = [release.join("examples/tree_hash"), release.join("tree_hash_rayon")];
        Self { dir, programs, times: [Vec::new(), Vec::new()] }
    }

    /// Has both do the whole job once, and counts their lines, which must be the same.
    fn warm_up(&self) -> Result<usize, String> {
        let [ours, theirs] = [0, 1].map(|which| self.sorted_output(which));
        let (ours, theirs) = (ours?, theirs?);
        if ours.stdout != theirs.stdout || ours.status != theirs.status {
            return Err("the two programs do not print the same".to_owned());
        }
        Ok(ours.stdout.iter().filter(|&&byte| byte == b'\n').count())
    }

    fn sorted_output(&self, which: usize) -> Result<Output, String> {
        let ran = self.command(which).arg("--sorted").output();
        let ran = ran.map_err(|error| self.failure(which, &error))?;
        // 1 says that files could not be read, which may well be.
        match ran.status.code() {
            Some(0 | 1) => Ok(ran),
            _ => Err(self.failure(which, &ran.status)),
        }
    }

    /// One turn for each. Who begins changes, in case that matters.
    fn run(&mut self, round: usize) -> io::Result<()> {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let started = Instant::now();
            self.command(which).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            self.times[which].push(started.elapsed());
        }
        let [ours, theirs] = [0, 1].map(|which| self.times[which][round].as_secs_f64());
        println!("round {:<3} processes {ours:>8.3} s   threads {theirs:>8.3} s", round + 1);
        Ok(())
    }

    fn command(&self, which: usize) -> Command {
        let mut command = Command::new(&self.programs[which]);
        command.arg(&self.dir).stdin(Stdio::null());
        command
    }

    fn failure(&self, which: usize, what: &dyn std::fmt::Display) -> String {
        format!("{}: {what}", self.programs[which].display())
    }

    /// Prints the medians and returns their ratio.
    fn report(&self) -> f64 {
        let [ours, theirs] = [0, 1].map(|which| median(&self.times[which]).as_secs_f64());
        let ratio = ours / theirs;
        println!("median    processes {ours:>8.3} s   threads {theirs:>8.3} s");
        println!(
            "processes take {ratio:.3} times as long as threads (at most {RATIO_MAX} is wanted)"
        );
        ratio
    }
}

/// The middle one, or the mean of the middle two.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let middle = times.len() / 2;
    if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Option<Options> {
        parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let default = Options { dir: DIR.into(), rounds: ROUNDS, is_check: false };
        assert_eq!(parsed("main"), Some(default));
        let given = Options { dir: "src".into(), rounds: 3, is_check: true };
        assert_eq!(parsed("main --check src --rounds 3"), Some(given));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in ["", "tree", "main --rounds", "main --rounds 0", "main --quick"] {
            assert_eq!(parsed(args), None, "{args}");
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let seconds =
            |times: &[u64]| times.iter().map(|&s| Duration::from_secs(s)).collect::<Vec<_>>();
        assert_eq!(median(&seconds(&[9, 1, 5])), Duration::from_secs(5));
        assert_eq!(median(&seconds(&[9, 1, 5, 4])), Duration::from_millis(4500));
    }

    #[test]
    fn programs_that_differ_are_no_race() {
        let mut race = Race::new(Path::new("."), PathBuf::from("."));
        race.programs = ["echo", "echo"].map(PathBuf::from);
        assert_eq!(race.warm_up(), Ok(1));
        race.programs = ["echo", "true"].map(PathBuf::from);
        assert!(race.warm_up().is_err());
        race.programs = ["echo", "no-program-has-this-name"].map(PathBuf::from);
        assert!(race.warm_up().is_err());
    }

    #[test]
    fn every_round_gives_each_a_turn() {
        let mut race = Race::new(Path::new("."), PathBuf::from("."));
        race.programs = ["true", "true"].map(PathBuf::from);
        race.run(0).unwrap();
        race.run(1).unwrap();
        assert_eq!([race.times[0].len(), race.times[1].len()], [2, 2]);
    }

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let mut race = Race::new(Path::new("."), PathBuf::from("."));
        race.times = [vec![Duration::from_secs(3)], vec![Duration::from_secs(2)]];
        assert!((race.report() - 1.5).abs() < 1e-9);
    }
}
