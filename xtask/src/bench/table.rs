//! Tables for people, in Markdown: the terminal and the documentation show the same.

use super::results::{Result as Measured, Series, cost_ratio};
use super::targets::{Bound, Met, Target};

/// Who is compared with the others where a target does not say it.
const OURS: &str = "procession";

/// Every figure of every contestant.
pub(super) fn figures(results: &[Measured]) -> String {
    let mut rows = vec![["case", "contestant", "median", "min..max", "besides"].map(str::to_owned)];
    for result in results {
        let [case, contestant] = [&result.case, &result.contestant].map(String::clone);
        rows.push(match result.main() {
            Some(main) => [case, contestant, median(main), range(main), besides(result)],
            None => [case, contestant, "none".into(), String::new(), reason(result)],
        });
    }
    markdown(&rows)
}

fn median(series: &Series) -> String {
    series.unit.display(series.median())
}

fn range(series: &Series) -> String {
    let (min, max) = series.range();
    format!("{}..{}", series.unit.display(min), series.unit.display(max))
}

fn besides(result: &Measured) -> String {
    let mut besides: Vec<String> = result
        .series
        .iter()
        .skip(1)
        .map(|series| format!("{} {}", series.name, median(series)))
        .collect();
    if !result.failures.is_empty() {
        besides.push(format!("{} rounds failed: {}", result.failures.len(), reason(result)));
    }
    besides.join(", ")
}

fn reason(result: &Measured) -> String {
    result.failures.last().cloned().unwrap_or_default().replace('|', "/")
}

/// Ours beside each of the others, with what is wanted.
pub(super) fn ratios(results: &[Measured], targets: &[Target]) -> String {
    let header = ["case", "ours", "against", "times as fast", "wanted", "met"];
    let mut rows = vec![header.map(str::to_owned)];
    let untargeted = pairs(results).filter(|(case, against)| {
        !targets
            .iter()
            .any(|t| t.name == *case && t.ours == OURS && t.against.as_deref() == Some(against))
    });
    for (case, against) in untargeted {
        let ratio = speed(results, case, against).map_or("?".into(), |ratio| format!("{ratio:.2}"));
        rows.push([case, OURS, against, &ratio, "", ""].map(str::to_owned));
    }
    rows.extend(targets.iter().map(|target| row_of(target, results)));
    rows[1..].sort();
    markdown(&rows)
}

/// The cases that ours ran, each with everybody else who did.
fn pairs(results: &[Measured]) -> impl Iterator<Item = (&str, &str)> {
    let ran = |case: &str| results.iter().any(|r| r.case == case && r.contestant == OURS);
    let others = results.iter().filter(move |r| r.contestant != OURS && ran(&r.case));
    others.map(|result| (&*result.case, &*result.contestant))
}

fn speed(results: &[Measured], case: &str, against: &str) -> Option<f64> {
    let main = |contestant: &str| {
        results
            .iter()
            .find(|r| r.case == case && r.contestant == contestant)
            .and_then(Measured::main)
    };
    cost_ratio(main(against)?, main(OURS)?)
}

fn row_of(target: &Target, results: &[Measured]) -> [String; 6] {
    let met = target.judge(results);
    let unit = || results.iter().find(|r| r.case == target.name)?.main().map(|series| series.unit);
    let show = |value: f64| match (&target.against, unit()) {
        (None, Some(unit)) => unit.display(value),
        _ => format!("{value:.2}"),
    };
    let (measured, verdict) = match (met, target.bound) {
        (Met::Unknown, _) => ("?".into(), "not measured"),
        (Met::Yes(cost), Bound::AtMost(_)) => (as_speed(target, cost, show), "yes"),
        (Met::No(cost), Bound::AtMost(_)) => (as_speed(target, cost, show), "NO"),
        (Met::Yes(speed), Bound::AtLeast(_)) => (show(speed), "yes"),
        (Met::No(speed), Bound::AtLeast(_)) => (show(speed), "NO"),
    };
    let wanted = match (target.bound, &target.against) {
        (Bound::AtMost(most), Some(_)) => format!("at most {most} times as long"),
        (Bound::AtMost(most), None) => format!("at most {}", show(most)),
        (Bound::AtLeast(least), Some(_)) => format!("at least {least} times as fast"),
        (Bound::AtLeast(least), None) => format!("at least {}", show(least)),
    };
    let against = target.against.clone().unwrap_or_else(|| "itself".to_owned());
    [target.name.clone(), target.ours.clone(), against, measured, wanted, verdict.to_owned()]
}

/// A bound on time is shown as time and as speed.
fn as_speed(target: &Target, cost: f64, show: impl Fn(f64) -> String) -> String {
    match target.against {
        Some(_) => format!("{:.2} ({cost:.2} times as long)", 1.0 / cost),
        None => show(cost),
    }
}

/// Columns as wide as they must be.
pub(super) fn markdown<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("| {cell:<width$} "));
        format!("{}|\n", cells.collect::<String>())
    };
    let rule = format!("{}|\n", widths.map(|width| format!("|{}", "-".repeat(width + 2))).concat());
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::parse_figure;

    fn measured(contestant: &str, figure: &str) -> Measured {
        let mut result = Measured::new("one", contestant);
        result.add(Ok(vec![parse_figure(figure).unwrap()]));
        result
    }

    fn target(against: Option<&str>, bound: Bound) -> Target {
        let against = against.map(str::to_owned);
        Target { area: "a".into(), name: "one".into(), ours: OURS.into(), against, bound }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(markdown(&rows), "| a   | bb |\n|-----|----|\n| ccc | d  |\n");
    }

    #[test]
    fn everybody_is_compared_and_targets_are_judged() {
        let results =
            [measured(OURS, "t ns 100"), measured("x", "t ns 300"), measured("y", "t ns 90")];
        let table = ratios(&results, &[target(Some("y"), Bound::AtMost(1.05))]);
        assert!(table.contains("| x       | 3.00 "), "{table}");
        assert!(table.contains("0.90 (1.11 times as long)"), "{table}");
        assert!(table.contains("| NO "), "{table}");
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn a_bound_on_the_value_itself_has_its_unit() {
        let table = ratios(&[measured(OURS, "t ns 2500")], &[target(None, Bound::AtMost(3000.0))]);
        assert!(table.contains("2.50 us") && table.contains("at most 3.00 us"), "{table}");
        assert!(table.contains("| yes "), "{table}");
    }

    #[test]
    fn who_did_not_run_is_named_with_the_reason() {
        let mut broken = Measured::new("one", "z");
        broken.add(Err("it | broke".into()));
        assert!(figures(&[broken.clone()]).contains("it / broke"));
        let table =
            ratios(&[measured(OURS, "t ns 1"), broken], &[target(Some("z"), Bound::AtLeast(2.0))]);
        assert!(table.contains("not measured"), "{table}");
    }
}
