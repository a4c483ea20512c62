//! The figures that the README shows: taken from the recorded ones, so that they are never others.

use std::fs;
use std::io;
use std::path::Path;

use super::document;
use super::table::markdown;

const PATH: &str = "README.md";
const SECTION: &str = "figures";

/// A line of the README's table: what was measured, under which names it was recorded, and who did the same.
struct Line {
    what: &'static str,
    area: &'static str,
    case: &'static str,
    /// Other libraries between processes.
    peers: &'static [&'static str],
    python: &'static str,
    threads: &'static str,
}

const OURS: &str = "procession";

const LINES: [Line; 8] = [
    Line {
        what: "submit a task, get its result",
        area: "pool",
        case: "submit-get-awake",
        peers: &["procspawn"],
        python: "python-Pool",
        threads: "rayon-threads",
    },
    Line {
        what: "tasks, each a message of its own",
        area: "pool",
        case: "map-200000-one-by-one",
        peers: &["procspawn"],
        python: "python-Pool",
        threads: "crossbeam-threads",
    },
    Line {
        what: "64 KiB to a worker and back",
        area: "pool",
        case: "echo-64KiB",
        peers: &["procspawn"],
        python: "python-Pool",
        threads: "crossbeam-threads",
    },
    Line {
        what: "start a pool of 2",
        area: "pool",
        case: "pool-of-2-ready",
        peers: &["procspawn"],
        python: "python-Pool",
        threads: "rayon-threads",
    },
    Line {
        what: "start a process, get its result",
        area: "spawn",
        case: "result-back",
        peers: &["procspawn"],
        python: "python-spawn",
        threads: "",
    },
    Line {
        what: "64 bytes through a pipe",
        area: "pipe",
        case: "throughput-64B",
        peers: &["ipc-channel-bytes", "iceoryx2"],
        python: "python-Pipe",
        threads: "crossbeam-threads",
    },
    Line {
        what: "64 bytes through a queue, 2 to 2",
        area: "queue",
        case: "2-to-2-64B",
        peers: &[],
        python: "python-Queue",
        threads: "crossbeam-threads",
    },
    Line {
        what: "lock and unlock a mutex",
        area: "locks",
        case: "uncontended",
        peers: &["pthread-robust"],
        python: "",
        threads: "std",
    },
];

/// Puts the recorded figures into the README.
///
/// # Errors
///
/// When a page cannot be read or written, or lacks a figure of ours.
pub(super) fn update(root: &Path) -> io::Result<()> {
    let page = fs::read_to_string(root.join(document::PATH))?;
    document::record(root, PATH, SECTION, &text(&page).map_err(io::Error::other)?)
}

/// What stands in the README, made of what stands in the documentation.
fn text(page: &str) -> Result<String, String> {
    let header = ["", "Procession", "other processes", "Python", "threads"];
    let mut rows = vec![header.map(str::to_owned)];
    for line in &LINES {
        rows.push(line.row(page)?);
    }
    Ok(format!("{}\n{}", markdown(&rows), provenance(page)))
}

impl Line {
    fn row(&self, page: &str) -> Result<[String; 5], String> {
        let recorded = section(page, self.area);
        let ours = median(recorded, self.case, OURS)
            .ok_or_else(|| format!("{}: no figure of ours for {}", self.area, self.case))?;
        let named = |contestants: &[&str]| {
            let cells = contestants.iter().filter_map(|contestant| {
                median(recorded, self.case, contestant)
                    .map(|median| format!("{median} ({})", shown(contestant)))
            });
            cells.collect::<Vec<_>>().join(", ")
        };
        let [peers, threads] = [named(self.peers), named(&[self.threads])];
        let python = median(recorded, self.case, self.python).unwrap_or_default().to_owned();
        Ok([self.what.to_owned(), ours.to_owned(), peers, python, threads])
    }
}

/// The contestant's name without how it was run, which the documentation says.
fn shown(contestant: &str) -> &str {
    contestant.trim_end_matches("-threads").trim_end_matches("-bytes")
}

fn section<'a>(page: &'a str, area: &str) -> &'a str {
    let rest = page.split_once(&format!("<!-- {area}: begin -->\n")).map_or("", |(_, rest)| rest);
    rest.split_once("<!--").map_or("", |(section, _)| section)
}

/// The median in the table of figures, which follows the one of ratios.
fn median<'a>(section: &'a str, case: &str, contestant: &str) -> Option<&'a str> {
    let rows = section.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let figures = rows.skip_while(|row| row.get(2) != Some(&"contestant"));
    let found = figures.into_iter().find(|row| row.get(1..3) == Some(&[case, contestant]))?;
    found.get(3).copied().filter(|median| *median != "none")
}

/// When and where the figures were measured, once if all of them were measured together.
fn provenance(page: &str) -> String {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for Line { area, .. } in LINES {
        let place = section(page, area).lines().next().unwrap_or_default();
        match all.iter_mut().find(|(known, _)| *known == place) {
            Some((_, areas)) if areas.contains(&area) => {}
            Some((_, areas)) => areas.push(area),
            None => all.push((place, vec![area])),
        }
    }
    match &all[..] {
        [(place, _)] => format!("Measured {place}.\n"),
        _ => {
            all.iter().map(|(place, areas)| format!("* {}: {place}\n", areas.join(", "))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!-- pool: begin -->
today, here

| case | ours | against |
|------|------|---------|
| a | procession | x |

| case | contestant | median |
|------|------------|--------|
| a | procession | 1 us |
| a | x-threads | none |
<!-- pool: end -->
";

    #[test]
    fn a_median_is_found_among_the_figures_and_not_among_the_ratios() {
        let pool = section(PAGE, "pool");
        assert_eq!(median(pool, "a", "procession"), Some("1 us"));
        assert_eq!(median(pool, "a", "x-threads"), None);
        assert_eq!(median(pool, "b", "procession"), None);
        assert_eq!(section(PAGE, "pipe"), "");
    }

    #[test]
    fn a_figure_of_ours_that_is_not_recorded_is_not_left_out() {
        assert!(text(PAGE).unwrap_err().contains("no figure of ours"));
    }

    #[test]
    fn the_readme_shows_what_was_recorded() {
        let root = crate::workspace::Workspace::find().unwrap().root().to_owned();
        let page = fs::read_to_string(root.join(document::PATH)).unwrap();
        let readme = fs::read_to_string(root.join(PATH)).unwrap();
        assert!(
            readme.contains(&text(&page).unwrap()),
            "README.md has other figures than {}: `cargo xtask bench readme` puts it right",
            document::PATH
        );
    }
}
