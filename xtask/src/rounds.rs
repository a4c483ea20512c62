//! `chaos`, `hostile` and `soak`: tests that choose by chance, again and again with other choices.
//!
//! Each round has a seed, the one of the round before plus one, and prints it. What failed is tried again by giving the verb a
//! second and that seed. After each round nothing may have been left in `/dev/shm`.

use std::error::Error;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::lies;
use crate::tally::Runner;
use crate::workspace::Workspace;

/// The environment variable that tests begin their choices with.
const SEED: &str = "PROCESSION_SEED";

/// The environment variable that makes tests long.
const LONG: &str = "PROCESSION_LONG";

/// How long the rounds go on unless told, in seconds.
const SECONDS: u64 = 60;

/// A package, one of its test binaries, and which of the tests.
type Part = (&'static str, &'static str, &'static str);

/// Whole programs of several processes, killed and stopped at random.
const PROGRAMS: &[Part] = &[("procession-chaos", "programs", "programs_made_up_by_chance")];

/// Workers are killed and stopped, and descriptors, disk and processor run out, while all ways to use a pool are used.
const CHAOS: &[Part] = &[
    ("procession-pool", "it", "chaos::"),
    ("procession-pool", "it", "long::every_result_comes_once_whoever_dies"),
    ("procession-pool", "it", "soup::"),
];

/// Workers and children write to all they can map, send what they like, and go on after their task.
const HOSTILE: &[Part] =
    &[("procession-pool", "it", "hostile::"), ("procession-process", "it", "hostile::")];

/// Deaths at both ends of pipes.
const PIPES: &[Part] = &[("procession-channel", "pipe", "deaths::")];

pub(crate) fn chaos(args: &[String]) -> Verdict {
    run(&[PROGRAMS, CHAOS], &parse("chaos", args)?)
}

/// With lies before it, and at length.
pub(crate) fn hostile(args: &[String]) -> Verdict {
    let plan = parse("hostile", args)?;
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    lies::seam(&workspace, &mut board);
    rounds(&mut board, &plan, |seed| {
        let lies = lies::round(&workspace).env(SEED, &seed.to_string());
        let parts = HOSTILE.iter().map(|part| (part.0, invocation(part, seed).env(LONG, "1")));
        std::iter::once(("lies", lies)).chain(parts).collect()
    })?;
    Ok(board.finish())
}

/// Everything, for hours instead of seconds.
pub(crate) fn soak(args: &[String]) -> Verdict {
    let mut plan = parse("soak", args)?;
    plan.duration = if args.is_empty() { Duration::from_secs(3600) } else { plan.duration * 3600 };
    run(&[PROGRAMS, CHAOS, HOSTILE, PIPES], &plan)
}

/// How long, and where to begin.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    duration: Duration,
    seed: u64,
}

fn parse(verb: &str, args: &[String]) -> Result<Plan, String> {
    let number = |at: usize, default: u64| match args.get(at) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number")),
    };
    if args.len() > 2 {
        return Err(format!("usage: cargo xtask {verb} [duration] [seed]"));
    }
    Ok(Plan { duration: Duration::from_secs(number(0, SECONDS)?), seed: number(1, 1)? })
}

fn run(parts: &[&[Part]], plan: &Plan) -> Verdict {
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    rounds(&mut board, plan, |seed| {
        let parts = parts.iter().copied().flatten();
        parts.map(|part| (part.2, invocation(part, seed))).collect()
    })?;
    Ok(board.finish())
}

/// Rounds of what `parts` makes of a seed, until one fails or the time is over.
fn rounds(
    board: &mut Board,
    plan: &Plan,
    parts: impl Fn(u64) -> Vec<(&'static str, Invocation)>,
) -> Result<(), Box<dyn Error>> {
    // The time is that of the tests: what they need is built before it begins.
    for (name, invocation) in parts(plan.seed) {
        board.prepare(name, &invocation.args("--no-run"))?;
    }
    let before = shared_names()?;
    let started = Instant::now();
    for seed in plan.seed.. {
        for (name, invocation) in parts(seed) {
            let total = board.total();
            board.count(&format!("{name} seed {seed}"), Runner::Libtest, invocation);
            if board.total() == total {
                return Err(format!("{name}: there is no such test").into());
            }
        }
        if shared_names()? != before {
            return Err(
                format!("seed {seed}: there are other names in /dev/shm than before").into()
            );
        }
        if board.total().failed > 0 || started.elapsed() >= plan.duration {
            break;
        }
    }
    Ok(())
}

fn invocation((package, binary, filter): &Part, seed: u64) -> Invocation {
    Invocation::cargo("test --release --package")
        .args(package)
        .args("--test")
        .args(binary)
        .args(filter)
        .env(SEED, &seed.to_string())
}

fn shared_names() -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir("/dev/shm")?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_and_a_seed_or_neither() {
        let parsed = |args: &[&str]| {
            parse("chaos", &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
        };
        let plan = |seconds, seed| Plan { duration: Duration::from_secs(seconds), seed };
        assert_eq!(parsed(&[]), Ok(plan(60, 1)));
        assert_eq!(parsed(&["5"]), Ok(plan(5, 1)));
        assert_eq!(parsed(&["1", "77"]), Ok(plan(1, 77)));
        assert!(parsed(&["x"]).is_err() && parsed(&["1", "2", "3"]).is_err());
    }

    #[test]
    fn the_seed_reaches_the_tests() {
        let line = invocation(&CHAOS[2], 9).to_string();
        let command = "cargo test --release --package procession-pool --test it soup::";
        assert_eq!(line, format!("PROCESSION_SEED=\"9\" {command}"));
    }

    #[test]
    fn every_part_has_its_file() {
        let root = Workspace::find().unwrap().root().to_owned();
        for (package, binary, filter) in [CHAOS, HOSTILE, PIPES].into_iter().flatten() {
            let module = filter.split("::").next().unwrap();
            let file = format!("crates/{package}/tests/{binary}/{module}.rs");
            assert!(root.join(&file).is_file(), "{file}");
        }
        let (_, binary, test) = PROGRAMS[0];
        let programs = fs::read_to_string(root.join(format!("tests/chaos/tests/{binary}.rs")));
        assert!(programs.unwrap().contains(&format!("fn {test}")));
    }
}
