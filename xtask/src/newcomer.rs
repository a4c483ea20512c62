//! `newcomer`: what somebody finds who has a clean clone and an empty directory, and does what the pages say.
//!
//! Every program on a page is put into a new package, word for word, which depends on the crates that it names and on nothing
//! else. It must build without the network and run to its end. The clone has what is committed and no more.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::workspace::Workspace;

const PAGES: [&str; 3] = ["README.md", "docs/coming-from-python.md", "docs/errors.md"];

pub(crate) fn run(args: &[String]) -> Verdict {
    if !args.is_empty() {
        return Err("usage: cargo xtask newcomer".into());
    }
    let workspace = Workspace::find()?;
    let desk = Desk::new()?;
    let mut board = Board::new(desk.0.clone());
    let clone = format!("clone -q {} clone", workspace.root().display());
    board.check("a clean clone", &Invocation::new("git").args(&clone));
    for page in pages(&workspace)? {
        let text = fs::read_to_string(desk.checkout().join(&page))?;
        for (at, program) in programs(&text).iter().enumerate() {
            let name = format!("{}-{at}", page.replace(['/', '.'], "-").to_lowercase());
            board.check(&page, &desk.package(&workspace, &name, program)?);
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

    /// Writes a package of this program, and says how to run it.
    fn package(&self, workspace: &Workspace, name: &str, program: &str) -> io::Result<Invocation> {
        let folder = self.0.join(name);
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("src/main.rs"), program)?;
        fs::write(folder.join("Cargo.toml"), manifest(name, program, &workspace.crates()?))?;
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

/// What `cargo new` writes, and what `cargo add --path` adds.
fn manifest(name: &str, program: &str, crates: &[String]) -> String {
    let line = |name: &str| format!("{name} = {{ path = \"../clone/crates/{name}\" }}\n");
    let dependencies: String = dependencies(program, crates).into_iter().map(line).collect();
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
