//! What happens when there is more of something: items, bytes, workers, processes, memory.
//!
//! Here the contestant is how much there is of it.

use std::hint::black_box;

use procession_bench_harness::clock::time_ns;
use procession_bench_harness::{Case, Effort, Figure, Outcome};

use crate::pool::{echoed, mapped, successor, warm_pool};
use crate::{locks, spawn};

const AREA: &str = "growth";

pub(crate) fn cases() -> Vec<Case> {
    let items = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let payloads = [8, 64, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20];
    let doublings = [1_u32, 2, 4, 8, 16, 32, 64];
    let parents = [10 << 20, 100 << 20, 1 << 30, 4 << 30];
    let mut cases = Vec::new();
    cases.extend(items.map(|n| case("items", n, move |effort| mapped(effort, n, None))));
    cases.extend(payloads.map(|n| case("payload", n, move |effort| echoed(effort, n))));
    cases.extend(doublings.map(|n| case("workers", n, move |effort| workers(effort, n as usize))));
    cases.extend(doublings.map(|n| case("mutex", n, move |effort| mutex(effort, n))));
    cases.extend(parents.map(|n| case("parent-memory", n, move |effort| parent(effort, n))));
    cases
}

fn case(name: &str, n: impl ToString, run: impl Fn(Effort) -> Outcome + 'static) -> Case {
    Case::new(AREA, name, &n.to_string(), run)
}

/// A map of the same items with more and more workers, far more than there are processors.
fn workers(effort: Effort, workers: usize) -> Outcome {
    let pool = warm_pool(workers)?;
    let count = effort.count(1_000_000).cast_signed();
    let (ns, mapped) = time_ns(|| pool.map(successor, 0..count));
    black_box(mapped?);
    Ok(vec![Figure::rate("items", count.cast_unsigned(), ns)])
}

/// The same number of increments in all, by more and more processes.
fn mutex(effort: Effort, processes: u32) -> Outcome {
    let figures = locks::increments(effort, processes, 1_280_000 / u64::from(processes))?;
    Ok(figures.into_iter().rev().collect())
}

fn parent(effort: Effort, bytes: usize) -> Outcome {
    spawn::with_memory(effort, bytes, spawn::result_back)
}
