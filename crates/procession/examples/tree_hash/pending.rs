//! Which files are under way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The files that were pulled from the walk and are not done, so that an error, which knows only the index of its item, can be
/// told with the name of its file. The walk fills it while the results empty it.
#[derive(Default)]
pub(crate) struct Pending {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    pulled: usize,
    item_of: HashMap<OsString, usize>,
}

impl Pending {
    pub(crate) fn add(&self, path: PathBuf) {
        let mut state = self.state.borrow_mut();
        let item = state.pulled;
        state.item_of.insert(path.into(), item);
        state.pulled += 1;
    }

    pub(crate) fn remove(&self, path: &OsStr) {
        self.state.borrow_mut().item_of.remove(path);
    }

    /// The file with this index. It searches, which is fine for what hardly ever happens.
    pub(crate) fn remove_item(&self, item: usize) -> Option<OsString> {
        let mut state = self.state.borrow_mut();
        let path = state.item_of.iter().find(|entry| *entry.1 == item)?.0.clone();
        state.item_of.remove(&path);
        Some(path)
    }
}
