//! What a queue can do: put, get, and tell how much is in it.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn main() -> procession::Result<()> {
    let queue = Queue::bounded(3)?;
    println!("empty: {}", queue.is_empty());
    for colour in ["red", "green", "blue"] {
        queue.put(colour.to_owned())?;
    }
    println!("{} items, full: {}", queue.len(), queue.is_full());
    if let Err(error) = queue.try_put("white".to_owned()) {
        println!("{} was not put: {error}", error.value);
    }
    while let Some(colour) = queue.try_get()? {
        println!("{colour}");
    }
    println!("{} items, empty: {}", queue.len(), queue.is_empty());
    Ok(())
}
