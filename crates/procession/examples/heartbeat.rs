//! A sign of life every few seconds beside a long computation. `heartbeat [MILLISECONDS]` says how often, 2000 by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::Duration;

use procession::prelude::*;

fn count_primes(end: u64) -> usize {
    let is_prime = |n: &u64| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..end).filter(is_prime).count()
}

fn main() -> procession::Result<()> {
    let pause_ms = std::env::args().nth(1).map_or(Ok(2000), |arg| arg.parse())?;
    let end = std::env::args().nth(2).map_or(Ok(20_000_000), |arg| arg.parse())?;
    let mut computation = Process::spawn(count_primes, end)?;
    let primes = loop {
        match computation.join_timeout(Duration::from_millis(pause_ms))? {
            Some(primes) => break primes,
            None => println!("still computing"),
        }
    };
    println!("{primes} primes below {end}");
    Ok(())
}
