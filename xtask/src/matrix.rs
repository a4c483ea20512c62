//! The parts that `test --matrix` adds: each crate alone, in each build, other C libraries, every kill point, and the loom models.
//!
//! Cargo unites the features of all crates in one build, so a crate that forgot to ask for a feature
//! works in the workspace and breaks for the user who depends on it alone.

use std::io;

use crate::board::Board;
use crate::command::Invocation;
use crate::kill;
use crate::libc;
use crate::loom;
use crate::tally::Runner;
use crate::workspace::Workspace;

const BUILDS: [&str; 4] =
    ["", "--no-default-features", "--release", "--release --no-default-features"];

pub(crate) fn run_parts(workspace: &Workspace, board: &mut Board) -> io::Result<()> {
    for name in workspace.crates()? {
        for build in BUILDS {
            let alone = Invocation::cargo("test --no-fail-fast -p").args(&name).args(build);
            board.count(format!("{name} {build}").trim_end(), Runner::Libtest, alone);
        }
    }
    libc::run_parts(workspace, board);
    let every_instruction = kill::harness(&["--all".to_owned()]);
    board.count("kill points, every instruction", Runner::Own, every_instruction);
    loom::run_parts(workspace, board)
}
