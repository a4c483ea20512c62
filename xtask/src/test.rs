//! `test`: every check and every test, and one line that says how they went.

use std::io;

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::kill;
use crate::lies;
use crate::loom;
use crate::matrix;
use crate::tally::{Runner, Tally};
use crate::tidy;
use crate::workspace::Workspace;

pub(crate) fn run(args: &[String]) -> Verdict {
    let with_matrix = match args {
        [] => false,
        [flag] if flag == "--matrix" => true,
        _ => return Err("usage: cargo xtask test [--matrix]".into()),
    };
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    gate(&workspace, &mut board)?;
    if with_matrix {
        matrix::run_parts(&workspace, &mut board)?;
    }
    Ok(board.finish())
}

/// What every change must pass. The cheap parts come first.
fn gate(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    rustfmt(workspace, board);
    house_rules(workspace, board);
    clippy(workspace, board);
    loom::check_build(workspace, board)?;
    docs(board);
    tests(workspace, board);
    lies::replay(workspace, board);
    board.count("kill points", Runner::Own, kill::harness(&[]));
    board.count(
        "doctests",
        Runner::Libtest,
        Invocation::cargo("test --workspace --doc --no-fail-fast"),
    );
    Ok(())
}

fn rustfmt(workspace: &Workspace, board: &mut Board) {
    if Invocation::cargo("fmt --version").succeeds(workspace.root()) {
        board.check("rustfmt", &Invocation::cargo("fmt --all --check"));
    } else {
        board.skip("rustfmt", "not installed; `rustup component add rustfmt` brings it");
    }
}

fn house_rules(workspace: &Workspace, board: &mut Board) {
    let started = std::time::Instant::now();
    println!("\n$ cargo xtask tidy");
    let tally = match tidy::check(workspace) {
        Ok(0) => Tally::PASSED,
        Ok(_findings) => Tally::FAILED,
        Err(error) => {
            println!("!!! tidy could not read the tree: {error}");
            Tally::FAILED
        }
    };
    board.add("tidy", tally, started.elapsed());
}

fn clippy(workspace: &Workspace, board: &mut Board) {
    if Invocation::cargo("clippy --version").succeeds(workspace.root()) {
        let clippy = Invocation::cargo("clippy --workspace --all-targets -- -D warnings");
        board.check("clippy", &clippy);
    } else {
        board.skip("clippy", "not installed; `rustup component add clippy` brings it");
    }
}

fn docs(board: &mut Board) {
    let docs = Invocation::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings");
    board.check("docs", &docs);
}

/// Benches are left out on purpose, but for those whose manifest says `test = true`: clippy has compiled
/// them, and one without libtest's harness would measure here instead of testing.
fn tests(workspace: &Workspace, board: &mut Board) {
    const TARGETS: &str = "--workspace --lib --bins --tests --examples --no-fail-fast";
    if Invocation::cargo("nextest --version").succeeds(workspace.root()) {
        // What a test says when it fails is the last that is printed of it, and not the way through the harness.
        let run = Invocation::cargo("nextest run --no-tests pass").args(TARGETS);
        let run = run.env("RUST_BACKTRACE", "0");
        board.count("tests (nextest)", Runner::Nextest, run);
    } else {
        board.count("tests", Runner::Libtest, Invocation::cargo("test").args(TARGETS));
    }
}
