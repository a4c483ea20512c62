//! Kills a process after each instruction of an operation on shared memory, and sees whether the others get on.
//!
//! For each case, a *victim* is stepped through one operation by `ptrace`. A first pass records after which instructions the
//! shared memory has changed or the kernel was called. Then the scene is played again for each of these points: the victim is
//! brought there and killed with SIGKILL, and those who live must finish what they were doing, within a bound, with a result
//! that the case's oracle accepts. With `--all` the victim is killed after every single instruction.
//!
//! Three settings: *alone*; with a *sleeper* that sleeps in the operation when the victim begins; with a sleeper and a
//! *barger*, who comes between kill point and death and still holds what it got when the victim dies. The harness proves
//! itself by controls that must fail: glibc's robust mutex with a barger hangs, and seeded bugs are found.
//!
//! # What it does not show
//!
//! Every instruction of *these* scenes, compiled like this, was tried; other inputs and other schedules were not. A killed
//! process' stores become visible in their order, so weak memory is for the models. Everything is pinned to one core, where
//! nobody spins before sleeping.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it has found")]

#[cfg(target_arch = "x86_64")]
mod actor;
#[cfg(target_arch = "x86_64")]
mod campaign;
#[cfg(target_arch = "x86_64")]
mod marks;
#[cfg(target_arch = "x86_64")]
mod memory;
mod options;
#[cfg(target_arch = "x86_64")]
mod performance;
#[cfg(target_arch = "x86_64")]
mod place;
#[cfg(target_arch = "x86_64")]
mod probe;
#[cfg(target_arch = "x86_64")]
mod run;
#[cfg(target_arch = "x86_64")]
mod scene;
#[cfg(target_arch = "x86_64")]
mod search;
#[cfg(target_arch = "x86_64")]
mod subjects;
#[cfg(target_arch = "x86_64")]
mod trace;
#[cfg(target_arch = "x86_64")]
mod tracer;

use std::process::ExitCode;

use crate::options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{}", options::USAGE);
        return ExitCode::from(2);
    };
    started(&options).unwrap_or_else(|error| {
        eprintln!("the harness itself has failed: {error}");
        ExitCode::from(3)
    })
}

#[cfg(target_arch = "x86_64")]
fn started(options: &Options) -> Result<ExitCode, Box<dyn std::error::Error>> {
    run::all(options)
}

#[cfg(not(target_arch = "x86_64"))]
fn started(_options: &Options) -> Result<ExitCode, Box<dyn std::error::Error>> {
    skips::announce("kill points", "only x86-64 is stepped through so far")?;
    println!("0 passed, 0 failed, 1 skipped");
    Ok(ExitCode::SUCCESS)
}
