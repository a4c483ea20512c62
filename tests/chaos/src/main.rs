//! Plays whole programs that are made up by chance, and sees whether what must hold has held.
//!
//! # What is played
//!
//! A program has six acts. Most acts are [actors](actor): processes that share a queue and a lock, have a bag of handles, and do
//! what their dice say: put, get, claim, send and receive in every form (at once, with a deadline, awaited for a while), make pipes
//! whose ends travel through pipes, queues, arguments and workers, start processes in both ways, use pools, fork by hand in the
//! middle of it, and die, with a lock and a claim, by a panic, an exit or a signal. The other acts are a [chain] of processes and a
//! [crowd] of threads around one pool, in which nobody gives a deadline. The [driver] kills and stops any process meanwhile.
//!
//! # What must hold
//!
//! * A message comes once at most, whole, in its pipe's order, and not if sending it has failed; a pipe that is closed has given out
//!   all that was sent. Of messages in a queue no more are lost than processes have died.
//! * What a lock guards is whole, unless its owner has died, which is told.
//! * A task has the result that its argument makes, or an error that says what its worker did; it is begun once. No worker
//!   ends for nothing.
//! * Only errors come that are [right](excuse) where they come: in a program in which nobody died, none says so.
//! * A forked process is told that what it has inherited is its parent's, and does it no harm.
//! * Somebody gets on at any time; all processes are gone at the end; the first process has no more descriptors, threads and mappings
//!   than before; there is nothing new in `/dev/shm`.
//!
//! # What is not covered
//!
//! A seed says what each process does and in which tick it is hit, and not how the kernel runs it: the same seed may end otherwise
//! the next time. Nobody is hostile, nothing runs out and no system call fails (`hostile`, `faults` and the pool's own chaos are for
//! that); who dies dies anywhere, and not at each instruction in turn (`kill`). Locks other than the mutex, and words about how
//! soon anything happens, are left to the tests of their crates.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it has found")]

mod actor;
mod census;
mod chain;
mod copy;
mod crowd;
mod dice;
mod driver;
mod excuse;
mod family;
mod ledger;
mod letter;
mod patience;
mod pipes;
mod pools;
mod program;
mod queues;

use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: procession-chaos SEED [SECONDS]
  plays the program of that seed, and then those of the next ones until the time is over";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        // What the driver starts.
        ["act", seed] => numbered(seed).map_or(ExitCode::from(2), act),
        [seed] => numbered(seed).map_or_else(usage, |seed| run(seed, Duration::ZERO)),
        [seed, seconds] => match (numbered(seed), numbered(seconds)) {
            (Some(seed), Some(seconds)) => run(seed, Duration::from_secs(seconds)),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn numbered(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn act(seed: u64) -> ExitCode {
    program::play(seed);
    ExitCode::SUCCESS
}

/// One program after the other, until one is wrong.
fn run(first: u64, duration: Duration) -> ExitCode {
    let started = Instant::now();
    for seed in first.. {
        let wrong = match driver::play(seed) {
            Ok(Ok(())) => None,
            Ok(Err(wrong)) => Some(wrong),
            Err(error) => Some(format!("the driver itself has failed: {error}\n")),
        };
        if let Some(wrong) = wrong {
            print!("seed {seed}:\n{wrong}");
            println!("to run it again: cargo run -p procession-chaos -- {seed}");
            return ExitCode::FAILURE;
        }
        if started.elapsed() >= duration {
            println!("seeds {first} to {seed}: {} programs passed", seed - first + 1);
            break;
        }
    }
    ExitCode::SUCCESS
}
