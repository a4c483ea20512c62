//! `bench growth`: what happens when there is more of something.
//!
//! A series is a case whose contestants are amounts. Each becomes a table and a plot.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use super::options::Options;
use super::plot::{Plot, Point};
use super::results::{Result as Measured, Unit};
use super::{area, document, json, programs, table};
use crate::Verdict;
use crate::workspace::Workspace;

const AREA: &str = "growth";

/// What the amounts are of, by the name of the series.
const SERIES: [(&str, &str, Unit); 5] = [
    ("items", "items in one map over two workers", Unit::PerSecond),
    ("payload", "bytes in an item that goes there and back", Unit::Bytes),
    ("workers", "workers, however few processors there are", Unit::PerSecond),
    ("mutex", "processes that share one mutex", Unit::PerSecond),
    ("parent-memory", "bytes of memory in the parent of a new process", Unit::Bytes),
];

pub(super) fn run(options: &Options) -> Verdict {
    let workspace = Workspace::find()?;
    let programs = programs::build(&workspace, false)?;
    let scratch = area::scratch(&workspace);
    let results = area::measure(AREA, &programs, options, &scratch)?;
    fs::write(scratch.join("growth.json"), json::document(AREA, &results, &[]))?;
    let mut page = document::provenance(workspace.root(), options.rounds);
    for (name, about, _) in SERIES {
        let points = points(&results, name)?;
        let _ = writeln!(page, "### {name}: {about}\n\n{}", table_of(&results, name));
        let file = format!("growth-{name}.svg");
        let _ = writeln!(page, "![{about}]({file})\n");
        let svg = plot(name, about, points, &results).svg();
        if options.is_record {
            fs::write(workspace.root().join("docs").join(&file), svg)?;
        } else {
            fs::write(scratch.join(&file), svg)?;
        }
    }
    println!("\n{page}");
    if options.is_record {
        document::record(workspace.root(), document::PATH, AREA, &page)?;
    }
    let all_ran = results.iter().all(|result| result.failures.is_empty());
    Ok(if all_ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of<'a>(results: &'a [Measured], name: &'a str) -> impl Iterator<Item = &'a Measured> {
    results.iter().filter(move |result| result.case == name)
}

fn points(results: &[Measured], name: &str) -> Result<Vec<Point>, Box<dyn Error>> {
    let mut points = Vec::new();
    for result in of(results, name) {
        let x = result.contestant.parse()?;
        points.extend(result.main().map(|series| Point {
            x,
            y: series.median(),
            range: series.range(),
        }));
    }
    Ok(points)
}

fn plot(name: &str, about: &str, points: Vec<Point>, results: &[Measured]) -> Plot {
    let unit = of(results, name).find_map(|result| Some(result.main()?.unit));
    let amounts = SERIES.iter().find(|(series, ..)| *series == name).map(|(.., unit)| *unit);
    Plot {
        title: about.to_owned(),
        x_unit: amounts.filter(|unit| *unit == Unit::Bytes),
        y_unit: unit.unwrap_or(Unit::Nanoseconds),
        points,
    }
}

fn table_of(results: &[Measured], name: &str) -> String {
    let mut rows = vec![[name, "median", "min..max"].map(str::to_owned)];
    rows.extend(of(results, name).map(|result| match result.main() {
        Some(series) => {
            let (min, max) = series.range();
            let show = |value| series.unit.display(value);
            [
                result.contestant.clone(),
                show(series.median()),
                format!("{}..{}", show(min), show(max)),
            ]
        }
        None => {
            let reason = result.failures.last().cloned().unwrap_or_default();
            [result.contestant.clone(), "none".to_owned(), reason]
        }
    }));
    table::markdown(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::parse_figure;

    fn results() -> Vec<Measured> {
        let mut ten = Measured::new("items", "10");
        ten.add(Ok(vec![parse_figure("items /s 2000000").unwrap()]));
        let mut hundred = Measured::new("items", "100");
        hundred.add(Err("it broke".into()));
        vec![ten, hundred]
    }

    #[test]
    fn an_amount_that_failed_is_in_the_table_and_not_in_the_plot() {
        let table = table_of(&results(), "items");
        assert!(table.contains("| 10 ") && table.contains("2.00 M/s"), "{table}");
        assert!(table.contains("| 100 ") && table.contains("it broke"), "{table}");
        assert_eq!(points(&results(), "items").unwrap().len(), 1);
    }

    #[test]
    fn an_amount_is_a_number() {
        assert!(points(&[Measured::new("items", "many")], "items").is_err());
    }
}
