//! Tasks of a pool that use a pool of their own: each folder is a task, and each file a task of that.
//!
//! In Python the workers of a pool are daemons, which may have no children. Here they may, and if a worker dies, all below it go
//! with it. `nested_pools DIR` says which folder, the current one by default.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::fs;
use std::path::PathBuf;

use procession::prelude::*;

fn count_lines(file: PathBuf) -> procession::Result<usize> {
    Ok(fs::read(file)?.iter().filter(|byte| **byte == b'\n').count())
}

fn count_lines_in(folder: PathBuf) -> procession::Result<usize> {
    let mut files = entries(folder)?;
    files.retain(|path| path.is_file());
    let pool = Pool::with_workers(2)?;
    Ok(pool.map(count_lines, files)?.into_iter().sum())
}

fn entries(folder: PathBuf) -> procession::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn main() -> procession::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    let pool = Pool::with_workers(2)?;
    for (folder, lines) in folders.iter().zip(pool.imap(count_lines_in, &folders)) {
        println!("{:7} {}", lines?, folder.display());
    }
    Ok(())
}
