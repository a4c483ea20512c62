//! Queues: two put and two get, one by one and in batches.

use std::hint::black_box;

use procession::prelude::*;
use procession::sync::Barrier;
use procession_bench_harness::clock::now_ns;
use procession_bench_harness::{Case, Effort, Figure, Outcome};

const OURS: &str = "procession";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("queue", "2-to-2-64B", OURS, |effort| two_to_two(effort, 4_000_000, 1)),
        Case::new("queue", "2-to-2-64B", "procession-batches", |effort| {
            two_to_two(effort, 16_000_000, BATCH)
        }),
    ]
}

const BATCH: usize = 64;

/// 64 bytes.
type Item = [u64; 8];

/// The last item of each putter. Whoever takes one stops; by the time that both are taken, so is everything before them.
const LAST: Item = [u64::MAX; 8];

type Work = (Queue<Item>, Shared<Barrier>, u64, usize);

/// When somebody began and ended, and how many items he took.
type Done = (u64, u64, u64);

fn put((queue, start, count, batch): Work) -> procession::Result<Done> {
    start.wait()?;
    let start_ns = now_ns();
    if batch == 1 {
        (0..count).try_for_each(|n| queue.put([n; 8]))?;
    } else {
        for _ in 0..count / batch as u64 {
            queue.put_many((0..batch as u64).map(|n| [n; 8]))?;
        }
    }
    queue.put(LAST)?;
    Ok((start_ns, now_ns(), 0))
}

fn get((queue, start, _, batch): Work) -> procession::Result<Done> {
    start.wait()?;
    let (start_ns, mut count, mut ends) = (now_ns(), 0, 0);
    while ends == 0 {
        if batch == 1 {
            note(queue.get()?, &mut count, &mut ends);
        } else {
            for item in queue.get_many(batch)? {
                note(item?, &mut count, &mut ends);
            }
        }
    }
    let end_ns = now_ns();
    // A batch may hold the ends of both.
    (1..ends).try_for_each(|_| queue.put(LAST))?;
    Ok((start_ns, end_ns, count))
}

#[inline]
fn note(item: Item, count: &mut u64, ends: &mut u64) {
    // Its first word tells: to compare 64 bytes right after they were stored would hold up the processor, and be counted.
    if black_box(item)[0] == LAST[0] {
        *ends += 1;
    } else {
        *count += 1;
    }
}

fn two_to_two(effort: Effort, items: u64, batch: usize) -> Outcome {
    let queue = Queue::new()?;
    let start = Shared::new(Barrier::new(4))?;
    let count = (effort.count(items) / 2).next_multiple_of(batch as u64);
    let spawn = |work| Process::spawn(work, (queue.clone(), start.clone(), count, batch));
    let workers =
        [put, put, get, get].map(|work: fn(Work) -> procession::Result<Done>| spawn(work));
    let (mut first_ns, mut last_ns, mut taken) = (u64::MAX, 0, 0);
    for worker in workers {
        let (start_ns, end_ns, count) = worker?.join()?;
        first_ns = first_ns.min(start_ns);
        last_ns = last_ns.max(end_ns);
        taken += count;
    }
    if taken != 2 * count {
        return Err(format!("{} items were put and {taken} taken", 2 * count).into());
    }
    Ok(vec![Figure::rate("messages", taken, last_ns - first_ns)])
}
