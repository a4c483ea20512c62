//! A small part of what `cargo xtask kill` does, run with every test: the control, one ring and one lock.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the harness says is passed on"
)]

use std::process::Command;

/// Runs the harness, which prints its counts in the last line, and expects that as many cases passed.
///
/// It pins itself to one core and is the root of a family, so it runs as a process of its own.
fn passes(words: &[&str], count: usize) {
    let run = Command::new(env!("CARGO_BIN_EXE_procession-kill")).args(words).output();
    let run = run.expect("the harness was built with this test");
    let (output, errors) = (text(&run.stdout), text(&run.stderr));
    print!("{output}");
    eprint!("{errors}");
    let passed = format!("{count} passed, 0 failed, 0 skipped");
    let skipped = format!("0 passed, 0 failed, {count} skipped");
    let last = output.lines().last().unwrap_or_default();
    // A skip was said aloud and noted by the harness itself.
    assert!(last == passed || last == skipped, "{output}{errors}");
    assert!(run.status.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn glibcs_robust_mutex_hangs_with_a_barger_and_not_without() {
    passes(&["control"], 2);
}

#[test]
fn seeded_bugs_are_found_and_sound_toys_pass() {
    passes(&["--short", "20", "toy"], 6);
}

#[test]
fn a_producer_killed_anywhere_leaves_whole_messages() {
    passes(&["--short", "0", "--sample", "8", "ring", "producer"], 3);
}

/// Two cases have these words in their names: ours, and glibc's, which must hang.
#[test]
fn a_mutex_survives_its_owner_where_glibcs_does_not() {
    passes(&["--short", "0", "--sample", "8", "mutex", "unlock", "barger"], 2);
}
