//! crossmist: functions in processes that are started for them, and channels to them. It has no pool.

use std::error::Error;
use std::hint::black_box;
use std::process::{ExitCode, exit};

use crossmist::Duplex;
use procession_bench_harness::{Case, Effort, Outcome, program, round_trip};

#[crossmist::main]
fn main() {
    let case = |area, name, run: fn(Effort) -> Outcome| Case::new(area, name, "crossmist", run);
    let code = program::main(&[
        case("spawn", "result-back", result_back),
        case("pipe", "round-trip-8B-awake", round_trips),
    ]);
    // Its `main` returns nothing.
    if code != ExitCode::SUCCESS {
        exit(1);
    }
}

#[crossmist::func]
fn successor(n: u64) -> u64 {
    n + 1
}

#[crossmist::func]
fn echo(mut channel: Duplex<u64, u64>) {
    while let Ok(Some(n)) = channel.recv() {
        if channel.send(&n).is_err() {
            return;
        }
    }
}

fn result_back(effort: Effort) -> Outcome {
    round_trip::each(effort, 300, || -> Result<(), Box<dyn Error>> {
        black_box(successor.run(1)?);
        Ok(())
    })
}

fn round_trips(effort: Effort) -> Outcome {
    let (mut ours, theirs) = crossmist::duplex()?;
    let child = echo.spawn(theirs)?;
    let figures = round_trip::awake(effort, 10_000, || -> Result<(), Box<dyn Error>> {
        black_box(ours.request(&7)?);
        Ok(())
    })?;
    drop(ours);
    child.join()?;
    Ok(figures)
}
