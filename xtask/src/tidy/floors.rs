//! The house has floors, and each stands only on those below.

use super::Finding;
use super::tree::Tree;

const FLOORS: [(&str, u8); 7] = [
    ("procession-derive", 0),
    ("procession-shm", 0),
    ("procession-sync", 1),
    ("procession-channel", 2),
    ("procession-process", 3),
    ("procession-pool", 4),
    ("procession", 5),
];

/// Its code runs in the compiler and imports nothing of ours, so the crate whose trait it derives may
/// re-export it from the same floor.
const DERIVE: &str = "procession-derive";

/// A crate depends only on crates of lower floors. Development dependencies are free.
pub(super) fn downward_only(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in tree.manifests().filter(|file| file.path.starts_with("crates/")) {
        let name = manifest.path.split('/').nth(1).unwrap_or_default();
        let Some(floor) = floor(name) else {
            let message = format!("{name} has no floor; give it one in xtask/src/tidy/floors.rs");
            findings.push(Finding::new(&manifest.path, 1, message));
            continue;
        };
        for (line, dependency) in dependencies(&manifest.text) {
            if !allowed(floor, dependency) {
                let message =
                    format!("{name} is on floor {floor} and may not stand on {dependency}");
                findings.push(Finding::new(&manifest.path, line, message));
            }
        }
    }
    findings
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// Crates from outside have no floor and are judged in review.
fn allowed(floor_of_user: u8, dependency: &str) -> bool {
    dependency == DERIVE || floor(dependency).is_none_or(|below| below < floor_of_user)
}

/// Names in the sections for dependencies and build dependencies, of any target, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
            names.extend(named_by_section(section).map(|name| (index + 1, name)));
        } else if inside && line.starts_with(|c: char| c.is_alphanumeric()) {
            let end = line.find(|c: char| !c.is_alphanumeric() && !"-_".contains(c));
            names.push((index + 1, &line[..end.unwrap_or(line.len())]));
        }
    }
    names
}

/// The crate in `[dependencies.<crate>]`, whatever target it is for.
fn named_by_section(section: &str) -> Option<&str> {
    let (kind, name) = section.rsplit_once('.')?;
    (kind.ends_with("dependencies") && !kind.ends_with("dev-dependencies")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, sections: &str) -> Vec<Finding> {
        let path = format!("crates/{name}/Cargo.toml");
        downward_only(&Tree::of(&[(&path, &format!("[package]\nname = \"{name}\"\n{sections}"))]))
    }

    #[test]
    fn standing_on_a_floor_above_is_found() {
        let found =
            findings("procession-shm", "[dependencies]\nprocession-sync.workspace = true\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 4);
    }

    #[test]
    fn every_section_is_looked_at() {
        let target = "[target.'cfg(unix)'.dependencies]\nprocession = { workspace = true }\n";
        let build = "[build-dependencies]\nprocession = { workspace = true }\n";
        let own = "[dependencies.procession]\nworkspace = true\n";
        for sections in [target, build, own] {
            assert_eq!(findings("procession-pool", sections).len(), 1, "{sections}");
        }
    }

    #[test]
    fn a_crate_may_not_stand_on_its_own_floor() {
        let found =
            findings("procession-derive", "[dependencies]\nprocession-shm.workspace = true\n");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        assert_eq!(findings("procession-attic", "").len(), 1);
    }

    #[test]
    fn standing_on_lower_floors_is_fine() {
        let below = "[dependencies]\nprocession-shm.workspace = true\nserde.workspace = true\n";
        assert_eq!(findings("procession-sync", below), []);
        let derive = "[dependencies]\nprocession-derive.workspace = true\n";
        assert_eq!(findings("procession-shm", derive), []);
        let tests =
            "[dev-dependencies]\nprocession.workspace = true\n[dev-dependencies.procession]\n";
        assert_eq!(findings("procession-shm", tests), []);
    }
}
