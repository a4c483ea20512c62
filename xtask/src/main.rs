//! Every command of the project, as `cargo xtask <verb>`.
//!
//! One file per verb; this one only lists them and hands over. A verb prints the commands it runs and
//! how long each took, so that everything here can also be typed by hand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talking to a terminal is its job")]

mod bench;
mod board;
mod bugs;
mod command;
mod doctor;
#[cfg(test)]
mod evidence;
mod faults;
mod floor;
mod fuzz;
mod kill;
mod libc;
mod lies;
mod long;
mod loom;
mod machine;
mod matrix;
mod msrv;
mod newcomer;
mod package;
mod rounds;
mod skips;
mod tally;
mod test;
mod tidy;
#[cfg(test)]
mod workflows;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

/// What a verb ends with: the exit code, or an error that kept it from doing its work.
type Verdict = Result<ExitCode, Box<dyn Error>>;

/// A command of the project.
struct Verb {
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Verdict,
}

impl Verb {
    fn name(&self) -> &str {
        self.usage.split(' ').next().unwrap_or(self.usage)
    }
}

const VERBS: &[Verb] = &[
    Verb {
        usage: "test [--matrix]",
        about: "every check and test; --matrix adds each crate alone, every kill point and the loom models",
        run: test::run,
    },
    Verb {
        usage: "loom [crate] [filter]",
        about: "model-check the lock-free algorithms (LOOM_MAX_PREEMPTIONS, default 3)",
        run: loom::run,
    },
    Verb {
        usage: "kill [--all] [filter]",
        about: "kill a process at each step of an operation, and see whether the others get on",
        run: kill::run,
    },
    Verb {
        usage: "faults [--every N] [words]",
        about: "let each system call of an operation fail in turn, and see what comes of it",
        run: faults::run,
    },
    Verb {
        usage: "bugs [filter]",
        about: "run the proofs with one seeded bug at a time; they must find each",
        run: bugs::run,
    },
    Verb {
        usage: "fuzz [target] [seconds]",
        about: "inputs that a fuzzer makes up, where cargo-fuzz is installed",
        run: fuzz::run,
    },
    Verb {
        usage: "chaos [seconds] [seed]",
        about: "programs made up by chance, whose processes are killed and stopped, from a seed that is printed",
        run: rounds::chaos,
    },
    Verb {
        usage: "hostile [seconds] [seed]",
        about: "lies about all that is shared; workers that write to all they can map, while the others go on",
        run: rounds::hostile,
    },
    Verb {
        usage: "soak [hours] [seed]",
        about: "both, and deaths at pipes, for hours",
        run: rounds::soak,
    },
    Verb {
        usage: "floor [call] [crate]",
        about: "the tests with single system calls refused, as on older kernels and in containers",
        run: floor::run,
    },
    Verb {
        usage: "bench [AREA]",
        about: "what things cost beside the peers (--peers); `bench main`: a whole job beside threads",
        run: bench::run,
    },
    Verb {
        usage: "long [filter]",
        about: "the proofs that take long: 10,000 spawns, 1,000 killed trees, a parent of 4 GiB",
        run: long::run,
    },
    Verb {
        usage: "machine [kernel]",
        about: "the tests of cgroups in a virtual machine, where qemu, busybox and a kernel image are",
        run: machine::run,
    },
    Verb {
        usage: "doctor",
        about: "what this machine offers, and which fallbacks are active",
        run: doctor::run,
    },
    Verb {
        usage: "newcomer [words]",
        about: "a clean clone, an empty directory, and every program of the pages and examples, run there",
        run: newcomer::run,
    },
    Verb {
        usage: "package",
        about: "what a release needs: packages that build, licences, interfaces that did not break",
        run: package::run,
    },
    Verb { usage: "tidy", about: "the house rules that no compiler knows", run: tidy::run },
    Verb {
        usage: "msrv",
        about: "build with the oldest supported Rust, where it is installed",
        run: msrv::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", list());
        return ExitCode::SUCCESS;
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name() == name) else {
        eprint!("there is no verb `{name}`; these exist:\n{}", list());
        return ExitCode::from(2);
    };
    (verb.run)(rest).unwrap_or_else(|error| {
        eprintln!("cargo xtask {name}: {error}");
        ExitCode::FAILURE
    })
}

fn list() -> String {
    VERBS.iter().map(|verb| format!("cargo xtask {:<22} {}\n", verb.usage, verb.about)).collect()
}
