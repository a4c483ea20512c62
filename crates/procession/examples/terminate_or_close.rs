//! Two ends of a pool: `close` lets it finish what it was given, `terminate` does not. `terminate_or_close [MILLISECONDS]` says
//! how long a task takes, 1000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::thread;
use std::time::Duration;

use procession::prelude::*;

/// A pool of two workers with four tasks.
fn busy_pool(time: Duration) -> procession::Result<(Pool, Vec<Task<()>>)> {
    let pool = Pool::with_workers(2)?;
    let submit = |_| pool.submit(thread::sleep, time);
    let tasks = (0..4).map(submit).collect::<Result<_, _>>()?;
    Ok((pool, tasks))
}

fn tell(end: &str, tasks: Vec<Task<()>>) {
    let (done, not_done): (Vec<_>, Vec<_>) =
        tasks.into_iter().map(Task::get).partition(Result::is_ok);
    println!("{end}: {} done, {} not", done.len(), not_done.len());
    not_done.into_iter().filter_map(Result::err).for_each(|error| println!("{error}"));
}

fn main() -> procession::Result<()> {
    let time_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;

    let (pool, tasks) = busy_pool(Duration::from_millis(time_ms))?;
    pool.close();
    let refused = pool.submit(thread::sleep, Duration::ZERO).is_err();
    println!("a closed pool refuses another task: {refused}");
    pool.join();
    tell("close", tasks);

    let (pool, tasks) = busy_pool(Duration::from_secs(3600))?;
    pool.terminate(); // does not wait for an hour
    tell("terminate", tasks);
    Ok(())
}
