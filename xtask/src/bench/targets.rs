//! What is wanted: `benches/targets.toml`.
//!
//! The file is a list of tables `[[target]]` with strings and numbers, one a line; that much of TOML is read here.

use std::fs;
use std::path::Path;

use super::results::{Result as Measured, cost_ratio};

/// A ratio that is wanted, or with no `against` a bound in the figure's own unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) area: String,
    /// The case.
    pub(super) name: String,
    pub(super) ours: String,
    pub(super) against: Option<String>,
    pub(super) bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// Times as long at most; or the value itself.
    AtMost(f64),
    /// Times as fast at least.
    AtLeast(f64),
}

/// How a target was met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Met {
    Yes(f64),
    No(f64),
    /// One of the two did not run.
    Unknown,
}

/// # Errors
///
/// When the file cannot be read, and the first line that makes no sense.
pub(super) fn load(path: &Path) -> Result<Vec<Target>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Target>, String> {
    let mut rows: Vec<Vec<(&str, &str)>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        match (line.split_once(" = "), rows.last_mut()) {
            _ if line.is_empty() || line.starts_with('#') => {}
            _ if line == "[[target]]" => rows.push(Vec::new()),
            (Some((key, value)), Some(row)) => row.push((key.trim(), value.trim())),
            _ => return Err(format!("line {}: neither a table nor a value", index + 1)),
        }
    }
    rows.iter().map(|row| read_row(row)).collect()
}

fn read_row(row: &[(&str, &str)]) -> Result<Target, String> {
    const KEYS: [&str; 6] = ["area", "name", "ours", "against", "at_most", "at_least"];
    if let Some((unknown, _)) = row.iter().find(|(key, _)| !KEYS.contains(key)) {
        return Err(format!("there is no `{unknown}` in a target"));
    }
    let value = |wanted: &str| row.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    let string = |key| value(key).map(|value| value.trim_matches('"').to_owned());
    let number =
        |key| value(key).map(|value| value.parse::<f64>().map_err(|_| format!("{key} = {value}")));
    let bound = match (number("at_most").transpose()?, number("at_least").transpose()?) {
        (Some(most), None) => Bound::AtMost(most),
        (None, Some(least)) => Bound::AtLeast(least),
        _ => return Err(format!("a target has one of at_most and at_least: {row:?}")),
    };
    Ok(Target {
        area: string("area").ok_or_else(|| format!("a target without an area: {row:?}"))?,
        name: string("name").ok_or_else(|| format!("a target without a name: {row:?}"))?,
        ours: string("ours").unwrap_or_else(|| "procession".to_owned()),
        against: string("against"),
        bound,
    })
}

impl Target {
    pub(super) fn judge(&self, results: &[Measured]) -> Met {
        let main = |contestant: &str| {
            results
                .iter()
                .find(|result| result.case == self.name && result.contestant == contestant)
                .and_then(Measured::main)
        };
        let measured = match (main(&self.ours), self.against.as_deref()) {
            (Some(ours), None) => Some(ours.median()),
            (Some(ours), Some(against)) => main(against).and_then(|their| cost_ratio(ours, their)),
            (None, _) => None,
        };
        let Some(measured) = measured else { return Met::Unknown };
        let (value, is_met) = match (self.bound, &self.against) {
            (Bound::AtMost(most), _) => (measured, measured <= most),
            (Bound::AtLeast(least), Some(_)) => (1.0 / measured, 1.0 / measured >= least),
            (Bound::AtLeast(least), None) => (measured, measured >= least),
        };
        if is_met { Met::Yes(value) } else { Met::No(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::parse_figure;

    const ROW: &str = "# why\n[[target]]\narea = \"pipe\"\nname = \"one\"\nagainst = \"them\"\n";

    fn measured(contestant: &str, figure: &str) -> Measured {
        let mut result = Measured::new("one", contestant);
        result.add(Ok(vec![parse_figure(figure).unwrap()]));
        result
    }

    fn judged(bound: &str, ours: &str, theirs: &str) -> Met {
        let targets = parse(&format!("{ROW}{bound}")).unwrap();
        targets[0].judge(&[measured("procession", ours), measured("them", theirs)])
    }

    #[test]
    fn a_row_has_all_that_it_needs_or_is_refused() {
        let target = parse(&format!("{ROW}at_most = 1.5\n")).unwrap().remove(0);
        assert_eq!((&*target.ours, target.bound), ("procession", Bound::AtMost(1.5)));
        for bad in ["", "at_most = much", "at_most = 1\nat_least = 2", "ratio = 1", "nonsense"] {
            assert!(parse(&format!("{ROW}{bad}\n")).is_err(), "{bad}");
        }
        assert!(parse("area = \"pipe\"").is_err());
    }

    #[test]
    fn time_and_speed_are_told_apart() {
        assert_eq!(judged("at_most = 1.5", "t ns 120", "t ns 100"), Met::Yes(1.2));
        assert_eq!(judged("at_most = 1.1", "t ns 120", "t ns 100"), Met::No(1.2));
        assert_eq!(judged("at_least = 4", "t ns 20", "t ns 100"), Met::Yes(5.0));
        assert_eq!(judged("at_least = 4", "r /s 300", "r /s 100"), Met::No(3.0));
    }

    #[test]
    fn without_a_peer_the_value_itself_is_bound() {
        let targets = parse("[[target]]\narea = \"a\"\nname = \"one\"\nat_most = 10\n").unwrap();
        assert_eq!(targets[0].judge(&[measured("procession", "t ns 9")]), Met::Yes(9.0));
        assert_eq!(targets[0].judge(&[measured("procession", "t ns 11")]), Met::No(11.0));
        let targets = parse("[[target]]\narea = \"a\"\nname = \"one\"\nat_least = 10\n").unwrap();
        assert_eq!(targets[0].judge(&[measured("procession", "r /s 11")]), Met::Yes(11.0));
        assert_eq!(targets[0].judge(&[measured("procession", "r /s 9")]), Met::No(9.0));
    }

    #[test]
    fn who_did_not_run_is_not_judged() {
        let targets = parse(&format!("{ROW}at_most = 1.5")).unwrap();
        assert_eq!(targets[0].judge(&[measured("procession", "t ns 1")]), Met::Unknown);
        assert_eq!(targets[0].judge(&[measured("them", "t ns 1")]), Met::Unknown);
    }

    #[test]
    fn the_targets_of_the_project_can_be_read() {
        let root = crate::workspace::Workspace::find().unwrap().root().to_owned();
        let targets = load(&root.join("benches/targets.toml")).unwrap();
        assert!(targets.iter().all(|t| crate::bench::AREAS.contains(&t.area.as_str())));
    }
}
