//! Figures in the documentation: each set of them stands between two comments and is replaced as a whole.

use std::fs;
use std::io;
use std::path::Path;

/// Where figures go.
pub(super) const PATH: &str = "docs/performance.md";

/// Replaces what stands between the comments of `section` on the page at `path`.
///
/// # Errors
///
/// When the file cannot be read or written, and when it has no such section.
pub(super) fn record(root: &Path, path: &str, section: &str, text: &str) -> io::Result<()> {
    let file = root.join(path);
    let old = fs::read_to_string(&file)?;
    let missing = || io::Error::other(format!("{path} has no section {section}"));
    fs::write(&file, replaced(&old, section, text).ok_or_else(missing)?)?;
    println!("{path}: section {section}");
    Ok(())
}

fn replaced(old: &str, section: &str, text: &str) -> Option<String> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {section}: {edge} -->\n"));
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

/// What the figures belong to: the day, the machine, its kernel, and the commit.
pub(super) fn provenance(root: &Path, rounds: usize) -> String {
    let first_line = |program: &str, args: &[&str]| {
        let ran = std::process::Command::new(program).args(args).current_dir(root).output();
        let text = ran.map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned());
        text.ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default()
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, commit {}, medians of {rounds} rounds; {processors} x {}, Linux {}, {}\n\n",
        first_line("date", &["--iso-8601"]),
        first_line("git", &["rev-parse", "--short", "HEAD"]),
        processor().unwrap_or_else(|| "unknown processor".to_owned()),
        // What follows the version is whose build it is.
        first_line("uname", &["-r"]).split('-').next().unwrap_or_default(),
        first_line("rustc", &["--version"]),
    )
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";

    #[test]
    fn only_the_section_changes() {
        let new = replaced(OLD, "x", "new\n").unwrap();
        assert_eq!(new, OLD.replace("old", "new"));
        assert_eq!(replaced(&new, "x", "old\n").unwrap(), OLD);
    }

    #[test]
    fn a_section_that_is_not_there_is_not_made_up() {
        assert_eq!(replaced(OLD, "y", "new\n"), None);
    }

    #[test]
    fn every_area_has_its_section() {
        let root = crate::workspace::Workspace::find().unwrap().root().to_owned();
        let page = fs::read_to_string(root.join(PATH)).unwrap();
        for section in crate::bench::AREAS.iter().chain(&["growth"]) {
            assert!(replaced(&page, section, "").is_some(), "{section}");
        }
    }
}
