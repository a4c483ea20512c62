//! A small part of what `cargo xtask kill` does, run with every test: the control, one ring and one lock.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the harness says is passed on"
)]

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Runs the harness, which prints its counts in the last line, and expects that as many cases passed.
///
/// It pins itself to one core and is the root of a family, so it runs as a process of its own.
fn passes(words: &[&str], count: usize) {
    let run = harness(words).output();
    check(run.expect("the harness was built with this test"), count);
}

fn harness(words: &[&str]) -> Command {
    let mut harness = Command::new(env!("CARGO_BIN_EXE_procession-kill"));
    harness.args(words);
    harness
}

fn check(run: Output, count: usize) {
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

/// As whoever measures something stops all others for a while: a victim takes its step all the same.
#[test]
fn whoever_stops_all_processes_for_a_while_disturbs_nobody() {
    let mut harness = harness(&["--short", "0", "--sample", "8", "gate", "begin"]);
    let run = harness.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut run = run.expect("the harness was built with this test");
    let group = Pid::from_child(&run);
    while run.try_wait().expect("it is a child").is_none() {
        for signal in [Signal::STOP, Signal::CONT] {
            kill_process_group(group, signal).expect("it was not reaped yet");
            sleep(Duration::from_millis(3));
        }
    }
    check(run.wait_with_output().expect("it is a child"), 2);
}
