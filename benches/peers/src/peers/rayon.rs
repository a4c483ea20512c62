//! rayon: the same on a pool of threads.

use std::error::Error;
use std::hint::black_box;

use procession_bench_harness::clock::time_ns;
use procession_bench_harness::{Case, Effort, Figure, Outcome, round_trip, work};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run: fn(Effort) -> Outcome| Case::new("pool", name, "rayon-threads", run);
    vec![
        case("submit-get-awake", submitted),
        case("map-200000", mapped),
        case("2000-x-1ms", busy),
        case("pool-of-2-ready", ready),
        case("factorials-12000", factorials),
    ]
}

fn pool() -> Result<ThreadPool, Box<dyn Error>> {
    Ok(ThreadPoolBuilder::new().num_threads(2).build()?)
}

fn timed<R>(work: impl FnOnce() -> R) -> (Vec<Figure>, R) {
    let (ns, result) = time_ns(work);
    (vec![Figure::ns("wall", ns)], result)
}

fn submitted(effort: Effort) -> Outcome {
    let pool = pool()?;
    round_trip::awake(effort, 50_000, || {
        black_box(pool.install(|| black_box(1_i64) + 1));
        Ok(())
    })
}

fn mapped(effort: Effort) -> Outcome {
    let (pool, count) = (pool()?, effort.count(200_000));
    let items = 0..count.cast_signed();
    let (ns, mapped) =
        time_ns(|| pool.install(|| items.into_par_iter().map(|n| n + 1).collect::<Vec<i64>>()));
    black_box(mapped);
    Ok(vec![Figure::rate("items", count, ns), Figure::ns("wall", ns)])
}

fn busy(effort: Effort) -> Outcome {
    let (pool, turns) = (pool()?, work::turns_of_1ms());
    let tasks = 0..effort.count(2_000);
    Ok(timed(|| pool.install(|| tasks.into_par_iter().for_each(|_| work::burn(turns)))).0)
}

fn ready(effort: Effort) -> Outcome {
    round_trip::each(effort, 100, || {
        pool()?.broadcast(|_| black_box(1));
        Ok(())
    })
}

fn factorials(effort: Effort) -> Outcome {
    let (pool, numbers) = (pool()?, 0..effort.count(12_000));
    let (figures, sums) = timed(|| {
        pool.install(|| numbers.into_par_iter().map(work::factorial).collect::<Vec<u64>>())
    });
    black_box(sums);
    Ok(figures)
}
