//! Counts how often each item was really run, whatever became of the process that ran it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file to which every execution appends its number, removed when dropped.
pub(crate) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("procession-ledger-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, []).unwrap();
        Self { path }
    }

    /// What a task is given to find the file.
    pub(crate) fn path(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    /// All numbers in the order in which they were written.
    pub(crate) fn entries(&self) -> Vec<u32> {
        let bytes = fs::read(&self.path).unwrap();
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    /// How often each number was written.
    pub(crate) fn counts(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry(entry).or_default() += 1;
        }
        counts
    }

    pub(crate) fn count(&self, number: u32) -> usize {
        self.entries().iter().filter(|&&entry| entry == number).count()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}

/// Writes `number` down: one append, which is never torn and never lost when the writer dies right after.
pub(crate) fn record(path: &str, number: u32) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&number.to_le_bytes()).unwrap();
}
