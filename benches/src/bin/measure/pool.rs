//! Pools: tasks to two workers and back.

use std::error::Error;
use std::hint::black_box;

use procession::prelude::*;
use procession_bench_harness::clock::time_ns;
use procession_bench_harness::twin::fork;
use procession_bench_harness::{Case, Effort, Figure, Outcome, Unit, payload, round_trip, work};

use crate::memory;

const OURS: &str = "procession";

/// As many as the reference machine has processors, whatever this machine has: figures of different machines can be compared.
const WORKERS: usize = 2;

const ITEMS: u64 = 200_000;
const NUMBERS: u64 = 12_000;

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, contestant, run: fn(Effort) -> Outcome| Case::new("pool", name, contestant, run);
    vec![
        case("submit-get-awake", OURS, awake),
        case("submit-get-asleep", OURS, asleep),
        case("map-200000", OURS, |effort| mapped(effort, ITEMS, None)),
        case("map-200000-one-by-one", OURS, |effort| mapped(effort, ITEMS, Some(1))),
        case("echo-64KiB", OURS, |effort| echoed(effort, 1 << 16)),
        case("echo-64KiB", "memcpy", |effort| memory::copied(effort, 1 << 16)),
        case("2000-x-1ms", OURS, busy),
        case("2000-x-1ms", "static-split", split),
        case("pool-of-2-ready", OURS, ready),
        case("factorials-12000", OURS, factorials),
        case("factorials-12000", "serial", factorials_serial),
        case("factorials-12000", "static-split", factorials_split),
        case("private-memory", "parent", |_| private(|_| Some(std::process::id()))),
        case("private-memory", "idle-worker", |_| private(|pool| pool.worker_pids().pop())),
    ]
}

pub(crate) fn successor(n: i64) -> i64 {
    n + 1
}

/// A pool whose workers have all run something.
pub(crate) fn warm_pool(workers: usize) -> Result<Pool, Box<dyn Error>> {
    let pool = Pool::with_workers(workers)?;
    pool.map(successor, 0..workers as i64 * 100)?;
    Ok(pool)
}

fn awake(effort: Effort) -> Outcome {
    let pool = warm_pool(WORKERS)?;
    round_trip::awake(effort, 50_000, || -> Result<(), Box<dyn Error>> {
        black_box(pool.submit(successor, 1)?.get()?);
        Ok(())
    })
}

/// The worker sleeps when the task comes, and the caller when the result does.
fn asleep(effort: Effort) -> Outcome {
    fn held(_: u64) -> u64 {
        round_trip::hold()
    }
    let pool = warm_pool(WORKERS)?;
    round_trip::asleep(effort, 1_000, || -> Result<u64, Box<dyn Error>> {
        Ok(pool.submit(held, 1)?.get()?)
    })
}

pub(crate) fn mapped(effort: Effort, items: u64, chunk: Option<usize>) -> Outcome {
    let pool = warm_pool(WORKERS)?;
    let count = effort.count(items).cast_signed();
    let job = chunk.into_iter().fold(pool.job(), procession::Job::chunk);
    let (ns, mapped) = time_ns(|| job.map(successor, 0..count));
    if mapped?.into_iter().ne(1..=count) {
        return Err("a wrong result".into());
    }
    let count = count.cast_unsigned();
    Ok(vec![Figure::rate("items", count, ns), Figure::ns("wall", ns)])
}

/// Vectors there and back. Both ways are counted.
pub(crate) fn echoed(effort: Effort, len: usize) -> Outcome {
    fn same(bytes: Vec<u8>) -> Vec<u8> {
        black_box(payload::touch(&bytes));
        bytes
    }
    let pool = warm_pool(WORKERS)?;
    let source = payload::source(len);
    let count = effort.count((1 << 30) / len as u64).max(2);
    let items = (0..count).map(|_| source.clone());
    let echo =
        || pool.imap(same, items).try_fold(0, |sum, echo| Ok::<_, TaskError>(sum + echo?.len()));
    let (ns, echoed) = time_ns(echo);
    let bytes = echoed? as u64;
    if bytes != count * len as u64 {
        return Err("bytes were lost".into());
    }
    Ok(vec![Figure::bandwidth("bytes", 2 * bytes, ns), Figure::rate("messages", count, ns)])
}

const TASKS: u64 = 2_000;

fn busy(effort: Effort) -> Outcome {
    let pool = warm_pool(WORKERS)?;
    let (turns, tasks) = (work::turns_of_1ms(), effort.count(TASKS));
    let items = std::iter::repeat_n(turns, usize::try_from(tasks)?);
    let (ns, done) = time_ns(|| pool.for_each(work::burn, items));
    done?;
    Ok(vec![Figure::ns("wall", ns)])
}

fn split(effort: Effort) -> Outcome {
    let (turns, tasks) = (work::turns_of_1ms(), effort.count(TASKS));
    split_in_two(move |half| {
        (half..tasks).step_by(2).for_each(|_| work::burn(turns));
    })
}

/// Each second task for each of two bare processes: nothing is sent and nothing waited for.
fn split_in_two(run_half: impl Fn(u64)) -> Outcome {
    let (ns, joined) = time_ns(|| {
        let other = fork(|| {
            run_half(1);
            Ok(())
        })?;
        run_half(0);
        other.join()
    });
    joined?;
    Ok(vec![Figure::ns("wall", ns)])
}

/// Until both workers have given a result.
fn ready(effort: Effort) -> Outcome {
    round_trip::each(effort, 100, || -> Result<(), Box<dyn Error>> {
        let pool = Pool::with_workers(WORKERS)?;
        let tasks = [0, 1].map(|n| pool.submit(successor, n));
        for task in tasks {
            task?.get()?;
        }
        pool.terminate();
        Ok(())
    })
}

fn factorials(effort: Effort) -> Outcome {
    let pool = warm_pool(WORKERS)?;
    let (ns, sums) = time_ns(|| pool.map(work::factorial, 0..effort.count(NUMBERS)));
    black_box(sums?);
    Ok(vec![Figure::ns("wall", ns)])
}

fn factorials_serial(effort: Effort) -> Outcome {
    let numbers = 0..effort.count(NUMBERS);
    let (ns, sums) = time_ns(|| numbers.map(work::factorial).collect::<Vec<_>>());
    black_box(sums);
    Ok(vec![Figure::ns("wall", ns)])
}

fn factorials_split(effort: Effort) -> Outcome {
    let numbers = effort.count(NUMBERS);
    split_in_two(move |half| {
        let sums = (half..numbers).step_by(2).map(work::factorial);
        black_box(sums.collect::<Vec<_>>());
    })
}

/// The memory that a process of an idle pool has for itself.
fn private(process: fn(&Pool) -> Option<u32>) -> Outcome {
    let pool = warm_pool(WORKERS)?;
    let pid = process(&pool).ok_or("the pool has no workers")?;
    let bytes = memory::private_bytes(pid)?;
    Ok(vec![Figure::new("private", Unit::Bytes, bytes as f64)])
}
