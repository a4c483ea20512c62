//! The cases of an area, in rounds: each round runs every case once, its contestants one after the other.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use super::document;
use super::json;
use super::options::Options;
use super::programs::{self, Entry, Program};
use super::readme;
use super::results::Result as Measured;
use super::table;
use super::targets::{self, Met, Target};
use crate::Verdict;
use crate::workspace::Workspace;

pub(super) fn run(areas: &[&str], options: &Options) -> Verdict {
    let workspace = Workspace::find()?;
    let targets = targets::load(&workspace.root().join("benches/targets.toml"))?;
    let programs = programs::build(&workspace, options.with_peers)?;
    let mut missed = 0;
    for area in areas {
        let targets: Vec<_> =
            targets.iter().filter(|target| target.area == *area).cloned().collect();
        let results = measure(area, &programs, options, &scratch(&workspace))?;
        report(area, &results, &targets, options, &workspace)?;
        missed += targets.iter().filter(|target| is_missed(target, &results, options)).count();
    }
    if options.is_record {
        readme::update(workspace.root())?;
    }
    println!("{missed} targets missed");
    Ok(if options.is_check && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Where results lie.
pub(super) fn scratch(workspace: &Workspace) -> std::path::PathBuf {
    workspace.target_dir().join("bench")
}

/// What was not measured is missed, too, but for peers that were not to run.
fn is_missed(target: &Target, results: &[Measured], options: &Options) -> bool {
    match target.judge(results) {
        Met::Yes(_) => false,
        Met::No(_) => true,
        Met::Unknown => options.with_peers || ran_without_figures(target, results),
    }
}

fn ran_without_figures(target: &Target, results: &[Measured]) -> bool {
    let is_named = |name: &str| name == target.ours || Some(name) == target.against.as_deref();
    results.iter().any(|result| {
        result.case == target.name && is_named(&result.contestant) && result.main().is_none()
    })
}

/// Runs all the rounds.
///
/// # Errors
///
/// When a program cannot name its cases. A case that fails is a result without figures.
pub(super) fn measure(
    area: &str,
    programs: &[Program],
    options: &Options,
    scratch: &Path,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    let entries = entries(area, programs)?;
    let mut results: Vec<Measured> =
        entries.iter().map(|entry| Measured::new(&entry.case, &entry.contestant)).collect();
    for round in 0..options.rounds {
        println!("\n{area}: round {} of {}", round + 1, options.rounds);
        // Who begins changes from round to round, in case that matters.
        for turn in 0..entries.len() {
            let at = if round % 2 == 0 { turn } else { entries.len() - 1 - turn };
            let measured = entries[at].run(area, options.is_quick, scratch);
            println!(
                "  {:<24} {:<20} {}",
                entries[at].case,
                entries[at].contestant,
                shown(&measured)
            );
            results[at].add(measured);
        }
    }
    Ok(results)
}

/// Those who are to be compared stand together, in the order in which the first program has the cases.
fn entries(area: &str, programs: &[Program]) -> Result<Vec<Entry>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for program in programs {
        entries.extend(program.entries(area)?);
    }
    let order: Vec<String> = entries.iter().map(|entry| entry.case.clone()).collect();
    entries.sort_by_key(|entry| order.iter().position(|case| *case == entry.case));
    Ok(entries)
}

fn shown(measured: &Result<Vec<super::results::Figure>, String>) -> String {
    match measured {
        Ok(figures) => figures.first().map_or_else(String::new, |f| f.unit.display(f.value)),
        Err(reason) => format!("FAILED: {reason}"),
    }
}

fn report(
    area: &str,
    results: &[Measured],
    targets: &[Target],
    options: &Options,
    workspace: &Workspace,
) -> Result<(), Box<dyn Error>> {
    let (figures, ratios) = (table::figures(results), table::ratios(results, targets));
    println!("\n{area}\n\n{figures}\n{ratios}");
    let file = scratch(workspace).join(format!("{area}.json"));
    fs::write(&file, json::document(area, results, targets))?;
    println!("{}", file.display());
    if options.is_record {
        let provenance = document::provenance(workspace.root(), options.rounds);
        let text = format!("{provenance}{ratios}\n{figures}");
        document::record(workspace.root(), document::PATH, area, &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::bench::targets::Bound;

    fn program(name: &str) -> Program {
        // `sh -c script list AREA`: what follows the script are its arguments.
        let script = format!(
            "if [ \"$0\" = list ]; then printf 'one {name}\\ntwo {name}\\n'; else echo t ns 4; fi"
        );
        Program::new(&["sh".into(), "-c".into(), PathBuf::from(script)])
    }

    fn options(args: &str) -> Options {
        Options::parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn contestants_of_a_case_follow_each_other_in_every_round() {
        let scratch = std::env::temp_dir().join(format!("procession-area-{}", std::process::id()));
        let programs = [program("us"), program("them")];
        let results = measure("a", &programs, &options("--rounds 2"), &scratch).unwrap();
        let names: Vec<_> =
            results.iter().map(|r| format!("{} {}", r.case, r.contestant)).collect();
        assert_eq!(names, ["one us", "one them", "two us", "two them"]);
        assert!(results.iter().all(|result| result.main().unwrap().values == [4.0, 4.0]));
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_target_that_nobody_could_meet_or_miss_counts_where_it_should_have_run() {
        let target = Target {
            area: "a".into(),
            name: "one".into(),
            ours: "us".into(),
            against: Some("them".into()),
            bound: Bound::AtMost(1.0),
        };
        let mut ours = Measured::new("one", "us");
        assert!(!is_missed(&target, &[], &options("")));
        assert!(is_missed(&target, &[], &options("--peers")));
        ours.add(Err("broken".into()));
        assert!(is_missed(&target, &[ours], &options("")));
    }
}
