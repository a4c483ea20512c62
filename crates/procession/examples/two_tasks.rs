//! Two tasks side by side, each telling how far it is. `two_tasks [MILLISECONDS]` says how long a step takes, 1000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;

fn work(task: String, steps: u32, step: Duration) {
    for n in 1..=steps {
        thread::sleep(step);
        println!("{task}: {n} of {steps}");
    }
}

fn main() -> procession::Result<()> {
    let step_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let step = Duration::from_millis(step_ms);
    let download = spawn!(work("download", 5, step))?;
    let unpack = spawn!(work("unpack", 3, step))?;
    unpack.join()?;
    download.join()?;
    println!("both are done");
    Ok(())
}
