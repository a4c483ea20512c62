//! `loom`: runs the models that try every interleaving of the lock-free algorithms.
//!
//! The algorithms are compiled with `--cfg procession_loom`, which swaps their atomics for loom's. That is
//! another build of everything, so it has a target directory of its own.

use std::env;
use std::fs;
use std::io;

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::tally::{Runner, Tally};
use crate::tidy::Source;
use crate::workspace::Workspace;

const CFG: &str = "procession_loom";

/// Bound 2 misses a lost wake-up that bound 3 finds (two waiters, one death).
const PREEMPTIONS: &str = "3";

/// Every model has it in its path: `loom_mutex::...` or `tests::loom::...`.
const EVERY_MODEL: &str = "loom";

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let modelled = modelled_crates(&workspace)?;
    let (chosen, filter) = match args {
        [] => (modelled, EVERY_MODEL),
        [name] => (chosen(&modelled, name)?, EVERY_MODEL),
        [name, filter] => (chosen(&modelled, name)?, filter.as_str()),
        _ => return Err("usage: cargo xtask loom [crate] [filter]".into()),
    };
    let mut board = Board::new(workspace.root().to_owned());
    for name in &chosen {
        count(&workspace, &mut board, name, filter);
    }
    if board.total() == Tally::default() {
        return Err(format!("no model matches `{filter}` in: {}", chosen.join(", ")).into());
    }
    Ok(board.finish())
}

/// The models of all crates, as parts of a larger run.
pub(crate) fn run_parts(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    for name in modelled_crates(workspace)? {
        count(workspace, board, &name, EVERY_MODEL);
    }
    Ok(())
}

/// Whether the models build, without a warning: a change of what they use breaks them where no other build looks.
pub(crate) fn check_build(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    let target_dir = workspace.target_dir().join("loom");
    let packages = modelled_crates(workspace)?.join(" -p ");
    let check = Invocation::cargo("check --quiet --lib --profile test -p")
        .args(&packages)
        .env("RUSTFLAGS", &format!("{} -D warnings", flags()))
        .env("CARGO_TARGET_DIR", &target_dir.to_string_lossy());
    board.check("loom models build", &check);
    Ok(())
}

fn chosen(modelled: &[String], name: &str) -> Result<Vec<String>, String> {
    if modelled.iter().any(|crate_name| crate_name == name) {
        return Ok(vec![name.to_owned()]);
    }
    Err(format!("{name} has no loom models; these have: {}", modelled.join(", ")))
}

fn count(workspace: &Workspace, board: &mut Board, name: &str, filter: &str) {
    let models =
        Invocation::cargo("test --release --no-fail-fast --lib -p").args(name).args(filter);
    let models = environment(workspace, models);
    board.count(&format!("loom {name}"), Runner::Libtest, models);
}

/// Makes a build one of the models.
pub(crate) fn environment(workspace: &Workspace, build: Invocation) -> Invocation {
    let target_dir = workspace.target_dir().join("loom");
    let preemptions = env::var("LOOM_MAX_PREEMPTIONS").unwrap_or_else(|_| PREEMPTIONS.to_owned());
    build
        .env("RUSTFLAGS", &flags())
        .env("CARGO_TARGET_DIR", &target_dir.to_string_lossy())
        .env("LOOM_MAX_PREEMPTIONS", &preemptions)
}

/// The user's own flags stay, whatever they are for.
fn flags() -> String {
    let users = env::var("RUSTFLAGS").unwrap_or_default();
    format!("{users} --cfg {CFG}").trim_start().to_owned()
}

/// The crates whose code asks for the cfg.
fn modelled_crates(workspace: &Workspace) -> io::Result<Vec<String>> {
    let files = workspace.files()?;
    let mut modelled = workspace.crates()?;
    let mut unread = Ok(());
    modelled.retain(|name| {
        let prefix = format!("crates/{name}/src/");
        let sources =
            files.iter().filter(|file| file.starts_with(&prefix) && file.ends_with(".rs"));
        sources.map(|file| fs::read_to_string(workspace.root().join(file))).any(|text| match text {
            Ok(text) => asks_for_loom(&text),
            Err(error) => {
                unread = Err(error);
                false
            }
        })
    });
    unread.map(|()| modelled)
}

fn asks_for_loom(text: &str) -> bool {
    Source::parse(text).lines().iter().any(|line| line.code.contains(CFG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_asks_for_loom() {
        assert!(asks_for_loom("#[cfg(procession_loom)]\nmod model;"));
        assert!(asks_for_loom("#[cfg(all(test, procession_loom))]\nmod model;"));
        assert!(!asks_for_loom("// cfg(procession_loom) swaps the atomics"));
    }

    #[test]
    fn an_unknown_crate_is_an_error_that_names_the_known() {
        let modelled = ["procession-sync".to_owned()];
        assert_eq!(chosen(&modelled, "procession-sync").unwrap(), modelled);
        assert!(chosen(&modelled, "procession").unwrap_err().contains("procession-sync"));
    }
}
