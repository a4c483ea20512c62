//! Two workers talk with each other through a pipe of two directions.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::pipe::Connection;
use procession::prelude::*;

fn ask(other: Connection<u64, u64>) -> procession::Result<()> {
    for n in 1..=5 {
        other.send(n)?;
        println!("the square of {n} is {}", other.recv()?);
    }
    Ok(())
}

fn answer(other: Connection<u64, u64>) -> procession::Result<()> {
    for n in &other {
        let n = n?;
        other.send(n * n)?;
    }
    Ok(())
}

fn main() -> procession::Result<()> {
    let (one, two) = pipe::duplex()?;
    let asking = Process::spawn(ask, one)?;
    let answering = Process::spawn(answer, two)?;
    asking.join()?;
    answering.join()?;
    Ok(())
}
