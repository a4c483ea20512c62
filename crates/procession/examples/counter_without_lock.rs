//! Four processes add 100,000 each to one counter, without a lock: less than 400,000, and never the same.
//!
//! The compiler lets nobody write to plain shared memory from two processes. What it cannot see is that a load and a store
//! that follow each other are not one step: what others have stored in between is overwritten.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use procession::prelude::*;

fn count(counter: Shared<AtomicU64>) {
    for _ in 0..100_000 {
        let seen = counter.load(Relaxed);
        thread::yield_now(); // so that it also goes wrong on a machine with one core
        counter.store(seen + 1, Relaxed); // `counter.fetch_add(1, Relaxed)` is one step, and right
    }
}

fn main() -> procession::Result<()> {
    let counter = Shared::new(AtomicU64::new(0))?;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(Process::spawn(count, &counter)?);
    }
    for child in children {
        child.join()?;
    }
    println!("{}", counter.load(Relaxed));
    Ok(())
}
