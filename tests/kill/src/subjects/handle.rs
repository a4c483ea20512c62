//! A handle in which a number can be read once: what a message carries that must come whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use procession_channel::Fd;

pub(super) fn handle(number: u64) -> io::Result<Fd<File>> {
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&number.to_le_bytes())?;
    Ok(Fd::new(File::from(OwnedFd::from(reader))))
}

/// Whether it is the handle with this number, and nobody else has what it was made of.
pub(super) fn check(fd: Fd<File>, number: u64) -> Result<(), String> {
    let mut inside = Vec::new();
    let read = fd.into_inner().and_then(|mut file| file.read_to_end(&mut inside));
    if read.is_ok() && inside == number.to_le_bytes() {
        return Ok(());
    }
    Err(format!("the handle of number {number} holds {inside:?}: {read:?}"))
}
