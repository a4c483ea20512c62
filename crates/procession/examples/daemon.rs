//! A daemon does its work for as long as main lives, and ends with it. `daemon [MILLISECONDS]` says how long that is, 3000 by
//! default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;

fn tick(pause: Duration) {
    loop {
        println!("tick");
        thread::sleep(pause);
    }
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(3000), |arg| arg.parse())?;
    let time = Duration::from_millis(time_ms);
    let _ticker = Process::builder().daemon(true).spawn(tick, time / 6)?;
    thread::sleep(time);
    println!("main is done");
    Ok(())
}
