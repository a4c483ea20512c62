//! The environment of a process: that of this one, with changes.
//!
//! Changes are applied at exec, so that the process's loader and C library see them, and so that a variable that is taken
//! away is in no memory of the process. The exception are variables of the dynamic linker (`LD_LIBRARY_PATH` and the like):
//! the process is this program and cannot be loaded without what loaded this one. Those that are taken away are passed on all
//! the same, and removed by the process itself before its own code runs.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};

use crate::bootstrap::VARIABLE;

/// Changes to the environment, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    cleared: bool,
    /// `None` takes the variable away.
    variables: BTreeMap<OsString, Option<OsString>>,
}

/// What the changes come to.
pub(crate) struct Changed {
    cleared: bool,
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
        let mut changed =
            Changed { cleared: self.cleared, variables: Vec::new(), unset: Vec::new() };
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
        // What makes a process a child comes from nobody but its launcher.
        changed.variables.retain(|(name, _)| name != VARIABLE);
        changed
    }
}

/// What turns the environment of a zygote into that of a process that it has forked: differences from what the zygote was
/// started with, so that what its preload function has changed stays.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Patch {
    cleared: bool,
    unset: Vec<CString>,
    set: Vec<(CString, CString)>,
}

impl Changed {
    /// The differences from `before`, and the names of those that the process must remove besides.
    ///
    /// # Errors
    ///
    /// A name or a value with a NUL in it.
    pub(crate) fn since(
        self,
        before: &BTreeMap<OsString, OsString>,
    ) -> io::Result<(Patch, Vec<String>)> {
        let mut patch = Patch { cleared: self.cleared, ..Patch::default() };
        if !self.cleared {
            let gone = |name: &&OsString| !self.variables.iter().any(|(kept, _)| kept == *name);
            patch.unset = before.keys().filter(gone).map(c_string).collect::<Result<_, _>>()?;
        }
        for (name, value) in &self.variables {
            if self.cleared || before.get(name) != Some(value) {
                patch.set.push((c_string(name)?, c_string(value)?));
            }
        }
        Ok((patch, self.unset))
    }
}

fn c_string(text: &OsString) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

impl Patch {
    /// Applies the differences to this process, which has one thread.
    pub(crate) fn apply(&self) -> io::Result<()> {
        if self.cleared {
            // SAFETY: nobody else reads or changes the environment: this process has one thread.
            succeed(unsafe { libc::clearenv() })?;
        }
        for name in &self.unset {
            // SAFETY: a C string; as above.
            succeed(unsafe { libc::unsetenv(name.as_ptr()) })?;
        }
        self.set.iter().try_for_each(|(name, value)| set(name, value))
    }
}

fn set(name: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: two C strings, and this process has one thread.
    succeed(unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) })
}

fn succeed(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn loader_variable(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| name.starts_with("LD_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(changes: &Changes, own: &[(&str, &str)]) -> (String, Vec<String>) {
        let own = own.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let Changed { variables, unset, .. } = changes.apply(own);
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

    fn patch(changes: &Changes, own: &[(&str, &str)], before: &[(&str, &str)]) -> String {
        let pairs = |list: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let changed = changes.apply(pairs(own).into_iter());
        let (patch, late) = changed.since(&pairs(before).into_iter().collect()).unwrap();
        let mut shown: Vec<String> =
            patch.cleared.then(|| "clear".to_owned()).into_iter().collect();
        shown.extend(patch.unset.iter().map(|name| format!("-{}", name.to_str().unwrap())));
        let set = patch.set.iter();
        shown.extend(set.map(|(name, value)| {
            format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap())
        }));
        shown.extend(late.iter().map(|name| format!("late -{name}")));
        shown.join(" ")
    }

    #[test]
    fn a_patch_has_the_differences_and_nothing_else() {
        assert_eq!(patch(&Changes::default(), OWN, OWN), "");
        let later = &[("A", "3"), ("LD_LIBRARY_PATH", "/lib"), ("C", "4")];
        assert_eq!(patch(&Changes::default(), later, OWN), "-B A=3 C=4");
        let changed = changes(|changes| {
            changes.remove("A".as_ref());
            changes.set("D".as_ref(), "5".as_ref());
        });
        assert_eq!(patch(&changed, OWN, OWN), "-A D=5");
    }

    #[test]
    fn a_cleared_environment_keeps_nothing_of_the_zygotes() {
        let cleared = changes(|changes| {
            changes.clear();
            changes.set("B".as_ref(), "2".as_ref());
        });
        let shown = patch(&cleared, OWN, OWN);
        assert_eq!(shown, "clear LD_LIBRARY_PATH=/lib B=2 late -LD_LIBRARY_PATH");
    }

    #[test]
    fn names_that_cannot_be_are_found() {
        for name in ["", "A=B"] {
            let changes = changes(|changes| changes.set(name.as_ref(), "".as_ref()));
            assert_eq!(changes.invalid_name(), Some(name.as_ref()));
        }
    }
}
