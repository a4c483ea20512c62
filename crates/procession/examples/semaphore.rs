//! Six workers and a semaphore that lets two of them in at a time. `semaphore [MILLISECONDS]` says how long each stays, 1000 by
//! default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;
use procession::sync::Semaphore;

fn visit(room: Shared<Semaphore>, worker: u32, time: Duration) -> procession::Result<()> {
    let _permit = room.acquire()?; // given back when it is dropped, also by the death of this process
    println!("worker {worker} is in");
    thread::sleep(time);
    println!("worker {worker} leaves");
    Ok(())
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let time = Duration::from_millis(time_ms);
    let room = Shared::new(Semaphore::new(2))?;
    let mut workers = Vec::new();
    for number in 1..=6 {
        workers.push(spawn!(visit(&room, number, time))?);
    }
    for worker in workers {
        worker.join()?;
    }
    Ok(())
}
