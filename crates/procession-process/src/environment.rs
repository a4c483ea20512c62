//! The environment of a process: that of this one, with changes.
//!
//! Changes are applied at exec, so that the process's loader and C library see them, and so that a variable that is taken
//! away is in no memory of the process. The exception are variables of the dynamic linker (`LD_LIBRARY_PATH` and the like):
//! the process is this program and cannot be loaded without what loaded this one. Those that are taken away are passed on all
//! the same, and removed by the process itself before its own code runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Changes to the environment, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    cleared: bool,
    /// `None` takes the variable away.
    variables: BTreeMap<OsString, Option<OsString>>,
}

/// What the changes come to.
pub(crate) struct Changed {
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Names of those that the process must remove once it is loaded.
    pub(crate) unset: Vec<String>,
}

impl Changes {
    pub(crate) fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.variables.insert(name.to_owned(), Some(value.to_owned()));
    }

    pub(crate) fn remove(&mut self, name: &OsStr) {
        self.variables.insert(name.to_owned(), None);
    }

    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        self.variables.clear();
    }

    /// The first name that no environment can hold, if any.
    pub(crate) fn invalid_name(&self) -> Option<&OsStr> {
        let invalid = |name: &&OsString| {
            let bytes = name.as_encoded_bytes();
            bytes.is_empty() || bytes.contains(&b'=')
        };
        self.variables.keys().find(invalid).map(OsString::as_os_str)
    }

    pub(crate) fn apply(&self, own: impl Iterator<Item = (OsString, OsString)>) -> Changed {
        let mut changed = Changed { variables: Vec::new(), unset: Vec::new() };
        for (name, value) in own {
            let is_gone = match self.variables.get(&name) {
                Some(Some(_)) => continue,
                Some(None) => true,
                None => self.cleared,
            };
            match loader_variable(&name) {
                Some(name) if is_gone => changed.unset.push(name.to_owned()),
                _ if is_gone => continue,
                _ => {}
            }
            changed.variables.push((name, value));
        }
        let set = self.variables.iter();
        let set = set.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        changed.variables.extend(set);
        changed
    }
}

fn loader_variable(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| name.starts_with("LD_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(changes: &Changes, own: &[(&str, &str)]) -> (String, Vec<String>) {
        let own = own.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let Changed { variables, unset } = changes.apply(own);
        let shown =
            variables.iter().map(|(name, value)| format!("{}={}", name.display(), value.display()));
        (shown.collect::<Vec<_>>().join(" "), unset)
    }

    const OWN: &[(&str, &str)] = &[("A", "1"), ("LD_LIBRARY_PATH", "/lib"), ("B", "2")];

    fn changes(change: impl FnOnce(&mut Changes)) -> Changes {
        let mut changes = Changes::default();
        change(&mut changes);
        changes
    }

    #[test]
    fn no_change_leaves_all_in_order() {
        assert_eq!(
            apply(&Changes::default(), OWN),
            ("A=1 LD_LIBRARY_PATH=/lib B=2".into(), vec![])
        );
    }

    #[test]
    fn the_last_change_of_a_variable_counts() {
        let changes = changes(|changes| {
            changes.set("A".as_ref(), "lost".as_ref());
            changes.clear();
            changes.set("A".as_ref(), "x".as_ref());
            changes.remove("C".as_ref());
            changes.set("C".as_ref(), "y".as_ref());
        });
        let unset = vec!["LD_LIBRARY_PATH".to_owned()];
        assert_eq!(apply(&changes, OWN), ("LD_LIBRARY_PATH=/lib A=x C=y".into(), unset));
    }

    #[test]
    fn variables_of_the_linker_are_removed_late_unless_they_are_set() {
        let removed = changes(|changes| changes.remove("LD_LIBRARY_PATH".as_ref()));
        assert_eq!(apply(&removed, OWN).1, ["LD_LIBRARY_PATH"]);
        let set = changes(|changes| changes.set("LD_LIBRARY_PATH".as_ref(), "/x".as_ref()));
        assert_eq!(apply(&set, OWN), ("A=1 B=2 LD_LIBRARY_PATH=/x".into(), vec![]));
    }

    #[test]
    fn names_that_cannot_be_are_found() {
        for name in ["", "A=B"] {
            let changes = changes(|changes| changes.set(name.as_ref(), "".as_ref()));
            assert_eq!(changes.invalid_name(), Some(name.as_ref()));
        }
    }
}
