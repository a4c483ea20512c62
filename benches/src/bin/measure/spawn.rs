//! Starting processes: a function started and its result back.

use std::env;
use std::error::Error;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use procession::StartMethod;
use procession::prelude::*;
use procession_bench_harness::twin::fork;
use procession_bench_harness::{Case, Effort, Figure, Outcome, round_trip};

/// The argument with which this program ends at once.
pub(crate) const NOTHING: &str = "nothing";

const OURS: &str = "procession";

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, contestant, run: fn(Effort) -> Outcome| Case::new("spawn", name, contestant, run);
    vec![
        case("result-back", OURS, result_back),
        case("result-back", "posix_spawn", posix_spawned),
        case("result-back-4GiB", OURS, |effort| with_memory(effort, 4 << 30, result_back)),
        case("result-back-4GiB", "posix_spawn", |effort| {
            with_memory(effort, 4 << 30, posix_spawned)
        }),
        case("result-back-by-fork", OURS, zygote),
        case("result-back-by-fork", "fork-and-pipe", forked),
    ]
}

fn successor(n: u64) -> u64 {
    n + 1
}

pub(crate) fn result_back(effort: Effort) -> Outcome {
    round_trip::each(effort, 300, || match Process::spawn(successor, 1_u64)?.join() {
        Ok(2) => Ok(()),
        Ok(_) => Err("a wrong result".into()),
        Err(error) => Err(Box::<dyn Error>::from(error)),
    })
}

/// The same binary started and waited for, and nothing more. Its environment is that of this process, as ours is: where one names
/// directories of libraries, as cargo's does, the dynamic linker looks through them first, for a tenth of a millisecond.
fn posix_spawned(effort: Effort) -> Outcome {
    let program = CString::new(env::current_exe()?.into_os_string().into_vec())?;
    let argument = CString::new(NOTHING)?;
    let arguments = [program.as_ptr().cast_mut(), argument.as_ptr().cast_mut(), ptr::null_mut()];
    let variables = env::vars_os().map(|(name, value)| [name, value].join("=".as_ref()));
    let variables = variables.map(|variable| CString::new(variable.into_vec()));
    let variables = variables.collect::<Result<Vec<CString>, _>>()?;
    let environment = variables.iter().map(|variable| variable.as_ptr().cast_mut());
    let environment: Vec<*mut libc::c_char> = environment.chain([ptr::null_mut()]).collect();
    let spawn_and_wait = || {
        let (mut pid, mut status) = (0, 0);
        // SAFETY: the strings end with a zero, the lists with a null, and all outlive the call.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                ptr::null(),
                ptr::null(),
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: the status is written to a place of our own.
        match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
            waited if waited == pid && status == 0 => Ok(()),
            _ => Err(io::Error::other("the program did not succeed")),
        }
    };
    Ok(round_trip::each(effort, 300, spawn_and_wait)?)
}

/// The same by a fork of a small process that was started for it.
fn zygote(effort: Effort) -> Outcome {
    let builder = Process::builder().start_method(StartMethod::Zygote);
    round_trip::each(effort, 1_000, || match builder.spawn(successor, 1_u64)?.join() {
        Ok(2) => Ok(()),
        Ok(_) => Err("a wrong result".into()),
        Err(error) => Err(Box::<dyn Error>::from(error)),
    })
}

/// A bare fork whose result comes through a pipe.
fn forked(effort: Effort) -> Outcome {
    round_trip::each(effort, 1_000, || -> Result<(), Box<dyn Error>> {
        let (mut inlet, mut outlet) = io::pipe()?;
        let twin = fork(|| Ok(outlet.write_all(&successor(1).to_ne_bytes())?))?;
        let mut result = [0; 8];
        inlet.read_exact(&mut result)?;
        twin.join()?;
        match u64::from_ne_bytes(result) {
            2 => Ok(()),
            _ => Err("a wrong result".into()),
        }
    })
}

/// Runs a case while this process has so much memory of its own.
pub(crate) fn with_memory(effort: Effort, bytes: usize, run: fn(Effort) -> Outcome) -> Outcome {
    // Not all zeros: zeroed memory is not there until somebody writes to it.
    let memory = vec![1_u8; bytes];
    let figures: Vec<Figure> = run(effort)?;
    drop(std::hint::black_box(memory));
    Ok(figures)
}
