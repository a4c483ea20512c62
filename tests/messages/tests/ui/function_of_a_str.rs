//! Arguments are owned, so the function takes a `String`; the caller may still pass a `&str`.
//!
//! This message is the compiler's own: it does not tell lifetimes apart when it looks for an implementation, so no attribute of
//! ours is asked. What to do stands in the documentation of `Message`, under the words of this message.

use procession::prelude::*;

fn shout(text: &str) -> String {
    text.to_uppercase()
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(shout, ["one", "two"])?;
    Ok(())
}
