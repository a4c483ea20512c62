//! What users call has an example, which is a test, too.

use super::Finding;
use super::source::{Line, Source};
use super::tree::Tree;

/// Words that stand between `pub` and the kind of an item.
const MODIFIERS: [&str; 4] = ["const", "unsafe", "async", "extern"];

/// What an example is for. Constants and aliases are used in those of the functions that take them.
const KINDS: [&str; 5] = ["fn", "struct", "enum", "union", "trait"];

/// Attributes of what no user sees.
const UNSEEN: [&str; 4] =
    ["#[doc(hidden)]", "#[cfg(doctest)]", "#[cfg(procession_loom)]", "#[cfg(test)]"];

/// A trait of this name is there so that nobody implements another one.
const SEAL: &str = "Sealed";

/// Sources whose public items need none, and why.
const EXEMPT: [(&str, &str); 14] = [
    ("procession-channel/src/ring", "the page of the module has one of all"),
    ("procession-derive/src/", "they are where it is re-exported, with the trait"),
    ("procession-process/src/bootstrap", "hidden from users"),
    ("procession-process/src/link/", "the page of the module has one of all"),
    ("procession-process/src/outbox", "hidden from users"),
    ("procession-process/src/sugar", "hidden from users"),
    ("procession-shm/src/family/model", "for models only"),
    ("procession-shm/src/limit", "hidden from users"),
    ("procession-shm/src/reactor/model", "for models only"),
    ("procession-shm/src/sync/", "atomics as std has them, in models and where memory lies"),
    ("procession-sync/src/lock.rs", "hidden from users"),
    ("procession-sync/src/lock/word", "hidden from users"),
    ("procession-sync/src/patience", "hidden from users"),
    ("procession-sync/src/turn", "hidden from users"),
];

/// Every public function, type and trait of a library has an example in its documentation. What is `pub` can be reached:
/// rustc sees to that (`unreachable_pub`).
pub(super) fn missing(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources().filter(|(file, _)| is_judged(&file.path)) {
        let items =
            source.numbered().filter_map(|(number, line)| Some((number, item(&line.code)?)));
        let bare = items.filter(|(number, _)| needs_one(source, number - 1));
        findings.extend(bare.map(|(number, name)| {
            let message = format!("`{name}` is public and its documentation has no example");
            Finding::new(&file.path, number, message)
        }));
    }
    findings
}

fn is_judged(path: &str) -> bool {
    let is_library = path.starts_with("crates/") && path.contains("/src/");
    let is_exempt = |(prefix, _): &(&str, &str)| path["crates/".len()..].starts_with(prefix);
    is_library && !path.ends_with("tests.rs") && !EXEMPT.iter().any(is_exempt)
}

/// The name of the public item that this line begins.
fn item(code: &str) -> Option<&str> {
    let mut words = code.trim_start().strip_prefix("pub ")?.split_whitespace();
    let kind = words.find(|word| !MODIFIERS.contains(word) && !word.starts_with('"'))?;
    let name = words.next().filter(|_| KINDS.contains(&kind))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| *name != SEAL)
}

/// Whether what is directly above line `index` has no example, and nothing that makes one needless.
fn needs_one(source: &Source, index: usize) -> bool {
    let mut above = source.lines()[..index].iter().rev().take_while(|line| is_attached(line));
    let is_unseen = |line: &Line| UNSEEN.iter().any(|attribute| line.code.contains(attribute));
    !above.any(|line| line.comment.contains("```") || is_unseen(line))
}

/// Documentation and attributes, of which some have several lines.
fn is_attached(line: &Line) -> bool {
    let code = line.code.trim();
    let is_blank = code.is_empty() && line.comment.is_empty();
    !is_blank && !code.ends_with([';', '{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(path: &str, text: &str) -> Vec<usize> {
        missing(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    const PATH: &str = "crates/procession-pool/src/pool.rs";

    #[test]
    fn public_items_without_an_example_are_found() {
        assert_eq!(lines_found(PATH, "/// Maps.\n#[inline]\npub fn map() {}\n"), [3]);
        assert_eq!(lines_found(PATH, "/// Why.\n#[derive(Debug)]\npub enum Error {\n}\n"), [3]);
        assert_eq!(
            lines_found(PATH, "impl A {\n    /// New.\n    pub const unsafe fn new() {}\n}\n"),
            [3]
        );
        let other = "/// ```\n/// f();\n/// ```\npub fn f() {}\n/// G.\npub fn g() {}\n";
        assert_eq!(lines_found(PATH, other), [6]);
    }

    #[test]
    fn what_has_one_or_needs_none_is_fine() {
        let with = "/// ```\n/// map();\n/// ```\n#[expect(\n    a,\n    reason = \"b\"\n)]\npub fn map() {}\n";
        let none = [0_usize; 0];
        assert_eq!(lines_found(PATH, with), none);
        assert_eq!(lines_found(PATH, "/// Hidden.\n#[doc(hidden)]\npub fn map() {}\n"), none);
        assert_eq!(lines_found(PATH, "pub(crate) fn map() {}\npub mod a;\npub use b::c;\n"), none);
        assert_eq!(lines_found(PATH, "/// How many.\npub const MANY: usize = 3;\n"), none);
        assert_eq!(
            lines_found("crates/procession-process/src/link/frame.rs", "pub fn f() {}\n"),
            none
        );
        assert_eq!(lines_found("xtask/src/main.rs", "pub fn f() {}\n"), none);
    }

    #[test]
    fn no_exemption_is_left_over() {
        let tree = Tree::load(&crate::workspace::Workspace::find().unwrap()).unwrap();
        for (prefix, why) in EXEMPT {
            let is_there = |path: &str| {
                path.strip_prefix("crates/").is_some_and(|path| path.starts_with(prefix))
            };
            assert!(tree.files().iter().any(|file| is_there(&file.path)), "{prefix} ({why})");
        }
    }
}
