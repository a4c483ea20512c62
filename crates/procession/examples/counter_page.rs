//! A page of counters that many processes update and one reads while they work: no lock, no message, no cost to speak of.
//! `counter_page [MILLISECONDS]` says how often it is read, 1000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use procession::prelude::*;

/// The same for every process that has the handle. Its fields are ordinary atomics.
#[derive(Shareable)]
struct Page {
    tried: AtomicU64,
    primes: AtomicU64,
    largest: AtomicU64,
}

fn find_primes(page: Shared<Page>, from: u64, to: u64) {
    for n in from..to {
        page.tried.fetch_add(1, Relaxed);
        if n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d)) {
            page.primes.fetch_add(1, Relaxed);
            page.largest.fetch_max(n, Relaxed);
        }
    }
}

fn main() -> procession::Result<()> {
    let pause_ms = std::env::args().nth(1).map_or(Ok(1000), |arg| arg.parse())?;
    let end: u64 = std::env::args().nth(2).map_or(Ok(10_000_000), |arg| arg.parse())?;
    let page = Page { tried: 0.into(), primes: 0.into(), largest: 0.into() };
    let page = Shared::new(page)?;
    let mut children = Vec::new();
    for part in 0..4 {
        children.push(spawn!(find_primes(&page, end * part / 4, end * (part + 1) / 4))?);
    }
    for child in &mut children {
        while child.join_timeout(Duration::from_millis(pause_ms))?.is_none() {
            println!("{} of {end} numbers tried", page.tried.load(Relaxed));
        }
    }
    let [primes, largest] = [&page.primes, &page.largest].map(|counter| counter.load(Relaxed));
    println!("{primes} primes below {end}, the largest is {largest}");
    Ok(())
}
