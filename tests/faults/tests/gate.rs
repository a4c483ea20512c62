//! What `cargo xtask faults` does, with every test: the floors below in full, of the others every so many calls.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the harness says is passed on"
)]

use std::process::Command;

/// The harness plays each scene in processes of its own, so it runs as one.
fn passes(arguments: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_procession-faults")).args(arguments).output();
    let run = run.expect("the harness was built with this test");
    let (output, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    print!("{output}");
    eprint!("{errors}");
    // A skip was said aloud and noted by the harness itself.
    assert!(run.status.success(), "{output}{errors}");
    assert!(output.lines().last().is_some_and(|line| line.contains(" 0 failed, ")), "{output}");
}

#[test]
fn toys_are_found() {
    passes(&["toy:"]);
}

#[test]
fn memory_and_families() {
    passes(&["shm:"]);
}

#[test]
fn pipes_and_queues() {
    passes(&["channel:"]);
}

#[test]
fn processes() {
    passes(&["--every", "4", "process:"]);
}

#[test]
fn pools() {
    passes(&["--every", "24", "pool:"]);
}
