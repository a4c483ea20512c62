//! A worker that may use 256 MiB and no more. One that needs more is stopped by its limit, and nobody else notices.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;
use procession::{Limits, ProcessError};

/// What a decoder does that believes the size in the header of a file.
fn decode(header_mib: usize) -> usize {
    let pixels = vec![1_u8; header_mib << 20];
    std::hint::black_box(pixels).len() >> 20
}

fn main() -> procession::Result<()> {
    let limited = Process::builder().limits(Limits::new().memory_bytes(256 << 20));
    for header_mib in [1, 100, 1000] {
        match limited.spawn(decode, header_mib)?.join() {
            Ok(mib) => println!("{mib} MiB: decoded"),
            Err(ProcessError::Died { exit, .. }) => println!("{header_mib} MiB: {exit}"),
            Err(error) => Err(error)?,
        }
    }
    Ok(())
}
