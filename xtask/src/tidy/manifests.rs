//! Every crate has a README, the common lints and a stated Rust version.

use super::Finding;
use super::tree::Tree;

/// Each crate of the house is of use alone, so each says what it is.
pub(super) fn readme(tree: &Tree) -> Vec<Finding> {
    let crates = tree.manifests().filter(|file| file.path.starts_with("crates/"));
    let silent = crates.filter(|file| tree.find(&format!("{}README.md", file.folder())).is_none());
    silent.map(|file| Finding::new(&file.path, 1, "there is no README.md beside it")).collect()
}

/// The lint table of the workspace holds everywhere.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let strays = tree.manifests().filter(|file| !inherits_lints(&file.text));
    let message = "must inherit the lints: [lints] workspace = true";
    strays.map(|file| Finding::new(&file.path, 1, message)).collect()
}

/// Cargo refuses an old compiler with a clear message only where the version is stated.
pub(super) fn rust_version(tree: &Tree) -> Vec<Finding> {
    let states = |text: &str| text.lines().any(|line| line.trim().starts_with("rust-version"));
    let strays = tree.manifests().filter(|file| !states(&file.text));
    let message = "must state the Rust version: rust-version.workspace = true";
    strays.map(|file| Finding::new(&file.path, 1, message)).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let in_section = lines.by_ref().take_while(|line| !line.starts_with('[')).collect::<Vec<_>>();
    in_section.contains(&"workspace = true")
        || manifest.lines().any(|l| l.trim() == "lints.workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "[package]\nname = \"x\"\nrust-version.workspace = true\n[lints]\nworkspace = true\n";
    const BARE: &str = "[package]\nname = \"x\"\n[lints]\n[dependencies]\nworkspace = true\n";

    fn bare() -> Tree {
        Tree::of(&[("crates/x/Cargo.toml", BARE)])
    }

    fn good() -> Tree {
        Tree::of(&[
            ("Cargo.toml", "[workspace]\n"),
            ("crates/x/Cargo.toml", GOOD),
            ("crates/x/README.md", "# x\n"),
            ("fuzz/Cargo.toml", "[package]\nname = \"fuzz\"\n[workspace]\n"),
        ])
    }

    #[test]
    fn a_missing_readme_is_found() {
        assert_eq!(readme(&bare()).len(), 1);
    }

    #[test]
    fn a_readme_is_enough() {
        assert_eq!(readme(&good()), []);
    }

    #[test]
    fn lints_of_its_own_are_found() {
        assert_eq!(lints(&bare()).len(), 1);
    }

    #[test]
    fn inherited_lints_are_fine() {
        assert_eq!(lints(&good()), []);
    }

    #[test]
    fn a_missing_rust_version_is_found() {
        assert_eq!(rust_version(&bare()).len(), 1);
    }

    #[test]
    fn a_stated_rust_version_is_fine() {
        assert_eq!(rust_version(&good()), []);
    }
}
