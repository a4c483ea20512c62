//! Four processes add 100,000 each to one counter, under a lock: 400,000, always.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;
use procession::sync::Mutex;

fn count(counter: Shared<Mutex<u64>>) -> procession::Result<()> {
    for _ in 0..100_000 {
        *counter.lock()? += 1;
    }
    Ok(())
}

fn main() -> procession::Result<()> {
    let counter = Shared::new(Mutex::new(0))?;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(Process::spawn(count, &counter)?);
    }
    for child in children {
        child.join()?;
    }
    println!("{}", *counter.lock()?);
    Ok(())
}
