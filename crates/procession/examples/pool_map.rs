//! The squares of many numbers on four workers, and the time that took.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::Instant;

use procession::prelude::*;

fn square(n: u64) -> u64 {
    n * n
}

fn main() -> procession::Result<()> {
    let pool = Pool::with_workers(4)?;
    let start = Instant::now();
    let squares = pool.map(square, 0..100_000)?;
    let time = start.elapsed();
    println!("{:?} ... {:?}", &squares[..5], &squares[99_998..]);
    println!("{} squares in {:.2} s", squares.len(), time.as_secs_f64());
    Ok(())
}
