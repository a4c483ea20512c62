//! The whole of it: a `main` with nothing to set up, and a function that runs in other processes.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn square(n: u64) -> u64 {
    n * n
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?; // one worker process per core
    let squares = pool.map(square, 0..10)?;
    println!("{squares:?}");
    Ok(())
}
