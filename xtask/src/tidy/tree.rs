//! The files that the rules look at.

use std::fs;
use std::io;

use super::source::Source;
use crate::workspace::Workspace;

/// All text files of the project.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
}

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// Code and comments apart; only for Rust.
    pub(super) source: Option<Source>,
}

impl Tree {
    /// Reads the project's files. What is not UTF-8 is data, and no rule is about data.
    pub(super) fn load(workspace: &Workspace) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in workspace.files()? {
            let bytes = fs::read(workspace.root().join(&path))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File::new(path, text));
            }
        }
        Ok(Self { files })
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files with their code and comments apart.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }

    /// The manifests of packages in this workspace. One with a `[workspace]` of its own (fuzz targets need
    /// that) can inherit nothing from ours.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            let has = |section| file.text.lines().any(|line| line.trim() == section);
            file.path.ends_with("Cargo.toml") && has("[package]") && !has("[workspace]")
        })
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::parse(&text));
        Self { path, text, source }
    }

    /// The folder, with the slash at its end; empty for a file at the root.
    pub(super) fn folder(&self) -> &str {
        self.path.rfind('/').map_or("", |slash| &self.path[..=slash])
    }
}

#[cfg(test)]
impl Tree {
    /// A tree that exists only in a test.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File::new(path.to_owned(), text.to_owned());
        Self { files: files.iter().map(file).collect() }
    }
}
