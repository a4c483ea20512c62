//! Tests that skip themselves at run time.
//!
//! A test that cannot run on this machine returns early, which its runner takes for a pass. It therefore
//! appends `SKIPPED: <test>: <reason>` to the file named by `PROCESSION_SKIPS`, and we count again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The environment variable that names the file.
pub(crate) const VARIABLE: &str = "PROCESSION_SKIPS";

/// A temporary file for one command's skips; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct SkipFile {
    path: PathBuf,
}

impl SkipFile {
    pub(crate) fn create() -> io::Result<Self> {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let nth = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("procession-skips-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::File::create_new(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One line per skipped test. A test that skips several of its cases is still one test.
    pub(crate) fn read(&self) -> io::Result<Vec<String>> {
        Ok(one_per_test(&fs::read_to_string(&self.path)?))
    }
}

impl Drop for SkipFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("could not remove {}: {error}", self.path.display());
        }
    }
}

fn one_per_test(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.filter(|line| seen.insert(test_name(line))).map(str::to_owned).collect()
}

/// The test in `SKIPPED: <test>: <reason>`. A test's name may hold `::` but never a colon and a space.
fn test_name(line: &str) -> &str {
    let rest = line.strip_prefix("SKIPPED: ").unwrap_or(line);
    rest.split_once(": ").map_or(rest, |(name, _reason)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_test_count_once() {
        let text =
            "SKIPPED: a::b: needs root\nSKIPPED: a::c: needs ptrace\n\nSKIPPED: a::b: again\n";
        let expected = ["SKIPPED: a::b: needs root", "SKIPPED: a::c: needs ptrace"];
        assert_eq!(one_per_test(text), expected);
    }

    #[test]
    fn the_file_starts_empty_and_goes_away() {
        let file = SkipFile::create().unwrap();
        let path = file.path().to_owned();
        assert!(file.read().unwrap().is_empty());
        fs::write(&path, "SKIPPED: x: y\n").unwrap();
        assert_eq!(file.read().unwrap(), ["SKIPPED: x: y"]);
        drop(file);
        assert!(!path.exists());
    }
}
