//! Where the workspace is and what is in it.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that xtask belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Cargo names the manifest's directory at run time; the one known at compile time is for a binary
    /// that was started by hand.
    pub(crate) fn find() -> io::Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().ok_or_else(|| io::Error::other("xtask has no parent"))?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where builds go when nobody says otherwise.
    pub(crate) fn target_dir(&self) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        self.root.join(target)
    }

    /// The crates of the house, by name. Their folders carry the same names.
    pub(crate) fn crates(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("crates"))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Every file that belongs to the project, relative to the root and in order: what git tracks or
    /// would track, or, in a tree without git, everything that is not build output.
    pub(crate) fn files(&self) -> io::Result<Vec<String>> {
        let mut files = match self.files_by_git() {
            Some(files) => files,
            None => self.files_by_walking()?,
        };
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn files_by_git(&self) -> Option<Vec<String>> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(&self.root)
            .output()
            .ok()
            .filter(|listing| listing.status.success())?;
        let names = String::from_utf8(listing.stdout).ok()?;
        Some(names.split_terminator('\0').map(str::to_owned).collect())
    }

    fn files_by_walking(&self) -> io::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if !entry.file_type()?.is_dir() {
                    files.extend(self.relative(&entry.path()));
                } else if name != "target" && name != ".git" {
                    folders.push(entry.path());
                }
            }
        }
        Ok(files)
    }

    fn relative(&self, path: &Path) -> Option<String> {
        path.strip_prefix(&self.root).ok()?.to_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walking_finds_what_git_finds() {
        let workspace = Workspace::find().unwrap();
        let walked = workspace.files_by_walking().unwrap();
        assert!(walked.iter().any(|file| file == "xtask/src/workspace.rs"));
        assert!(!walked.iter().any(|file| file.starts_with("target/")));
    }

    #[test]
    fn the_facade_is_among_the_crates() {
        let crates = Workspace::find().unwrap().crates().unwrap();
        assert!(crates.iter().any(|name| name == "procession"));
    }
}
