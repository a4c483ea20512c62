//! `tidy`: the house rules that no compiler and no lint knows, as code.
//!
//! A rule is a function from the tree to its findings. Each has a file, or shares one with its kin, and
//! two tests there: one where it fires and one where it must not. The rules read text, not syntax; where
//! that makes them wrong, the fix is here and not in the code that they misjudge.

mod atomics;
mod examples;
mod floors;
mod manifests;
mod names;
mod paths;
mod safety;
mod source;
mod tree;
mod words;

pub(crate) use source::Source;
use tree::Tree;

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::Verdict;
use crate::workspace::Workspace;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

const RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    names::length,
    names::vague_names,
    words::unfinished,
    words::ignored_without_reason,
    paths::machine_paths,
    safety::forbidden_in_upper_floors,
    safety::undocumented,
    atomics::raw_imports,
    examples::missing,
    floors::downward_only,
    manifests::readme,
    manifests::lints,
    manifests::rust_version,
];

pub(crate) fn run(args: &[String]) -> Verdict {
    if !args.is_empty() {
        return Err("usage: cargo xtask tidy".into());
    }
    let findings = check(&Workspace::find()?)?;
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Applies every rule, prints what they find and returns how much that was.
pub(crate) fn check(workspace: &Workspace) -> io::Result<usize> {
    let tree = Tree::load(workspace)?;
    let findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.iter().for_each(|finding| println!("{finding}"));
    println!("{} rules, {} files, {} findings", RULES.len(), tree.files().len(), findings.len());
    Ok(findings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check(&Workspace::find().unwrap()).unwrap();
        assert_eq!(findings, 0, "the findings are printed above");
    }

    #[test]
    fn a_finding_names_its_place() {
        let finding = Finding::new("src/ring.rs", 7, "too long");
        assert_eq!(finding.to_string(), "src/ring.rs:7: too long");
    }
}
