//! Programs of a few seeds, the same ones each time; and of others for as long as `cargo xtask chaos` gives them.
#![expect(clippy::print_stdout, reason = "what the harness says is passed on")]

use std::process::Command;

/// With a seed of its own, a run is longer. There is room for its programs before those of the next seed.
const SECONDS: &str = "20";
const PROGRAMS_MAX: u64 = 1 << 16;

/// The harness is what all processes of a program are below, so it runs as a process of its own.
fn passes(arguments: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_procession-chaos")).args(arguments).output();
    let run = run.expect("the harness was built with this test");
    let output = String::from_utf8_lossy(&run.stdout);
    print!("{output}");
    assert!(run.status.success(), "{output}{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn programs_made_up_by_chance_keep_what_must_hold() {
    skips::needs_pidfds!();
    match std::env::var("PROCESSION_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("PROCESSION_SEED is a number");
            passes(&[&(seed * PROGRAMS_MAX).to_string(), SECONDS]);
        }
        Err(_) => ["6", "8"].iter().for_each(|seed| passes(&[seed])),
    }
}
