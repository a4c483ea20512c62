//! Nothing unfinished goes in, and no test is switched off without a reason.

use super::Finding;
use super::source::word_positions;
use super::tree::Tree;

const STUBS: [&str; 2] = ["todo!", "unimplemented!"];
const NOTES_TO_SELF: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// No stub in the code and no note to self in code or comments. Plans belong in the tracker.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources() {
        for (number, line) in source.numbered() {
            let stubs = STUBS.iter().filter(|stub| line.code.contains(**stub));
            let notes = NOTES_TO_SELF.iter().filter(|note| {
                [&line.code, &line.comment].iter().any(|t| word_positions(t, note).next().is_some())
            });
            findings.extend(stubs.chain(notes).map(|word| {
                Finding::new(&file.path, number, format!("`{word}`: finish it or leave it out"))
            }));
        }
    }
    findings
}

/// `#[ignore]` says why.
pub(super) fn ignored_without_reason(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.sources() {
        let silent = source.numbered().filter(|(_, line)| ignores_silently(&line.code));
        findings.extend(silent.map(|(number, _)| {
            Finding::new(&file.path, number, "say why: #[ignore = \"reason\"]")
        }));
    }
    findings
}

fn ignores_silently(code: &str) -> bool {
    let in_attribute = code.contains("#[ignore") || code.contains("cfg_attr(");
    let with_reason = |at: usize| code[at + "ignore".len()..].trim_start().starts_with('=');
    in_attribute && word_positions(code, "ignore").any(|at| !with_reason(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(rule: fn(&Tree) -> Vec<Finding>, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[("src/lib.rs", text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = "fn a() { todo!() }\nfn b() { unimplemented!(\"later\") }\n// FIXME: x\n/// TODO y\n// XXX\n";
        assert_eq!(lines_found(unfinished, text), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn words_in_strings_and_inside_other_words_are_fine() {
        let text = "f(\"todo!() FIXME\");\n// a HACKER wrote XXXX\nmktemp(\"XXX\");\n";
        assert_eq!(lines_found(unfinished, text), [0_usize; 0]);
    }

    #[test]
    fn ignoring_without_a_reason_is_found() {
        let text = "#[ignore]\nfn a() {}\n#[cfg_attr(miri, ignore)]\nfn b() {}\n";
        assert_eq!(lines_found(ignored_without_reason, text), [1, 3]);
    }

    #[test]
    fn ignoring_with_a_reason_is_fine() {
        let text =
            "#[ignore = \"needs root\"]\n#[cfg_attr(miri, ignore = \"slow\")]\nlet ignore = 1;\n";
        assert_eq!(lines_found(ignored_without_reason, text), [0_usize; 0]);
    }
}
