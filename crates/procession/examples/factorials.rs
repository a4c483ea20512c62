//! The factorials of 12,000 numbers, one after the other and on a pool of five workers.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::Instant;

use procession::prelude::*;

/// The factorial of `n`, modulo a prime, because the factorial of 21 is already too large for 64 bits.
fn factorial(n: u64) -> u64 {
    (1..=n).fold(1, |product, k| product * k % 1_000_000_007)
}

fn main() -> procession::Result<()> {
    let numbers = 0..12_000;

    let start = Instant::now();
    let serial: Vec<u64> = numbers.clone().map(factorial).collect();
    println!("serial: {:.2} s", start.elapsed().as_secs_f64());

    let pool = Pool::with_workers(5)?;
    let start = Instant::now();
    let parallel = pool.map(factorial, numbers)?;
    println!("on five workers: {:.2} s", start.elapsed().as_secs_f64());

    println!("same results: {}", serial == parallel);
    Ok(())
}
