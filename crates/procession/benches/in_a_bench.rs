//! What a task costs: `cargo bench -p procession`. It needs no framework, and a pool needs nothing from one.
//!
//! Under `cargo test`, which does not pass `--bench`, it only checks that a pool works here. It then talks like a test binary with
//! one test, which is what test runners expect from it.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::env;
use std::time::Instant;

use procession::prelude::*;

const ROUNDS: u32 = 11;
const ITEMS: u64 = 100_000;
const TEST: &str = "a_pool_works_in_a_bench";

fn main() -> procession::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    match (has("--bench"), has("--list"), has("--ignored")) {
        (true, ..) => measure(),
        (_, true, false) => {
            println!("{TEST}: test");
            Ok(())
        }
        // No test is ignored, so that list is empty.
        (_, true, true) => Ok(()),
        (_, false, _) => test(),
    }
}

fn test() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    assert_eq!(pool.map(square, 0..5)?, [0, 1, 4, 9, 16]);
    println!("test {TEST} ... ok\n");
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    Ok(())
}

fn square(n: u64) -> u64 {
    n * n
}

fn measure() -> procession::Result<()> {
    let pool = Pool::new()?;
    report("map", ITEMS, || pool.map(square, 0..ITEMS).map(drop))?;
    report("imap", ITEMS, || pool.imap(square, 0..ITEMS).try_for_each(|r| r.map(drop)))?;
    report("apply", 1, || pool.apply(square, 7).map(drop))?;
    Ok(())
}

/// The median round, for each item, in nanoseconds.
fn report(
    what: &str,
    items: u64,
    run: impl Fn() -> Result<(), TaskError>,
) -> procession::Result<()> {
    run()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        run()?;
        rounds.push(started.elapsed());
    }
    rounds.sort_unstable();
    let median = rounds[rounds.len() / 2].as_nanos() / u128::from(items);
    println!("{what:<8} {median:>10} ns an item");
    Ok(())
}
