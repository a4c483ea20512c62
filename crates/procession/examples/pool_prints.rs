//! The workers of a pool print the numbers from 1 to 100, in whatever order they come to it.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn print(n: u32) {
    println!("{n}");
}

fn main() -> procession::Result<()> {
    let pool = Pool::with_workers(4)?;
    pool.map(print, 1..=100)?;
    println!("all are printed");
    Ok(())
}
