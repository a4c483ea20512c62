//! Other C libraries than the dynamic glibc: a program starts differently with each, and children are started at the very start.
//!
//! The crate with the start-up hook is tested again, linked statically to glibc and, where that target is installed, to musl. A
//! target for each, so that build scripts and macros stay as they are.

use std::fs;
use std::process::Command;

use crate::board::Board;
use crate::command::Invocation;
use crate::tally::Runner;
use crate::workspace::Workspace;

const PACKAGE: &str = "procession-process";
const GLIBC: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";

/// The tests with both, as parts of a larger run.
pub(crate) fn run_parts(workspace: &Workspace, board: &mut Board) {
    if !cfg!(target_arch = "x86_64") {
        board.skip("static C libraries", "the targets are named for x86_64 only");
        return;
    }
    let tests = static_tests(workspace, GLIBC);
    board.count("static glibc", Runner::Libtest, tests);
    if is_installed(MUSL) {
        board.count("musl", Runner::Libtest, static_tests(workspace, MUSL));
    } else {
        board
            .skip("musl", "not installed; `rustup target add x86_64-unknown-linux-musl` brings it");
    }
}

fn static_tests(workspace: &Workspace, target: &str) -> Invocation {
    let target_dir = workspace.target_dir().join("static");
    Invocation::cargo("test --no-fail-fast --tests --package")
        .args(PACKAGE)
        .args("--target")
        .args(target)
        .env("CARGO_TARGET_DIR", &target_dir.display().to_string())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
}

/// Whether the standard library is there for a target.
fn is_installed(target: &str) -> bool {
    let asked =
        Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let folder = asked.ok().filter(|answer| answer.status.success());
    let folder = folder.and_then(|answer| String::from_utf8(answer.stdout).ok());
    folder.is_some_and(|folder| fs::exists(folder.trim()).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_linked_statically_in_a_directory_of_its_own() {
        let workspace = Workspace::find().unwrap();
        let line = static_tests(&workspace, MUSL).to_string();
        assert!(line.contains("RUSTFLAGS=\"-C target-feature=+crt-static\""), "{line}");
        assert!(line.ends_with("--package procession-process --target x86_64-unknown-linux-musl"));
    }

    #[test]
    fn what_is_not_installed_is_told_from_what_is() {
        assert!(!cfg!(all(target_arch = "x86_64", target_env = "gnu")) || is_installed(GLIBC));
        assert!(!is_installed("no-such-target"));
    }
}
