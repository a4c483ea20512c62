//! Four processes print the numbers from 1 to 100 at the same time, 25 each.
//!
//! With `--no-join`, the last line of `main` does not wait for theirs. The program still ends after its children.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn print_part(first: u32, last: u32) {
    for n in first..=last {
        println!("{n}");
    }
}

fn main() -> procession::Result<()> {
    let mut children = Vec::new();
    for first in [1, 26, 51, 76] {
        children.push(spawn!(print_part(first, first + 24))?);
    }
    if std::env::args().all(|arg| arg != "--no-join") {
        for child in children {
            child.join()?;
        }
    }
    println!("main is done");
    Ok(())
}
