//! Lets each system call of an operation fail, one after the other, with each error that the kernel gives for it, and sees what
//! comes of it.
//!
//! A *scene* is an operation of the library: a pipe is made and used, a worker dies and is replaced. It is played in a process of
//! its own whose system calls, and those of all its children, are answered by a [listener]. In the first round the first call
//! fails with its first error, then with its next one, then the second call fails, until the scene is over before its n-th call.
//! After each round the scene has come to a result or to an error of the kind that its operation may have; whatever was sent has
//! arrived once and whole; the operation works when it is tried again; and there are no more descriptors, threads, mappings and
//! children than before. A round that hangs, panics or ends its process has found something.
//!
//! The harness proves itself by [toys](scenes::toys) that have a bug each, and must be found.
//!
//! # What it does not show
//!
//! One call fails at a time. Which thread makes the n-th call is not always the same. Private memory never fails.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it has found")]

mod calls;
mod census;
mod fault;
mod listener;
mod options;
mod retry;
mod run;
mod scene;
mod scenes;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Options::parse(&arguments) {
        Ok(Options::List) => {
            scenes::ALL.iter().for_each(|scene| println!("{}", scene.name));
            ExitCode::SUCCESS
        }
        Ok(Options::Play { name, walk }) => play(&name, walk),
        Ok(Options::Run { words, stride, is_loud }) => run::all(&words, stride, is_loud),
        Err(complaint) => {
            eprintln!("{complaint}\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}

/// What [`run`] starts this program for.
fn play(name: &str, walk: scene::Walk) -> ExitCode {
    let Some(scene) = scenes::ALL.iter().find(|scene| scene.name == name) else {
        eprintln!("there is no scene {name}");
        return ExitCode::from(2);
    };
    let fault = match fault::Fault::install() {
        Ok(fault) => fault,
        Err(error) => {
            eprintln!("no filter with a listener: {error}");
            return ExitCode::from(run::NO_LISTENER);
        }
    };
    match scene.walk(&fault, walk, |line| println!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}
