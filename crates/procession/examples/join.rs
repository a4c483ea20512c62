//! What `join` changes: main waits, or it does not. `join [MILLISECONDS]` says how long each child takes, 1000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;

fn work(name: String, time: Duration) {
    thread::sleep(time);
    println!("{name} is done");
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let time = Duration::from_millis(time_ms);

    let first = spawn!(work("first", time))?;
    first.join()?;
    println!("main has waited for the first");

    let _second = spawn!(work("second", time))?;
    println!("main does not wait for the second"); // which goes on; the program ends after it
    Ok(())
}
