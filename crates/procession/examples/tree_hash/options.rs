//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: tree_hash DIR [--sorted] [--workers N] [--chaos]

Hashes every regular file below DIR with SHA-256 and prints what sha256sum(1) would print.

  --sorted     in the order of the paths, byte by byte
  --workers N  on so many worker processes; by default one per core
  --chaos      kills a random worker every 100 ms; the output stays the same
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) root: PathBuf,
    pub(crate) is_sorted: bool,
    pub(crate) workers: Option<usize>,
    pub(crate) has_chaos: bool,
}

impl Options {
    /// Nothing when only help is wanted; an error says what is wrong with the arguments.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut args = args.fuse();
        let mut roots = Vec::new();
        let (mut is_sorted, mut workers, mut has_chaos) = (false, None, false);
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--sorted") => is_sorted = true,
                Some("--chaos") => has_chaos = true,
                Some("--workers") => workers = Some(count(args.next())?),
                Some("--") => roots.extend(args.by_ref()),
                Some(unknown) if unknown.starts_with('-') => {
                    return Err(format!("there is no option {unknown}"));
                }
                _ => roots.push(arg),
            }
        }
        let root = only(roots)?.into();
        Ok(Some(Self { root, is_sorted, workers, has_chaos }))
    }
}

fn count(arg: Option<OsString>) -> Result<usize, String> {
    let number = arg.as_ref().and_then(|arg| arg.to_str()?.parse().ok());
    number.filter(|&number| number > 0).ok_or_else(|| "--workers takes a number from 1".to_owned())
}

fn only(mut roots: Vec<OsString>) -> Result<OsString, String> {
    match (roots.pop(), roots.is_empty()) {
        (Some(root), true) => Ok(root),
        (Some(_), false) => Err("one DIR at a time".to_owned()),
        (None, _) => Err("which DIR?".to_owned()),
    }
}
