//! A result comes from another address space, so it owns what it has, even if the function could say `'static`.

use procession::prelude::*;

fn parity(n: u64) -> &'static str {
    if n % 2 == 0 { "even" } else { "odd" }
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(parity, 0..10)?;
    Ok(())
}
