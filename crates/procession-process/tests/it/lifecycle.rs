//! From start to end, as Python's tests of its processes ask for it; what other files have is not repeated here.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use backstage::holdings::descriptors;
use procession_channel::Fd;
use procession_process::{Process, ProcessBuilder, Stdio, cpu_count};

use super::role::{self, Scratch};

fn with_pipe_to(stdout: impl Into<OwnedFd>) -> ProcessBuilder {
    Process::builder().stdout(Stdio::file(stdout))
}

#[test]
fn descriptors_of_a_child_do_not_count_its_siblings() {
    let (reports, report) = io::pipe().unwrap();
    let (hold, held) = io::pipe().unwrap();
    let live = |(hold, report): (Fd<io::PipeReader>, Fd<io::PipeWriter>)| {
        let mut report = report.into_inner().unwrap();
        // One write, which those of the others do not come between.
        report.write_all(format!("{}\n", descriptors()).as_bytes()).unwrap();
        drop(report);
        // Until the parent lets go.
        assert_eq!(hold.into_inner().unwrap().read(&mut [0]).unwrap(), 0);
    };
    let siblings: Vec<_> = (0..20)
        .map(|_| {
            let argument =
                (Fd::new(hold.try_clone().unwrap()), Fd::new(report.try_clone().unwrap()));
            Process::spawn(live, argument).unwrap()
        })
        .collect();
    drop(report);
    let reports = io::read_to_string(reports).unwrap();
    let counts: Vec<&str> = reports.lines().collect();
    assert_eq!(counts.len(), 20);
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    drop(held);
    for sibling in siblings {
        sibling.join().unwrap();
    }
}

#[test]
fn what_was_printed_is_flushed_and_exit_handlers_run() {
    fn function(file: PathBuf) {
        extern "C" fn at_exit() {
            let file = std::env::var_os("FILE").unwrap();
            fs::write(file, "the handler has run").unwrap();
        }
        assert!(!file.exists());
        // SAFETY: the handler may be called at exit.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        io::stdout().write_all(b"no end of line").unwrap();
    }
    let scratch = Scratch::new("exit");
    let file = scratch.0.join("file");
    let (mut said, stdout) = io::pipe().unwrap();
    let builder = with_pipe_to(stdout).env("FILE", &file);
    builder.spawn(function, file.as_path()).unwrap().join().unwrap();
    drop(builder);
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    assert_eq!(text, "no end of line");
    assert_eq!(fs::read_to_string(&file).unwrap(), "the handler has run");
}

#[test]
fn an_output_that_nobody_reads_any_more_costs_no_value() {
    let (reader, stdout) = io::pipe().unwrap();
    drop(reader);
    let prints = |n: u32| {
        io::stdout().write_all(b"flushed at exit, in vain").unwrap();
        n + 1
    };
    assert_eq!(with_pipe_to(stdout).spawn(prints, 1).unwrap().join().unwrap(), 2);
}

#[test]
fn threads_that_are_left_behind_keep_nobody_waiting() {
    let leaves_a_thread = |n: u32| {
        std::thread::spawn(|| std::thread::sleep(role::GUARD));
        n + 1
    };
    assert_eq!(Process::spawn(leaves_a_thread, 1).unwrap().join().unwrap(), 2);
}

#[test]
fn processors_are_those_that_a_process_may_use() {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    // A quota of the control group may leave fewer.
    assert!((1..=usize::try_from(allowed.count()).unwrap()).contains(&cpu_count()));
    let first = (0..1024).find(|number| allowed.is_set(*number)).unwrap();
    let bound = Process::builder().affinity(&[first]);
    assert_eq!(bound.spawn(|()| cpu_count(), ()).unwrap().join().unwrap(), 1);
}
