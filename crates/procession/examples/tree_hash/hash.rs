//! The task: it runs in a worker process and gets and returns what can be sent.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const BUFFER_LEN: usize = 128 << 10;

/// What became of one file.
///
/// The path is an [`OsString`] because serde refuses to encode a [`PathBuf`] that is not UTF-8.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) path: OsString,
    /// A file that cannot be read is an answer, too. As a `Failure` it would be tried again wherever retries are on.
    pub(crate) hash: Result<FileHash, String>,
    /// How long the worker was on it.
    pub(crate) busy: Duration,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct FileHash {
    pub(crate) digest: [u8; 32],
    pub(crate) len: u64,
}

/// Hashes the file `name` in `folder`.
pub(crate) fn hash_file(folder: OsString, name: OsString) -> Answer {
    let started = Instant::now();
    let path = PathBuf::from(folder).join(name);
    let hash = hash_contents(&path).map_err(|error| error.to_string());
    Answer { path: path.into(), hash, busy: started.elapsed() }
}

fn hash_contents(path: &Path) -> io::Result<FileHash> {
    // All tasks of a worker run on one thread, so this is one buffer per worker.
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_LEN]);
    }
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let len = BUFFER.with_borrow_mut(|buffer| feed(&mut file, &mut hasher, buffer))?;
    Ok(FileHash { digest: hasher.finalize().into(), len })
}

fn feed(file: &mut File, hasher: &mut Sha256, buffer: &mut [u8]) -> io::Result<u64> {
    let mut len = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(len),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                len += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
