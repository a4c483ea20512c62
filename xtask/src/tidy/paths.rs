//! No file names a place on somebody's machine.

use super::Finding;
use super::tree::Tree;

// Taken apart, since this file is looked at too.
const MACHINE: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            let named = MACHINE.iter().filter(|prefix| names_absolute(line, prefix));
            findings.extend(named.map(|prefix| {
                let message = format!("a path under {prefix} exists on one machine only");
                Finding::new(&file.path, index + 1, message)
            }));
        }
    }
    findings
}

/// Whether `prefix` begins a path in `line`: what stands before it is not itself part of a path.
fn names_absolute(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}~)*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("docs/crash.md", text)]);
        machine_paths(&tree).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn absolute_paths_of_a_machine_are_found() {
        let text = format!(
            "see {0}ann/x\nok\n\"{1}y\"\nfile://{2}z\n",
            MACHINE[0], MACHINE[1], MACHINE[2]
        );
        assert_eq!(lines_found(&text), [1, 3, 4]);
    }

    #[test]
    fn relative_paths_and_other_places_are_fine() {
        let text = format!("target{}x\n{{dir}}{}y\n/proc/self/exe\n", MACHINE[2], MACHINE[1]);
        assert_eq!(lines_found(&text), [0_usize; 0]);
    }
}
