//! `newcomer`: what somebody finds who has a clean clone and an empty directory, and does what the pages say.
//!
//! Every program on a page is put into a new package, word for word, which depends on the crates that it names and on nothing
//! else; so is every example, with what it says at its top that it needs. It must build without the network and run to its end.
//! The clone has what is committed and no more. With words, only the pages and examples whose paths have one of them are tried.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::workspace::Workspace;

const PAGES: [&str; 3] = ["README.md", "docs/coming-from-python.md", "docs/errors.md"];

const EXAMPLES: &str = "crates/procession/examples";

/// What the examples get that take arguments. They run in the folder of the packages.
const ARGUMENTS: [(&str, &str); 2] =
    [("tree_hash", "clone/docs"), ("upload_tree", "clone/docs uploaded")];

pub(crate) fn run(args: &[String]) -> Verdict {
    let is_wanted = |name: &str| args.is_empty() || args.iter().any(|word| name.contains(word));
    let workspace = Workspace::find()?;
    let desk = Desk::new()?;
    let mut board = Board::new(desk.0.clone());
    let clone = format!("clone -q {} clone", workspace.root().display());
    board.check("a clean clone", &Invocation::new("git").args(&clone));
    for page in pages(&workspace)?.into_iter().filter(|page| is_wanted(page)) {
        let text = fs::read_to_string(desk.checkout().join(&page))?;
        for (at, program) in programs(&text).iter().enumerate() {
            let name = format!("{}-{at}", page.replace(['/', '.'], "-").to_lowercase());
            board.check(&page, &desk.program(&workspace, &name, program)?);
        }
    }
    for example in Example::all(&desk.checkout().join(EXAMPLES))? {
        let part = format!("{EXAMPLES}/{}", example.name);
        if is_wanted(&part) {
            board.check(&part, &desk.example(&workspace, &example)?);
        }
    }
    Ok(board.finish())
}

/// All that have programs: those for everybody, and one of each crate.
fn pages(workspace: &Workspace) -> io::Result<Vec<String>> {
    let crates = workspace.crates()?.into_iter().map(|name| format!("crates/{name}/README.md"));
    Ok(PAGES.map(str::to_owned).into_iter().chain(crates).collect())
}

/// The programs in a page of Markdown: blocks of Rust, each of which must be whole.
fn programs(page: &str) -> Vec<String> {
    let blocks = page.split("\n```rust\n").skip(1);
    blocks
        .filter_map(|rest| rest.split_once("\n```\n").map(|(code, _)| format!("{code}\n")))
        .collect()
}

/// The crates that a program names, and all that it needs.
fn dependencies<'c>(program: &str, crates: &'c [String]) -> Vec<&'c str> {
    let is_named = |name: &&String| {
        let path = format!("{}::", name.replace('-', "_"));
        let before = |at: usize| program[..at].chars().next_back();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        program.match_indices(&path).any(|(at, _)| !before(at).is_some_and(is_word))
    };
    crates.iter().filter(is_named).map(String::as_str).collect()
}

/// A directory outside of the workspace, which cargo would take a package in it for a part of. It is removed when dropped.
struct Desk(PathBuf);

impl Desk {
    fn new() -> io::Result<Self> {
        let desk = env::temp_dir().join(format!("procession-newcomer-{}", std::process::id()));
        fs::create_dir(&desk)?;
        Ok(Self(desk))
    }

    fn checkout(&self) -> PathBuf {
        self.0.join("clone")
    }

    /// A package of this program, and how to run it.
    fn program(&self, workspace: &Workspace, name: &str, program: &str) -> io::Result<Invocation> {
        let manifest = manifest(name, program, &[], &workspace.crates()?);
        self.package(name, &manifest, &[("main.rs".to_owned(), program.to_owned())])
    }

    /// A package of this example, and how to run it.
    fn example(&self, workspace: &Workspace, example: &Example) -> io::Result<Invocation> {
        let (name, text) = (&example.name, example.text());
        let manifest = manifest(name, &text, &additions(&text), &workspace.crates()?);
        let run = self.package(name, &manifest, &example.files)?;
        let arguments = ARGUMENTS.iter().find(|(of, _)| of == name);
        Ok(arguments.map_or(run.clone(), |(_, arguments)| run.arg("--").args(arguments)))
    }

    /// Writes a package, and says how to run it.
    fn package(
        &self,
        name: &str,
        manifest: &str,
        files: &[(String, String)],
    ) -> io::Result<Invocation> {
        let folder = self.0.join(name);
        fs::create_dir_all(folder.join("src"))?;
        for (file, text) in files {
            fs::write(folder.join("src").join(file), text)?;
        }
        fs::write(folder.join("Cargo.toml"), manifest)?;
        // The versions that were tested, which are also those that are there without the network.
        fs::copy(self.checkout().join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let run = format!("run --quiet --offline --manifest-path {name}/Cargo.toml");
        // One for all of them, and gone with them: a clone in another place is another package to cargo.
        let target = self.0.join("target");
        Ok(Invocation::cargo(&run).env("CARGO_TARGET_DIR", &target.to_string_lossy()))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            println!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// An example, which is a file or a folder of files.
struct Example {
    name: String,
    files: Vec<(String, String)>,
}

impl Example {
    fn all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for (name, path) in entries(folder)? {
            all.push(if path.is_dir() {
                let read = |(file, path)| Ok((file, fs::read_to_string(path)?));
                let files = entries(&path)?.into_iter().map(read).collect::<io::Result<_>>()?;
                Self { name, files }
            } else {
                let main = ("main.rs".to_owned(), fs::read_to_string(&path)?);
                Self { name: name.trim_end_matches(".rs").to_owned(), files: vec![main] }
            });
        }
        Ok(all)
    }

    fn text(&self) -> String {
        self.files.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// What is in a folder, by name and in order.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let named =
        |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    let mut entries: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(named)).collect::<io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}

/// The crates that a page tells one to add, each with its features.
fn additions(text: &str) -> Vec<(&str, &str)> {
    let commands = text.split("`cargo add ").skip(1).filter_map(|rest| rest.split_once('`'));
    let all = commands.flat_map(|(words, _)| {
        let (names, features) = words.split_once(" --features ").unwrap_or((words, ""));
        names.split_whitespace().map(move |name| (name, features))
    });
    all.collect()
}

/// What `cargo new` writes, and what `cargo add` adds: the crates that the program names by their paths, and what it says
/// besides.
fn manifest(name: &str, program: &str, additions: &[(&str, &str)], crates: &[String]) -> String {
    let features = |of: &str| {
        let found = additions.iter().find(|(name, _)| *name == of).map_or("", |(_, list)| list);
        let quoted = found.split(',').filter(|feature| !feature.is_empty());
        quoted.map(|feature| format!("\"{feature}\"")).collect::<Vec<_>>().join(", ")
    };
    let ours = dependencies(program, crates).into_iter().map(|name| {
        format!(
            "{name} = {{ path = \"../clone/crates/{name}\", features = [{}] }}\n",
            features(name)
        )
    });
    let others = additions.iter().filter(|(name, _)| crates.iter().all(|own| own != name));
    let others = others.map(|(name, _)| {
        format!("{name} = {{ version = \"*\", features = [{}] }}\n", features(name))
    });
    let dependencies: String = ours.chain(others).collect();
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_word_for_word() {
        let page = "# Page\n\n```rust\nfn main() {}\n```\n\n```text\nno\n```\n```rust\nuse a::b;\n\nfn main() {}\n```\n";
        assert_eq!(programs(page), ["fn main() {}\n", "use a::b;\n\nfn main() {}\n"]);
    }

    #[test]
    fn a_package_depends_on_what_its_program_names() {
        let crates = ["procession", "procession-pool", "procession-shm"].map(str::to_owned);
        let found = |program| dependencies(program, &crates);
        assert_eq!(found("use procession::prelude::*;"), ["procession"]);
        assert_eq!(found("procession_pool::Pool::new(); use procession_shm::x"), &crates[1..]);
        assert_eq!(found("use my_procession::Pool;"), [""; 0]);
    }

    #[test]
    fn what_an_example_says_is_added_with_its_features() {
        let text = "//! It needs `cargo add sha2 indicatif` and\n//! `cargo add rustix --features fs,process`.\n";
        let added = additions(text);
        assert_eq!(added, [("sha2", ""), ("indicatif", ""), ("rustix", "fs,process")]);
        let manifest =
            manifest("hello", "use procession::Pool;", &added, &["procession".to_owned()]);
        assert!(
            manifest
                .contains("procession = { path = \"../clone/crates/procession\", features = [] }")
        );
        assert!(
            manifest.contains("rustix = { version = \"*\", features = [\"fs\", \"process\"] }")
        );
    }

    #[test]
    fn examples_are_files_and_folders() {
        let examples = Example::all(&Workspace::find().unwrap().root().join(EXAMPLES)).unwrap();
        assert!(examples.iter().all(|example| example.text().contains("fn main()")));
        for (name, _) in ARGUMENTS {
            assert!(examples.iter().any(|example| example.name == name), "{name}");
        }
    }

    #[test]
    fn every_page_has_a_program_and_each_is_whole() {
        let workspace = Workspace::find().unwrap();
        for page in pages(&workspace).unwrap() {
            let programs = programs(&fs::read_to_string(workspace.root().join(&page)).unwrap());
            assert!(!programs.is_empty(), "{page}");
            for program in programs {
                assert!(program.contains("fn main()"), "{page}: a fragment:\n{program}");
                assert!(!program.contains("\n# "), "{page}: a line that only rustdoc hides");
            }
        }
    }
}
