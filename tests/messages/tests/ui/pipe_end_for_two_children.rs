//! An end of a pipe belongs to one process: it is passed by value, and then it is gone.

use procession::pipe::Sender;
use procession::prelude::*;

fn produce(to: Sender<u32>) -> procession::Result<()> {
    to.send(1)?;
    Ok(())
}

fn main() -> procession::Result<()> {
    let (to, _from) = pipe::simplex()?;
    Process::spawn(produce, to)?.join()?;
    Process::spawn(produce, to)?.join()?;
    Ok(())
}
