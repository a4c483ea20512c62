//! Arguments are owned, so the function takes a `Vec`; the caller may still pass a slice.

use procession::prelude::*;

fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().sum()
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(sum, [&[1_u64, 2][..], &[3][..]])?;
    Ok(())
}
