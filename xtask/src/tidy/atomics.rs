//! Algorithms over shared words take their atomics from the loom shim, or loom cannot see them.

use super::Finding;
use super::source::{Source, word_positions};
use super::tree::Tree;

const MODELLED: [&str; 3] =
    ["crates/procession-shm/src/", "crates/procession-sync/src/", "crates/procession-channel/src/"];

/// The one place that may choose between std's atomics and loom's.
const SHIM: [&str; 2] = ["crates/procession-shm/src/sync.rs", "crates/procession-shm/src/sync/"];

/// What excuses a line, when a reason follows.
const MARKER: &str = "tidy: raw atomic:";

pub(super) fn raw_imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources() {
        let modelled = MODELLED.iter().any(|folder| file.path.starts_with(folder));
        if !modelled || SHIM.iter().any(|shim| file.path.starts_with(shim)) {
            continue;
        }
        let raw = statements(source).into_iter().filter(|(_, text)| names_raw_atomic(text));
        let unexcused = raw.filter(|(number, _)| !is_excused(source, *number));
        findings.extend(unexcused.map(|(number, _)| {
            let message = "take atomics from the loom shim, or add `// tidy: raw atomic: <reason>`";
            Finding::new(&file.path, number, message)
        }));
    }
    findings
}

/// The lines of code, each `use` joined into one; with the number of the first.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut inside_use = false;
    for (number, line) in source.numbered() {
        match statements.last_mut() {
            Some((_, text)) if inside_use => text.push_str(&line.code),
            _ => statements.push((number, line.code.clone())),
        }
        inside_use |= word_positions(&line.code, "use").next().is_some();
        inside_use &= !line.code.contains(';');
    }
    statements
}

/// `Ordering` alone is free: loom's is the same type as std's.
fn names_raw_atomic(statement: &str) -> bool {
    let compact: String = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = ["std", "core"]
        .iter()
        .fold(compact, |text, root| text.replace(&format!("{root}::sync::atomic::Ordering"), ""));
    let inline = ["std::sync::atomic", "core::sync::atomic"].iter().any(|path| rest.contains(path));
    let from_std = ["use std::", "use core::"].iter().any(|start| rest.contains(start));
    inline || (from_std && word_positions(&rest, "atomic").next().is_some())
}

fn is_excused(source: &Source, number: usize) -> bool {
    let first = number.saturating_sub(2);
    source.lines()[first..number].iter().any(|line| {
        line.comment.split_once(MARKER).is_some_and(|(_, reason)| !reason.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = "crates/procession-channel/src/ring.rs";

    fn lines_found(path: &str, text: &str) -> Vec<usize> {
        raw_imports(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn raw_atomics_are_found_in_every_spelling() {
        assert_eq!(lines_found(RING, "use std::sync::atomic::{AtomicU64, Ordering};\n"), [1]);
        assert_eq!(
            lines_found(RING, "\nuse std::{\n    sync::{Arc, atomic::AtomicU64},\n};\n"),
            [2]
        );
        assert_eq!(lines_found(RING, "let x = core::sync::atomic::AtomicU8::new(0);\n"), [1]);
    }

    #[test]
    fn a_marker_without_a_reason_excuses_nothing() {
        assert_eq!(lines_found(RING, "// tidy: raw atomic:\nuse std::sync::atomic::fence;\n"), [2]);
    }

    #[test]
    fn a_reason_excuses_its_line_and_the_next() {
        let above =
            "// tidy: raw atomic: counts forks, never modelled\nuse std::sync::atomic::AtomicU8;\n";
        let beside = "use std::sync::atomic::AtomicU8; // tidy: raw atomic: counts forks\n";
        assert_eq!(lines_found(RING, above), [0_usize; 0]);
        assert_eq!(lines_found(RING, beside), [0_usize; 0]);
    }

    #[test]
    fn the_shim_other_floors_orderings_and_docs_are_free() {
        let raw = "use std::sync::atomic::AtomicU8;\n";
        assert_eq!(lines_found("crates/procession-shm/src/sync.rs", raw), [0_usize; 0]);
        assert_eq!(lines_found("crates/procession-shm/src/sync/real.rs", raw), [0_usize; 0]);
        assert_eq!(lines_found("crates/procession-pool/src/worker.rs", raw), [0_usize; 0]);
        assert_eq!(lines_found(RING, "use std::sync::atomic::Ordering;\n"), [0_usize; 0]);
        assert_eq!(lines_found(RING, "//! use std::sync::atomic::AtomicU8;\n"), [0_usize; 0]);
        assert_eq!(
            lines_found(RING, "use std::sync::Arc;\nuse crate::sync::atomic::AtomicU8;\n"),
            [0_usize; 0]
        );
    }
}
