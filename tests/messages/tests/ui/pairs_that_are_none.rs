//! `starmap` takes pairs.

use procession::prelude::*;

fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.starmap(power, [2_u64, 3])?;
    Ok(())
}
