//! Four sleeps of one second take one second. `sleeps [MILLISECONDS]` says how long each sleep is.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::{Duration, Instant};

use procession::prelude::*;

fn sleep(number: u32, time: Duration) {
    println!("{number} sleeps for {time:?}");
    thread::sleep(time);
    println!("{number} is awake");
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let time = Duration::from_millis(time_ms);
    let start = Instant::now();
    let mut sleepers = Vec::new();
    for number in 1..=4 {
        sleepers.push(spawn!(sleep(number, time))?);
    }
    for sleeper in sleepers {
        sleeper.join()?;
    }
    println!("all in {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
