//! Procession and the limits that the machine sets, in cases that the peers run too.
//!
//! One file an area. `bare` has what no program can be faster than: two processes on one word, a sleep in the kernel, a copy.

mod bare;
mod growth;
mod locks;
mod memory;
mod pipe;
mod pool;
mod queue;
mod spawn;

use std::env;
use std::process::ExitCode;

use procession_bench_harness::program;

fn main() -> ExitCode {
    // What is left of a process when nothing is asked of it: the price of starting this very program.
    if env::args().nth(1).as_deref() == Some(spawn::NOTHING) {
        return ExitCode::SUCCESS;
    }
    let areas = [pipe::cases, queue::cases, locks::cases, spawn::cases, pool::cases, growth::cases];
    program::main(&areas.into_iter().flat_map(|cases| cases()).collect::<Vec<_>>())
}
