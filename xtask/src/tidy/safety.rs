//! Unsafe code stays on its floors, and each use of it says why it is sound.

use super::Finding;
use super::source::{Line, Source, word_positions};
use super::tree::Tree;

/// How far above its `unsafe` a SAFETY comment may start.
const LINES_ABOVE: usize = 8;

const SAFE_FLOORS: [&str; 2] =
    ["crates/procession/src/lib.rs", "crates/procession-pool/src/lib.rs"];

/// The pool and the facade cannot contain unsafe code.
pub(super) fn forbidden_in_upper_floors(tree: &Tree) -> Vec<Finding> {
    let forbids = |path: &str| {
        let source = tree.find(path)?.source.as_ref()?;
        source
            .lines()
            .iter()
            .any(|line| line.code.contains("#![forbid(unsafe_code)]"))
            .then_some(())
    };
    let open = SAFE_FLOORS.iter().filter(|path| forbids(path).is_none());
    open.map(|path| Finding::new(path, 1, "must say #![forbid(unsafe_code)]")).collect()
}

/// Every `unsafe` has a SAFETY comment close above it, or, on a declaration, a `# Safety` section.
pub(super) fn undocumented(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources() {
        for (number, line) in source.numbered() {
            let follows = |at: usize| &line.code[at + "unsafe".len()..];
            let bare = word_positions(&line.code, "unsafe")
                .map(follows)
                .find(|rest| !is_explained(source, number - 1, rest));
            findings.extend(bare.map(|rest| Finding::new(&file.path, number, advice(rest))));
        }
    }
    findings
}

fn advice(rest: &str) -> &'static str {
    if is_declaration(rest) {
        "say in a `# Safety` section what the caller must ensure"
    } else {
        "say in a SAFETY comment, in the 8 lines above, why this is sound"
    }
}

/// Whether the `unsafe` on line `index`, which is followed by `rest`, needs no more words.
fn is_explained(source: &Source, index: usize, rest: &str) -> bool {
    if rest.starts_with('(') || is_extern_block(rest) || is_function_type(rest) {
        return true;
    }
    let first = index.saturating_sub(LINES_ABOVE);
    let near = &source.lines()[first..=index];
    near.iter().any(|line| line.comment.contains("SAFETY:"))
        || (is_declaration(rest) && has_safety_section(source, index))
}

fn is_extern_block(rest: &str) -> bool {
    rest.trim_start().starts_with("extern") && word_positions(rest, "fn").next().is_none()
}

/// `unsafe fn(u8)` and `unsafe extern "C" fn(u8)` are types: nothing is done or promised there.
fn is_function_type(rest: &str) -> bool {
    word_positions(rest, "fn").next().is_some_and(|at| {
        let leads = rest[..at].trim();
        (leads.is_empty() || leads.starts_with("extern"))
            && rest[at + "fn".len()..].trim_start().starts_with('(')
    })
}

fn is_declaration(rest: &str) -> bool {
    ["fn ", "extern ", "trait "].iter().any(|keyword| rest.trim_start().starts_with(keyword))
}

/// Looks through the doc comments and attributes directly above.
fn has_safety_section(source: &Source, index: usize) -> bool {
    let attached = |line: &&Line| {
        let code = line.code.trim();
        code.starts_with("#[") || (code.is_empty() && !line.comment.is_empty())
    };
    let above = source.lines()[..index].iter().rev().take_while(attached);
    above.into_iter().any(|line| line.comment.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("src/ring.rs", text)]);
        undocumented(&tree).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_floor_that_may_turn_unsafe_is_found() {
        let tree = Tree::of(&[
            ("crates/procession/src/lib.rs", "// #![forbid(unsafe_code)]\n"),
            ("crates/procession-pool/src/lib.rs", "#![forbid(unsafe_code)]\n"),
        ]);
        let findings = forbidden_in_upper_floors(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, SAFE_FLOORS[0]);
    }

    #[test]
    fn floors_that_forbid_are_fine() {
        let tree = Tree::of(&SAFE_FLOORS.map(|path| (path, "//! Doc.\n#![forbid(unsafe_code)]\n")));
        assert_eq!(forbidden_in_upper_floors(&tree), []);
    }

    #[test]
    fn unexplained_unsafe_is_found() {
        assert_eq!(lines_found("fn f() {\n    unsafe { g() }\n}\n"), [2]);
        assert_eq!(lines_found("unsafe impl Send for Ring {}\n"), [1]);
        assert_eq!(lines_found("/// Reads.\nunsafe fn read() {}\n"), [2]);
        assert_eq!(lines_found("/// Marks.\npub unsafe trait Shareable {}\n"), [2]);
    }

    #[test]
    fn a_comment_too_far_above_does_not_count() {
        let text = format!("// SAFETY: I1.\n{}unsafe {{ g() }}\n", "let a = 1;\n".repeat(8));
        assert_eq!(lines_found(&text), [10]);
    }

    #[test]
    fn explained_unsafe_is_fine() {
        assert_eq!(lines_found("// SAFETY: I1 holds.\nunsafe { g() }\n"), [0_usize; 0]);
        assert_eq!(
            lines_found("/// # Safety\n/// - x\n#[inline]\npub unsafe fn g() {}\n"),
            [0_usize; 0]
        );
        assert_eq!(
            lines_found("/// # Safety\n/// No pointers.\npub unsafe trait S {}\n"),
            [0_usize; 0]
        );
    }

    #[test]
    fn what_does_nothing_unsafe_needs_no_comment() {
        let text = "#[unsafe(link_section = \"x\")]\nunsafe extern \"C\" {\n}\n\
            type F = unsafe extern \"C\" fn(u8);\ntype G = unsafe fn(u8);\n\
            #![forbid(unsafe_code)]\n// unsafe is a word\nf(\"unsafe\");\n";
        assert_eq!(lines_found(text), [0_usize; 0]);
    }
}
