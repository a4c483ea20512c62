//! What the function needs it must be given as its argument.

use procession::prelude::*;

fn main() -> procession::Result<()> {
    let name = "bob".to_owned();
    Process::spawn(|()| println!("hello {name}"), ())?.join()?;
    Ok(())
}
