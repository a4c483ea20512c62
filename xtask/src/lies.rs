//! The build in which whoever loads from memory that it shares with a process it does not trust may be lied to.
//!
//! The sources are compiled with `--cfg procession_hostile`, which changes what the shared atomics say. That is another build of
//! everything, so it has a target directory of its own.

use crate::board::Board;
use crate::command::Invocation;
use crate::tally::Runner;
use crate::workspace::Workspace;

/// The flag that the compiler is given.
pub(crate) const FLAG: &str = "--cfg=procession_hostile";

/// With overflow checks: a sum that no honest peer makes overflow is what is looked for.
const REPLAY: &str = "test --package procession-inputs --no-fail-fast";
/// One after the other, because one of them has the whole process lied to.
const SEAM: &str = "test --package procession-shm --lib sync::lies -- --test-threads=1";

/// The corpus with the lies that are in it, and lies by chance.
pub(crate) fn replay(workspace: &Workspace, board: &mut Board) {
    board.count("lies", Runner::Libtest, environment(workspace, Invocation::cargo(REPLAY)));
}

/// The tests of what tells the lies.
pub(crate) fn seam(workspace: &Workspace, board: &mut Board) {
    let tests = environment(workspace, Invocation::cargo(SEAM));
    board.count("what tells lies", Runner::Libtest, tests);
}

pub(crate) fn round(workspace: &Workspace) -> Invocation {
    environment(workspace, Invocation::cargo(REPLAY))
}

fn environment(workspace: &Workspace, build: Invocation) -> Invocation {
    let target_dir = workspace.target_dir().join("hostile");
    build.env("RUSTFLAGS", FLAG).env("CARGO_TARGET_DIR", &target_dir.to_string_lossy())
}
