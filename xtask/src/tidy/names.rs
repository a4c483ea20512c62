//! Files are short and are called what they are.

use super::Finding;
use super::source::word_positions;
use super::tree::{File, Tree};

const LINES_MAX: usize = 800;

/// Names that say where something was put and not what it is.
const VAGUE: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

/// What people read and write stays under 800 lines. The changelog is exempt, since it only ever grows.
pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let written = |file: &&File| {
        [".rs", ".md", ".toml", ".yml"].iter().any(|end| file.path.ends_with(end))
            && !file.path.ends_with("CHANGELOG.md")
    };
    let judge = |file: &File| {
        let lines = file.text.lines().count();
        let message = format!("{lines} lines; split it, the limit is {LINES_MAX}");
        (lines > LINES_MAX).then(|| Finding::new(&file.path, lines, message))
    };
    tree.files().iter().filter(written).filter_map(judge).collect()
}

/// No module, file or folder of Rust is called `util` or the like.
pub(super) fn vague_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources() {
        let stem = file.path.trim_end_matches(".rs");
        findings.extend(stem.split('/').filter(|part| VAGUE.contains(part)).map(|part| {
            Finding::new(
                &file.path,
                1,
                format!("`{part}` does not say what is in it; name the idea"),
            )
        }));
        for (number, line) in source.numbered() {
            findings.extend(vague_module(&line.code).map(|name| {
                let message = format!("module `{name}` does not say what is in it; name the idea");
                Finding::new(&file.path, number, message)
            }));
        }
    }
    findings
}

fn vague_module(code: &str) -> Option<&str> {
    let at = word_positions(code, "mod").next()?;
    let name = code[at + "mod".len()..].trim().trim_end_matches([';', '{', ' ', '}']);
    VAGUE.contains(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_801_lines_is_too_long() {
        let text = "\n".repeat(801);
        let findings = length(&Tree::of(&[("src/ring.rs", &text)]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("801"));
    }

    #[test]
    fn a_file_of_800_lines_and_a_long_lock_file_are_fine() {
        let (text, long) = ("\n".repeat(800), "\n".repeat(5000));
        let tree = Tree::of(&[("src/ring.rs", &text), ("Cargo.lock", &long)]);
        assert_eq!(length(&tree), []);
    }

    #[test]
    fn vague_files_folders_and_modules_are_found() {
        let tree = Tree::of(&[
            ("src/util.rs", ""),
            ("tests/common/mod.rs", ""),
            ("src/lib.rs", "pub(crate) mod helpers;\nmod utils {\n}\n"),
        ]);
        let places: Vec<_> = vague_names(&tree).iter().map(|f| (f.path.clone(), f.line)).collect();
        let expected =
            [("src/util.rs", 1), ("tests/common/mod.rs", 1), ("src/lib.rs", 1), ("src/lib.rs", 2)];
        assert_eq!(places, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn names_that_say_something_are_fine() {
        let tree =
            Tree::of(&[("src/utilisation.rs", ""), ("src/lib.rs", "mod ring; // common case\n")]);
        assert_eq!(vague_names(&tree), []);
    }
}
