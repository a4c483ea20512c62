//! A function, its argument, a process.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn greet(name: String) {
    println!("hello {name}");
}

fn main() -> procession::Result<()> {
    let child = Process::spawn(greet, "bob")?;
    child.join()?;
    Ok(())
}
