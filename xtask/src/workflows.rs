//! The jobs of the workflow files: each calls a verb that exists, with arguments that it takes, and nothing else of the project.
//!
//! A job that cannot start is seen by nobody until the night in which it was needed.

use std::fs;

use crate::VERBS;
use crate::workspace::Workspace;

/// What else a job may do: fetch tools and dependencies, and ask how the other jobs ended.
const SETTING_UP: &[&str] =
    &["rustup ", "cargo install ", "cargo fetch", "test \"${{ needs.", "test \"${{ github."];

/// A script that calls one verb.
const GATE: &str = ".ci/run";

#[test]
fn every_job_calls_a_verb_as_it_wants_to_be_called() {
    let root = Workspace::find().unwrap().root().to_owned();
    assert!(fs::read_to_string(root.join(GATE)).unwrap().contains("cargo xtask test"));
    let mut calls = 0;
    for file in fs::read_dir(root.join(".github/workflows")).unwrap() {
        for command in commands(&fs::read_to_string(file.unwrap().path()).unwrap()) {
            let is_setting_up = SETTING_UP.iter().any(|start| command.starts_with(start));
            let call = command.strip_prefix("cargo xtask ");
            calls += usize::from(call.is_some());
            assert!(is_setting_up || command == GATE || call.is_some_and(is_taken), "{command}");
        }
    }
    assert!(calls > 0, "no job calls a verb");
}

#[test]
fn what_a_verb_does_not_take_is_seen() {
    for call in ["test", "test --matrix", "fuzz 300", "hostile 600 \"$(date +%Y%m%d)\""] {
        assert!(is_taken(call), "{call}");
    }
    for call in ["tests", "test matrix", "test --all", "hostile 600 1 2", "package all", ""] {
        assert!(!is_taken(call), "{call}");
    }
}

#[test]
fn each_step_may_have_several_commands() {
    let steps = "      - uses: x\n      - run: rustup default stable && cargo xtask msrv\n        run: cargo fetch\n";
    assert_eq!(commands(steps), ["rustup default stable", "cargo xtask msrv", "cargo fetch"]);
}

/// The commands of all steps.
fn commands(workflow: &str) -> Vec<&str> {
    let lines = workflow.lines().map(|line| line.trim_start().trim_start_matches("- "));
    let steps = lines.filter_map(|line| line.strip_prefix("run: "));
    steps.flat_map(|step| step.split("&&")).map(str::trim).collect()
}

/// Whether there is such a verb, and its usage has room for these arguments.
fn is_taken(call: &str) -> bool {
    let mut words = words(call).into_iter();
    let name = words.next().unwrap_or_default();
    let Some(verb) = VERBS.iter().find(|verb| verb.name() == name) else { return false };
    let options: Vec<&str> = verb.usage.split(['[', ']']).skip(1).step_by(2).collect();
    let (flags, others): (Vec<&str>, Vec<&str>) =
        options.into_iter().partition(|option| option.starts_with("--"));
    let (given_flags, given): (Vec<String>, Vec<String>) =
        words.partition(|word| word.starts_with("--"));
    given.len() <= others.len() && given_flags.iter().all(|flag| flags.contains(&flag.as_str()))
}

/// As a shell would part them, as far as quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match (character, words.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (' ', _) if !is_quoted => words.push(String::new()),
            (_, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
