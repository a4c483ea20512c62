//! The peers that leave `main` alone: channels between processes, and threads as an anchor.

mod crossbeam;
mod iceoryx;
mod ipc;
mod rayon;
mod rtrb;

use std::process::ExitCode;

use procession_bench_harness::program;

fn main() -> ExitCode {
    let all = [ipc::cases(), iceoryx::cases(), crossbeam::cases(), rtrb::cases(), rayon::cases()];
    program::main(&all.into_iter().flatten().collect::<Vec<_>>())
}
