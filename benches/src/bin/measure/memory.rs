//! Memory: how fast it is copied, and how much of it a process has for itself.

use std::convert::Infallible;
use std::fs;
use std::hint::black_box;

use procession_bench_harness::clock::now_ns;
use procession_bench_harness::payload::{burst, source, touch};
use procession_bench_harness::{Effort, Figure, Outcome};

/// Copies `len` bytes from one place to another, again and again: nothing that moves bytes is faster.
pub(crate) fn copied(effort: Effort, len: usize) -> Outcome {
    let (from, mut to) = (source(len), vec![0; len]);
    let (start, mut count) = (now_ns(), 0);
    effort.repeat(|| {
        for _ in 0..burst(len) {
            to.copy_from_slice(black_box(&from));
            black_box(touch(&to));
        }
        count += burst(len);
        Ok::<_, Infallible>(())
    })?;
    let ns = now_ns() - start;
    let bytes = Figure::bandwidth("bytes", count * len as u64, ns);
    Ok(vec![Figure::rate("messages", count, ns), bytes])
}

/// The bytes of memory that a process shares with nobody.
pub(crate) fn private_bytes(pid: u32) -> Result<u64, Box<dyn std::error::Error>> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kibibytes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kibibytes.sum::<u64>() * 1024)
}
