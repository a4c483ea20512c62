//! Items are what the function takes. Numbers are not converted.

use procession::prelude::*;

fn square(n: u64) -> u64 {
    n * n
}

fn main() -> procession::Result<()> {
    let numbers: Vec<i32> = vec![1, 2, 3];
    let pool = Pool::new()?;
    pool.map(square, numbers)?;
    Ok(())
}
