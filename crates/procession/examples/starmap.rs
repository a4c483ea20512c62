//! A function of two arguments, and pairs of them.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

fn main() -> procession::Result<()> {
    let pool = Pool::with_workers(4)?;
    println!("{:?}", pool.starmap(power, [(2, 3), (3, 2), (10, 0), (2, 10)])?);
    Ok(())
}
