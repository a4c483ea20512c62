//! `map` gives its function one argument. For two there is `starmap`.

use procession::prelude::*;

fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(power, [(2, 3), (3, 2)])?;
    Ok(())
}
