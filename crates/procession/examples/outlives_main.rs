//! A child that is no daemon does its work to the end, after main has done its own. `outlives_main [MILLISECONDS]` says how long
//! that takes, 3000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;

fn work(time: Duration) {
    println!("child begins");
    thread::sleep(time);
    println!("child is done");
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(3000), |arg| arg.parse())?;
    let _child = Process::spawn(work, Duration::from_millis(time_ms))?;
    println!("main is done");
    Ok(())
}
