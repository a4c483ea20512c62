//! What the pages about proofs name as evidence: each test, scene and verb exists.
//!
//! A page that names a test which is gone claims what nobody has tried. Kill points are looked up by a test of their harness,
//! seeded bugs by one of the verb that tries them.

use std::fs;

use crate::VERBS;
use crate::workspace::Workspace;

const PAGES: &[&str] = &["docs/crash-model.md", "docs/proof.md"];

/// Whose tests a page may name by their modules, as in "pool tests `chaos`".
const NAMED_BY_MODULE: &[&str] = &["pool", "process"];

/// Where system calls fail, a scene is named by its crate first.
const SCENES: &[&str] = &["shm: ", "channel: ", "process: ", "pool: "];

/// The sources in which evidence lies.
struct Sources(Vec<(String, String)>);

#[test]
fn all_that_the_pages_name_exists() {
    let workspace = Workspace::find().unwrap();
    let sources = Sources::of(&workspace);
    for page in PAGES {
        let text = fs::read_to_string(workspace.root().join(page)).unwrap();
        let (missing, found) = sources.look_up(&text);
        assert!(missing.is_empty(), "{page} names what is not there: {missing:?}");
        assert!(found > 5, "{page} names hardly anything");
    }
}

#[test]
fn what_does_not_exist_is_seen() {
    let sources = Sources::of(&Workspace::find().unwrap());
    for gone in [
        "`there_was_once_a_test`",
        "`evidence::there_was_once_a_test`",
        "`elsewhere::what_does_not_exist_is_seen`",
        "pool tests `crashes` and `there_was_once`,",
        "`shm: there was once a scene`",
        "`cargo xtask there-was-once [seconds]`",
    ] {
        assert_eq!(sources.look_up(gone).0.len(), 1, "{gone}");
    }
    let there = "`evidence::what_does_not_exist_is_seen`, pool tests `crashes` and `chaos::`; `cargo xtask kill mutex`";
    assert_eq!(sources.look_up(there), (Vec::new(), 4));
    assert_eq!(sources.look_up("`futex_waitv` of `lock_or_reset`"), (Vec::new(), 0));
}

impl Sources {
    fn of(workspace: &Workspace) -> Self {
        let files = workspace.files().unwrap().into_iter().filter(|file| file.ends_with(".rs"));
        let read = |file: String| {
            let text = fs::read_to_string(workspace.root().join(&file)).unwrap();
            (file, text)
        };
        Self(files.map(read).collect())
    }

    /// What a page names and is not there, and how much is.
    fn look_up<'a>(&self, page: &'a str) -> (Vec<&'a str>, usize) {
        let named: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
        let known = named.into_iter().filter_map(|name| Some((name, self.has(name)?)));
        let modules = NAMED_BY_MODULE.iter().flat_map(|kin| {
            let named = modules(page, &format!("{kin} test")).into_iter();
            named.map(move |name| {
                (name, self.has_module(&format!("procession-{kin}/tests/it/"), name))
            })
        });
        let (found, missing): (Vec<_>, Vec<_>) = known.chain(modules).partition(|(_, is)| *is);
        (missing.into_iter().map(|(name, _)| name).collect(), found.len())
    }

    /// Whether that exists, if the name says what it would be.
    fn has(&self, name: &str) -> Option<bool> {
        if let Some(call) = name.strip_prefix("cargo xtask ") {
            let verb = call.split(' ').next().unwrap_or_default();
            return Some(VERBS.iter().any(|known| known.name() == verb));
        }
        if SCENES.iter().any(|start| name.starts_with(start)) {
            let scenes = self.0.iter().filter(|(file, _)| file.starts_with("tests/faults/"));
            return Some(scenes.into_iter().any(|(_, text)| text.contains(&format!("\"{name}\""))));
        }
        is_test(name).then(|| self.has_test(name))
    }

    fn has_test(&self, name: &str) -> bool {
        let (module, test) = name.rsplit_once("::").unwrap_or(("", name));
        let is_there = |(file, text): &(String, String)| {
            (module.is_empty() || file.ends_with(&format!("/{module}.rs")))
                && text.contains(&format!("fn {test}("))
        };
        self.0.iter().any(is_there)
    }

    fn has_module(&self, folder: &str, name: &str) -> bool {
        let file = format!("crates/{folder}{name}.rs");
        self.0.iter().any(|(path, _)| *path == file)
    }
}

/// A sentence of at least four words is a test.
fn is_test(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
    let last = name.rsplit("::").next().unwrap_or(name);
    name.chars().all(is_word) && last.matches('_').count() >= 3
}

/// The modules in a list that begins behind these words. A test in the list is none.
fn modules<'a>(page: &'a str, words: &str) -> Vec<&'a str> {
    let lists = page.split(words).skip(1);
    let list = |text: &'a str| {
        let mut parts = text.split('`');
        let is_joined = |gap: &str| matches!(gap, " " | "s " | ", " | " and ");
        let mut names = Vec::new();
        while parts.next().is_some_and(is_joined) {
            names.extend(parts.next());
        }
        names
    };
    let names = lists.flat_map(list).filter(|name| !is_test(name));
    names.map(|name| name.trim_end_matches("::")).collect()
}
