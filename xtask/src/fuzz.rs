//! `fuzz`: lets a coverage-guided fuzzer make up inputs, for one target or for each in turn.
//!
//! It needs a nightly compiler and `cargo-fuzz`; without them the run is skipped, and says so. What it finds is copied to
//! `tests/inputs/corpus/` with the correction, where a test replays it for ever.

use std::fs;
use std::io;
use std::path::Path;

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::lies;
use crate::workspace::Workspace;

/// How long each target is tried unless told, in seconds.
const SECONDS: &str = "60";

/// An input that takes longer hangs, in seconds.
const INPUT_TIMEOUT_S: u32 = 20;

/// What any input may make a target take, in MiB, sanitizer included.
const MEMORY_MIB_MAX: u32 = 1024;

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let all = targets(workspace.root())?;
    let (wanted, seconds) = parse(args, &all)?;
    let mut board = Board::new(workspace.root().to_owned());
    if let Some(reason) = missing(&workspace) {
        board.skip("fuzz", reason);
        return Ok(board.finish());
    }
    for target in wanted {
        board.check(&format!("fuzz {target}"), &fuzzer(&workspace, &target, &seconds)?);
    }
    Ok(board.finish())
}

/// `[target] [seconds]`, in any order.
fn parse(args: &[String], all: &[String]) -> Result<(Vec<String>, String), String> {
    let is_number = |arg: &&String| arg.bytes().all(|byte| byte.is_ascii_digit());
    let (numbers, names): (Vec<&String>, Vec<&String>) = args.iter().partition(is_number);
    if numbers.len() > 1 || names.len() > 1 {
        return Err("usage: cargo xtask fuzz [target] [seconds]".to_owned());
    }
    let seconds = numbers.first().map_or(SECONDS, |number| number.as_str()).to_owned();
    match names.first() {
        None => Ok((all.to_vec(), seconds)),
        Some(name) if all.contains(name) => Ok((vec![(*name).clone()], seconds)),
        Some(name) => Err(format!("there is no target {name}; these exist: {}", all.join(", "))),
    }
}

fn targets(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(root.join("fuzz/fuzz_targets"))? {
        let path = file?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn missing(workspace: &Workspace) -> Option<&'static str> {
    let works = |program, args| Invocation::new(program).args(args).succeeds(workspace.root());
    // `cargo` would be the one that runs this, which knows no other toolchains.
    if !works("rustup", "run nightly cargo --version") {
        return Some("no nightly compiler; `rustup toolchain install nightly` brings one");
    }
    (!works("cargo-fuzz", "--version")).then_some("`cargo install cargo-fuzz` brings the fuzzer")
}

/// Begins with the corpus and keeps what is new beside the build.
fn fuzzer(workspace: &Workspace, target: &str, seconds: &str) -> io::Result<Invocation> {
    let found = workspace.target_dir().join("fuzz-corpus").join(target);
    fs::create_dir_all(&found)?;
    let limits = format!(
        "-max_total_time={seconds} -timeout={INPUT_TIMEOUT_S} -rss_limit_mb={MEMORY_MIB_MAX}"
    );
    Ok(Invocation::new("cargo-fuzz")
        .args("fuzz run --fuzz-dir fuzz")
        .args(target)
        .args(&found.to_string_lossy())
        .args(&format!("tests/inputs/corpus/{target} --"))
        .args(&limits)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        // So that what a target loads may be up to the input.
        .env("RUSTFLAGS", lies::FLAG))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(Vec<String>, String), String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        parse(&args, &["codec".to_owned(), "pipe".to_owned()])
    }

    #[test]
    fn target_and_seconds_come_in_any_order_or_not_at_all() {
        let all = vec!["codec".to_owned(), "pipe".to_owned()];
        assert_eq!(parsed(&[]), Ok((all.clone(), "60".to_owned())));
        assert_eq!(parsed(&["5"]), Ok((all, "5".to_owned())));
        assert_eq!(parsed(&["7", "pipe"]), Ok((vec!["pipe".to_owned()], "7".to_owned())));
        assert!(parsed(&["pip"]).unwrap_err().contains("codec, pipe"));
        assert!(parsed(&["1", "2"]).is_err());
    }

    #[test]
    fn every_target_has_a_corpus() {
        let root = Workspace::find().unwrap().root().to_owned();
        for target in targets(&root).unwrap() {
            assert!(root.join("tests/inputs/corpus").join(&target).is_dir(), "{target}");
        }
    }
}
