//! Uploads a folder with all that is below it, several files at a time, and shows how far it is.
//!
//! `upload_tree FROM TO`: the server of this example is the folder `TO`. In a program of your own it needs
//! `cargo add indicatif`.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::ProgressIterator;
use procession::prelude::*;

fn upload(to: PathBuf, file: PathBuf) -> procession::Result<u64> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::copy(file, to)?)
}

/// All files below `folder`.
fn files(folder: &Path) -> procession::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn main() -> procession::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (args.next(), args.next()) else {
        Err("usage: upload_tree FROM TO")?
    };
    let mut uploads = Vec::new();
    for file in files(&from)? {
        uploads.push((to.join(file.strip_prefix(&from)?), file));
    }
    let pool = Pool::new()?;
    let (count, mut bytes) = (uploads.len(), 0);
    for uploaded in pool.istarmap(upload, uploads).progress() {
        bytes += uploaded?;
    }
    println!("{count} files, {bytes} bytes");
    Ok(())
}
