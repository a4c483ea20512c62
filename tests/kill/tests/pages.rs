//! Each kill point that a page names is a case of the harness.
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).expect("the page belongs to the project")
}

/// The names of the cases that the harness plays with these arguments, as `operation, setting`.
fn cases(arguments: &[&str]) -> Vec<String> {
    let mut harness = Command::new(env!("CARGO_BIN_EXE_procession-kill"));
    let list = harness.args(arguments).arg("--list").output();
    let list = list.expect("the harness was built with this test");
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    String::from_utf8(list.stdout).expect("names are text").lines().map(str::to_owned).collect()
}

/// What stands between two of these marks.
fn marked(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// Whether the case plays that operation; `..` stands for any words.
fn plays(case: &str, operation: &str) -> bool {
    let played = case.split_once(", ").map_or(case, |(played, _)| played);
    match operation.split_once("..") {
        Some((start, end)) => played.starts_with(start) && played.ends_with(end),
        None => played == operation,
    }
}

/// What a table names as its evidence, and which case that is of none.
fn check(text: &str, cases: &[String]) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut unknown = Vec::new();
    let mut operations = Vec::new();
    let last_cells = text.lines().filter_map(|row| row.strip_suffix(" |")?.rsplit(" | ").next());
    for evidence in last_cells.flat_map(|cell| cell.split("; ")) {
        if let Some(named) = evidence.strip_prefix("kill points ") {
            operations = marked(named, '`');
        } else if !evidence.starts_with("the same") {
            continue;
        }
        let is_played = |case: &&String| {
            operations.is_empty() || operations.iter().any(|operation| plays(case, operation))
        };
        for setting in marked(evidence, '*') {
            let is_set = |case: &String| case.ends_with(&format!(", {setting}"));
            count += 1;
            if !cases.iter().filter(is_played).any(is_set) {
                unknown.push(setting.to_owned());
            }
        }
        count += operations.len();
        let is_unknown = |operation: &&&str| !cases.iter().any(|case| plays(case, operation));
        unknown.extend(operations.iter().filter(is_unknown).map(|name| (*name).to_owned()));
    }
    (count, unknown)
}

#[test]
fn every_kill_point_of_the_crash_model_is_a_case() {
    let (count, unknown) = check(&page("crash-model.md"), &cases(&[]));
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(count > 20, "only {count} are named");
}

#[test]
fn every_run_of_the_proof_has_cases() {
    let page = page("proof.md");
    let runs = marked(&page, '`').into_iter().filter_map(|it| it.strip_prefix("cargo xtask kill"));
    for run in runs.filter(|run| !run.contains('[')) {
        let arguments: Vec<&str> = run.split_whitespace().collect();
        assert!(!cases(&arguments).is_empty(), "{run}");
    }
}

#[test]
fn what_is_no_case_is_seen() {
    let cases = cases(&[]);
    let unknown = |evidence: &str| check(&format!("| x | {evidence} |"), &cases).1;
    assert!(unknown("kill points `mutex lock`, *heir*; loom `x`").is_empty());
    assert_eq!(unknown("kill points `mutex locks`"), ["mutex locks"]);
    assert_eq!(unknown("kill points `barrier wait`, *heir*"), ["heir"]);
    assert_eq!(unknown("kill points `queue .. with handles`"), ["queue .. with handles"]);
}
