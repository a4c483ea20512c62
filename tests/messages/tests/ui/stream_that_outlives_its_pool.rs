//! A stream of results borrows the pool that makes them.

use procession::prelude::*;

fn square(n: u64) -> u64 {
    n * n
}

fn squares() -> impl Iterator<Item = Result<u64, TaskError>> {
    let pool = Pool::new().unwrap();
    pool.imap(square, 0..10)
}

fn main() {
    squares().for_each(drop);
}
