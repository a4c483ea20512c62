//! Knows nothing of processes: it calls a library that counts words.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    // If a worker ever ran this function, this line would be there more than once.
    println!("main runs");
    println!("{:?}", hidden_pool::count_words(&["one", "two words", "now three words"])?);
    Ok(())
}
