//! A reference stands for a clone, and what has one owner cannot be cloned: pass it by value.

use procession::prelude::*;

fn fill(mut part: SharedBuf<u8>) {
    part.as_mut_slice().fill(1);
}

fn main() -> procession::Result<()> {
    let part = SharedBuf::zeroed(100)?;
    Process::spawn(fill, &part)?.join()?;
    Ok(())
}
