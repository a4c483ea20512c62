//! procspawn: functions in processes that are started for them, and a pool.

use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;

use procession_bench_harness::clock::time_ns;
use procession_bench_harness::payload::{source, touch};
use procession_bench_harness::{Case, Effort, Figure, Outcome, program, round_trip, work};
use procspawn::{JoinHandle, Pool};

fn main() -> ExitCode {
    procspawn::init();
    let case = |area, name, run: fn(Effort) -> Outcome| Case::new(area, name, "procspawn", run);
    program::main(&[
        case("spawn", "result-back", result_back),
        case("pool", "submit-get-awake", submitted),
        case("pool", "map-200000-one-by-one", mapped),
        case("pool", "echo-64KiB", echoed),
        case("pool", "2000-x-1ms", busy),
        case("pool", "pool-of-2-ready", ready),
    ])
}

type Failed = Box<dyn Error>;

/// Four descriptors are open for each task that was not joined, so not all can be there at once.
const WINDOW: usize = 256;

fn result_back(effort: Effort) -> Outcome {
    round_trip::each(effort, 300, || -> Result<(), Failed> {
        black_box(procspawn::spawn(1_u64, |n| n + 1).join()?);
        Ok(())
    })
}

fn warm_pool() -> Result<Pool, Failed> {
    let pool = Pool::new(2)?;
    let tasks: Vec<_> = (0..20).map(|n| pool.spawn(n, |n: i64| n)).collect();
    tasks.into_iter().try_for_each(|task| task.join().map(drop))?;
    Ok(pool)
}

fn submitted(effort: Effort) -> Outcome {
    let pool = warm_pool()?;
    let figures = round_trip::awake(effort, 5_000, || -> Result<(), Failed> {
        black_box(pool.spawn(1_i64, |n| n + 1).join()?);
        Ok(())
    })?;
    pool.shutdown();
    Ok(figures)
}

/// Runs `count` tasks, a window of them at a time; gives how long it took.
fn all<R: serde::Serialize + serde::de::DeserializeOwned>(
    count: u64,
    submit: impl Fn(u64) -> JoinHandle<R>,
) -> Result<u64, Failed> {
    let (ns, ran) = time_ns(|| -> Result<(), Failed> {
        let mut running = VecDeque::new();
        for at in 0..count {
            if running.len() == WINDOW {
                join_first(&mut running)?;
            }
            running.push_back(submit(at));
        }
        while !running.is_empty() {
            join_first(&mut running)?;
        }
        Ok(())
    });
    ran.map(|()| ns)
}

fn join_first<R: serde::Serialize + serde::de::DeserializeOwned>(
    running: &mut VecDeque<JoinHandle<R>>,
) -> Result<(), Failed> {
    if let Some(first) = running.pop_front() {
        black_box(first.join()?);
    }
    Ok(())
}

/// A tenth of the items: it is a rate.
fn mapped(effort: Effort) -> Outcome {
    let (pool, count) = (warm_pool()?, effort.count(20_000));
    let ns = all(count, |n| pool.spawn(n, |n| n + 1))?;
    pool.shutdown();
    Ok(vec![Figure::rate("items", count, ns)])
}

fn echoed(effort: Effort) -> Outcome {
    fn same(bytes: Vec<u8>) -> Vec<u8> {
        black_box(touch(&bytes));
        bytes
    }
    const LEN: usize = 1 << 16;
    let (pool, count, source) = (warm_pool()?, effort.count(2_000), source(LEN));
    let ns = all(count, |_| pool.spawn(source.clone(), same))?;
    pool.shutdown();
    Ok(vec![Figure::bandwidth("bytes", 2 * count * LEN as u64, ns)])
}

fn busy(effort: Effort) -> Outcome {
    let (pool, turns) = (warm_pool()?, work::turns_of_1ms());
    let ns = all(effort.count(2_000), |_| pool.spawn(turns, work::burn))?;
    pool.shutdown();
    Ok(vec![Figure::ns("wall", ns)])
}

fn ready(effort: Effort) -> Outcome {
    round_trip::each(effort, 50, || -> Result<(), Failed> {
        let pool = Pool::new(2)?;
        let tasks = [1, 2].map(|n| pool.spawn(n, |n: i64| n));
        tasks.into_iter().try_for_each(|task| task.join().map(drop))?;
        pool.kill();
        Ok(())
    })
}
