//! Processes: one is started or it is not, and none is left behind.

use std::io::{Read, Write};

use procession_process::{Limits, Process, ProcessError, StartMethod, Stdio};

use crate::census::Kept;
use crate::fault::Fault;
use crate::scene::{Played, Scene, Setting};

/// What is made at the first start and stays: an epoll instance, a pidfd of this process, the threads that spawn and reap.
const OFFICES: Kept = Kept { descriptors: 2, threads: 2, mappings: 0, has_children: false };
/// A zygote besides: its pidfd, its socket.
const WITH_ZYGOTE: Kept = Kept { descriptors: 4, threads: 2, mappings: 0, has_children: true };

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        Scene { name: "process: the first start", play: start, setting: Setting::First(OFFICES) },
        Scene::again("process: a later start", start),
        Scene::again("process: one with pipes and limits", furnished),
        Scene::again("process: a large argument and result", large),
        Scene {
            name: "process: the first fork of a zygote",
            play: forked,
            setting: Setting::First(WITH_ZYGOTE),
        },
        Scene {
            name: "process: a later fork of a zygote",
            play: forked,
            setting: Setting::Again(Kept::ZYGOTE),
        },
    ]
}

/// Never what would be a lie: that the function had panicked or failed.
fn checked<T>(outcome: Result<T, ProcessError>) -> Result<T, ProcessError> {
    let is_lie = matches!(outcome, Err(ProcessError::Panicked { .. } | ProcessError::Failed(_)));
    assert!(!is_lie, "{:?}", outcome.err());
    outcome
}

fn add_one() -> Result<u32, ProcessError> {
    Process::spawn(|n: u32| n + 1, 1)?.join()
}

fn start(fault: &Fault) -> Played {
    let started = fault.during(add_one);
    assert!(add_one().is_ok_and(|two| two == 2), "the next start works");
    assert_eq!(checked(started)?, 2);
    Ok(())
}

fn echo(suffix: String) -> procession_process::Report {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    let written = std::io::stdout().write_all(format!("{text}{suffix}").as_bytes());
    let report = format!("{}", read.is_ok() && written.is_ok());
    procession_process::Failure::msg(report).into_report()
}

fn furnished(fault: &Fault) -> Played {
    let builder = Process::builder()
        .env("A", "b")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .limits(Limits::new().open_files(200));
    let said = fault.during(|| -> Result<_, ProcessError> {
        let mut process = builder.spawn(echo, "!")?;
        let mut text = String::new();
        if let Some(mut stdin) = process.take_stdin() {
            // It may be gone already.
            let _written = stdin.write_all(b"hello").is_ok();
        }
        let read = process.take_stdout().map(|mut stdout| stdout.read_to_string(&mut text));
        let report = process.join()?;
        Ok((report.to_string(), read.is_some_and(|read| read.is_ok()), text))
    });
    let (report, read, text) = checked(said)?;
    assert!(report == "false" || !read || text == "hello!", "{text}");
    Ok(())
}

fn large(fault: &Fault) -> Played {
    let reversed = fault.during(|| {
        let bytes: Vec<u32> = (0..300_000).collect();
        Process::spawn(|words: Vec<u32>| words.into_iter().rev().collect::<Vec<_>>(), bytes)?.join()
    });
    let reversed = checked(reversed)?;
    assert_eq!((reversed.len(), reversed[0]), (300_000, 299_999));
    Ok(())
}

fn forked(fault: &Fault) -> Played {
    let add = || -> Result<u32, ProcessError> {
        let zygote = Process::builder().start_method(StartMethod::Zygote);
        zygote.spawn(|n: u32| n + 1, 1)?.join()
    };
    let started = fault.during(add);
    assert!(add().is_ok_and(|two| two == 2), "the next start works");
    assert_eq!(checked(started)?, 2);
    Ok(())
}
