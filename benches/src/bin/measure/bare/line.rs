//! Two processes that spin on a cache line each: the processor's own round trip.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

use procession_bench_harness::twin::fork;
use procession_bench_harness::words::Words;
use procession_bench_harness::{Effort, Outcome, cpu, round_trip};

/// What ends the other side.
const END: u64 = u64::MAX;

pub(crate) fn round_trips(effort: Effort) -> Outcome {
    let [here, there] = cpu::two()?;
    let words = Words::new()?;
    let (request, answer) = (words.u64(0), words.u64(1));
    let twin = fork(|| {
        cpu::pin(there)?;
        let mut number = 0;
        while number != END {
            number = next(request, number);
            answer.store(number, Ordering::Release);
        }
        Ok(())
    })?;
    cpu::pin(here)?;
    let mut number = 0;
    let figures = round_trip::awake(effort, 200_000, || -> Result<(), std::io::Error> {
        request.store(number + 1, Ordering::Release);
        number = next(answer, number);
        Ok(())
    })?;
    request.store(END, Ordering::Release);
    twin.join()?;
    Ok(figures)
}

/// Spins until there is another number than `last`.
#[inline]
pub(super) fn next(word: &AtomicU64, last: u64) -> u64 {
    loop {
        let number = word.load(Ordering::Acquire);
        if number != last {
            return number;
        }
        spin_loop();
    }
}
