//! The files below a folder, found one by one as they are asked for.

use std::ffi::OsString;
use std::fs::{self, DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

/// An iterator over the regular files below a folder, as `(folder, name)`, each folder in the order of its names.
///
/// Symbolic links are not followed, except that the root itself may be one. A root that is a file is the only one found.
pub(crate) struct Walk {
    root: Option<PathBuf>,
    /// The folders that the walk is in, the deepest last.
    open: Vec<Listing>,
}

/// A folder that cannot be listed.
pub(crate) struct Unreadable {
    pub(crate) folder: PathBuf,
    pub(crate) error: io::Error,
}

/// What is left to look at in a folder.
struct Listing {
    folder: PathBuf,
    rest: vec::IntoIter<(OsString, FileType)>,
}

impl Walk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: Some(root.to_owned()), open: Vec::new() }
    }

    fn enter(
        &mut self,
        folder: PathBuf,
        list: fn(&Path) -> io::Result<Listing>,
    ) -> Result<(), Unreadable> {
        let listing = list(&folder).map_err(|error| Unreadable { folder, error })?;
        self.open.push(listing);
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Result<(OsString, OsString), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(Err(unreadable)) = self.root.take().map(|root| self.enter(root, list_root)) {
            return Some(Err(unreadable));
        }
        loop {
            let listing = self.open.last_mut()?;
            match listing.rest.next() {
                Some((name, kind)) if kind.is_file() => {
                    return Some(Ok((listing.folder.clone().into(), name)));
                }
                Some((name, kind)) if kind.is_dir() => {
                    let folder = listing.folder.join(name);
                    if let Err(unreadable) = self.enter(folder, list) {
                        return Some(Err(unreadable));
                    }
                }
                Some(_link_pipe_socket_or_device) => {}
                None => drop(self.open.pop()),
            }
        }
    }
}

fn list_root(root: &Path) -> io::Result<Listing> {
    let kind = fs::metadata(root)?.file_type();
    match (root.parent(), root.file_name()) {
        (Some(folder), Some(name)) if kind.is_file() => {
            let only = vec![(name.to_owned(), kind)];
            Ok(Listing { folder: folder.to_owned(), rest: only.into_iter() })
        }
        _ => list(root),
    }
}

fn list(folder: &Path) -> io::Result<Listing> {
    let entry =
        |entry: io::Result<DirEntry>| entry.and_then(|e| Ok((e.file_name(), e.file_type()?)));
    let mut entries = fs::read_dir(folder)?.map(entry).collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Listing { folder: folder.to_owned(), rest: entries.into_iter() })
}
