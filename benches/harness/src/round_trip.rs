//! There and back: how long an answer takes.

use crate::clock::{busy_ns, now_ns, time_ns};
use crate::{Effort, Figure};

/// Longer than anybody looks before he sleeps.
const HOLD_NS: u64 = 300_000;

/// Repeats `exchange`, which sends a message and takes the answer.
///
/// Three figures: the median of batches (`mean`), which the clock does not distort, and the percentiles of exchanges timed one
/// by one, which it makes a little longer. The first tenth warms up and is not counted.
///
/// # Errors
///
/// The first one of `exchange`.
pub fn awake<E>(
    effort: Effort,
    count: u64,
    mut exchange: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Figure>, E> {
    const BATCH: u64 = 64;
    let count = effort.count(count).max(10);
    let mut means_ns = Vec::new();
    for _ in 0..count.div_ceil(BATCH) {
        let (ns, result) = time_ns(|| (0..BATCH).try_for_each(|_| exchange()));
        result?;
        means_ns.push(ns as f64 / BATCH as f64);
    }
    let mut samples_ns = Vec::new();
    for _ in 0..count {
        let (ns, result) = time_ns(&mut exchange);
        result?;
        samples_ns.push(ns);
    }
    let mean = Figure::new("mean", crate::Unit::Nanoseconds, median(warm(means_ns)));
    Ok([vec![mean], Figure::percentiles(warm(samples_ns))].concat())
}

/// Repeats `exchange` between two sides that have both fallen asleep when a message comes.
///
/// This side is busy for a while before it sends, so that the other one sleeps. The other one calls [`hold`] before it answers,
/// and its answer is how long that took.
///
/// # Errors
///
/// The first one of `exchange`.
pub fn asleep<E>(
    effort: Effort,
    count: u64,
    mut exchange: impl FnMut() -> Result<u64, E>,
) -> Result<Vec<Figure>, E> {
    let mut samples_ns = Vec::new();
    for _ in 0..effort.count(count).max(4) {
        busy_ns(HOLD_NS);
        let start = now_ns();
        let held_ns = exchange()?;
        samples_ns.push((now_ns() - start).saturating_sub(held_ns));
    }
    Ok(Figure::percentiles(warm(samples_ns)))
}

/// Is busy until the other side sleeps, and returns for how many nanoseconds that was.
pub fn hold() -> u64 {
    busy_ns(HOLD_NS)
}

/// Repeats `work` and gives the percentiles of its time.
///
/// # Errors
///
/// The first one of `work`.
pub fn each<E>(
    effort: Effort,
    count: u64,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Figure>, E> {
    let mut samples_ns = Vec::new();
    for _ in 0..effort.count(count).max(2) {
        let (ns, result) = time_ns(&mut work);
        result?;
        samples_ns.push(ns);
    }
    Ok(Figure::percentiles(warm(samples_ns)))
}

/// Without the first tenth.
fn warm<T>(mut samples: Vec<T>) -> Vec<T> {
    samples.split_off(samples.len() / 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_was_held_is_not_counted() {
        let figures = asleep(Effort::Quick, 10, || Ok::<_, ()>(hold())).unwrap();
        let ns: f64 = figures[0].to_string().split(' ').next_back().unwrap().parse().unwrap();
        assert!(ns < HOLD_NS as f64 * 0.9, "{ns}");
    }

    #[test]
    fn the_figure_that_counts_is_first() {
        let names = |figures: Vec<Figure>| {
            figures.iter().map(|f| f.to_string().split(' ').next().unwrap().to_owned()).collect()
        };
        let all: Vec<String> = names(awake(Effort::Quick, 1000, || Ok::<_, ()>(())).unwrap());
        assert_eq!(all, ["mean", "p50", "p99"]);
        let all: Vec<String> = names(each(Effort::Quick, 1000, || Ok::<_, ()>(())).unwrap());
        assert_eq!(all, ["p50", "p99"]);
    }

    #[test]
    fn an_error_ends_it() {
        assert_eq!(awake(Effort::Quick, 9, || Err("gone")), Err("gone"));
        assert_eq!(asleep(Effort::Quick, 9, || Err("gone")), Err("gone"));
        assert_eq!(each(Effort::Quick, 9, || Err("gone")), Err("gone"));
    }
}
