//! What `ProcessPoolExecutor` does: submit tasks, go on, ask for their results. `executor [MILLISECONDS]` says how long each
//! task takes, 1000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::{Duration, Instant};

use procession::prelude::*;

fn sleep(time: Duration) -> String {
    thread::sleep(time);
    format!("slept for {time:?}")
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let time = Duration::from_millis(time_ms);
    let start = Instant::now();
    let pool = Pool::with_workers(4)?;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(pool.submit(sleep, time)?);
    }
    println!("four tasks are submitted");
    for task in tasks {
        println!("{}", task.get()?);
    }
    println!("all in {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
