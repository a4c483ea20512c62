//! An `io::Error` cannot be serialized. `procession::Result` takes any error through `?`.

use std::io;
use std::path::PathBuf;

use procession::prelude::*;

fn read(path: PathBuf) -> io::Result<String> {
    std::fs::read_to_string(path)
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(read, [PathBuf::from("one")])?;
    Ok(())
}
