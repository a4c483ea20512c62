//! `package`: what a release needs. Every crate is packed and built from what was packed; what may come in, and what may
//! change, is checked where the tools for it are.

use std::io;
use std::process::{Command, ExitCode};

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) fn run(args: &[String]) -> Verdict {
    if !args.is_empty() {
        return Err("usage: cargo xtask package".into());
    }
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    pack(&workspace, &mut board)?;
    dependencies(&workspace, &mut board);
    interfaces(&workspace, &mut board)?;
    Ok(finish(board))
}

fn finish(board: Board) -> ExitCode {
    let missing = board.total().skipped;
    if missing > 0 {
        println!("\n!!! {missing} checks of a release were not made: see SKIPPED below");
    }
    board.finish()
}

/// Cargo packs them in the order of their floors, and builds each with the packages, not the folders, of those below.
fn pack(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    let crates = workspace.crates()?;
    let named: String = crates.iter().map(|name| format!(" -p {name}")).collect();
    let package = Invocation::cargo("package --offline --allow-dirty").args(&named);
    board.check("packages", &package);
    for name in crates {
        let files = format!("package --list --offline --allow-dirty -p {name}");
        let finished = Invocation::cargo(&files).run(workspace.root())?;
        let missing = missing_in(&finished.output);
        if !missing.is_empty() {
            return Err(io::Error::other(format!("the package of {name} lacks {missing:?}")));
        }
    }
    Ok(())
}

/// What every package needs and this one has not, in a list of its files.
fn missing_in(files: &str) -> Vec<&'static str> {
    let has = |wanted: &&str| !files.lines().any(|file| file == *wanted);
    ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"]
        .into_iter()
        .filter(has)
        .collect()
}

fn dependencies(workspace: &Workspace, board: &mut Board) {
    if Invocation::cargo("deny --version").succeeds(workspace.root()) {
        let check = Invocation::cargo("deny check bans licenses sources");
        board.check("licences and sources", &check);
        advisories(workspace, board);
    } else {
        let reason = "cargo-deny is not installed; `cargo install cargo-deny` brings it";
        board.skip("licences and sources", reason);
    }
}

/// The database is elsewhere, and without it nothing is known: neither that there are advisories nor that there are none.
fn advisories(workspace: &Workspace, board: &mut Board) {
    const PART: &str = "advisories";
    if Invocation::cargo("deny fetch db").succeeds(workspace.root()) {
        board.check(PART, &Invocation::cargo("deny check --disable-fetch advisories"));
    } else {
        board.skip(PART, "the database of RustSec cannot be fetched from here");
    }
}

/// Compared with the last release, which is the last tag of the form `v1.2.3`. The tool passes over procession-derive: of
/// procedural macros it knows nothing. What that one accepts is seen to by the tests that derive.
fn interfaces(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    const PART: &str = "interfaces (semver)";
    let Some(release) = last_release(workspace)? else {
        board.skip(PART, "there is no release to compare with");
        return Ok(());
    };
    if Invocation::cargo("semver-checks --version").succeeds(workspace.root()) {
        let check = format!("semver-checks --workspace --baseline-rev {release}");
        board.check(PART, &Invocation::cargo(&check));
    } else {
        let reason =
            "cargo-semver-checks is not installed; `cargo install cargo-semver-checks` brings it";
        board.skip(PART, reason);
    }
    Ok(())
}

fn last_release(workspace: &Workspace) -> io::Result<Option<String>> {
    let args = ["tag", "--list", "v[0-9]*", "--merged", "HEAD", "--sort=-version:refname"];
    let tags = Command::new("git").args(args).current_dir(workspace.root()).output()?;
    Ok(String::from_utf8_lossy(&tags.stdout).lines().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_in_a_package_is_named() {
        let files = "Cargo.toml\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert_eq!(missing_in(files), ["LICENSE-APACHE"]);
    }

    /// Nobody reads a licence through a link that leads nowhere, and a package has the file itself.
    #[test]
    fn every_crate_has_the_licences_of_the_workspace() {
        let workspace = Workspace::find().unwrap();
        for name in workspace.crates().unwrap() {
            for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
                let text =
                    fs::read_to_string(workspace.root().join("crates").join(&name).join(licence));
                let whole = fs::read_to_string(workspace.root().join(licence)).unwrap();
                assert_eq!(text.unwrap(), whole, "{name}: {licence}");
            }
        }
    }
}
