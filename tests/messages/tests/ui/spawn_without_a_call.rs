//! `spawn!` takes a call.

use procession::prelude::*;

fn greet() {
    println!("hello");
}

fn main() -> procession::Result<()> {
    spawn!(greet)?.join()?;
    Ok(())
}
