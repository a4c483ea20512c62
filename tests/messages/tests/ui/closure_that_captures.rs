//! A closure that captures something has state that the worker cannot have. What all items need goes into `map_with`.
//!
//! This message is the compiler's own, as for any `fn` pointer. What to do stands in the crate's documentation.

use procession::prelude::*;

fn main() -> procession::Result<()> {
    let factor = 3;
    let pool = Pool::new()?;
    pool.map(|n: u64| n * factor, 0..10)?;
    Ok(())
}
