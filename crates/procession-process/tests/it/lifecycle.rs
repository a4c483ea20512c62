//! From start to end, as Python's tests of its processes ask for it; what other files have is not repeated here.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use backstage::holdings::descriptors;
use procession_channel::Fd;
use procession_process::{Exit, Process, ProcessBuilder, Stdio, cpu_count};
use skips::skipped;

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

/// The thread that starts processes is bound to one processor while it is asked, and what it is bound to would be inherited.
#[test]
fn a_process_may_use_all_processors_of_its_parent_whoever_else_starts_one() {
    let processors = |()| rustix::thread::sched_getaffinity(None).unwrap().count();
    let expected = processors(());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let found = Process::spawn(processors, ()).unwrap().join().unwrap();
                    assert_eq!(found, expected);
                }
            });
        }
    });
}

#[test]
fn all_who_wait_learn_of_the_end() {
    let process = Process::spawn(|()| std::thread::sleep(role::GUARD), ()).unwrap();
    std::thread::scope(|scope| {
        let forever: Vec<_> = (0..3).map(|_| scope.spawn(|| process.wait())).collect();
        let for_a_while = scope.spawn(|| process.wait_timeout(role::GUARD));
        assert_eq!(process.wait_timeout(std::time::Duration::from_millis(20)), None);
        process.kill().unwrap();
        assert!(forever.into_iter().all(|waiter| waiter.join().unwrap() == Exit::Signal(9)));
        assert_eq!(for_a_while.join().unwrap(), Some(Exit::Signal(9)));
    });
}

/// Becomes the tracer of a process and kills it, whose parent cannot reap it before this process has; whether that is allowed.
fn trace_and_kill(pid: i32) -> bool {
    // SAFETY: the two pointers are not used by this request.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0_usize, 0_usize) };
    if seized != 0 {
        return false;
    }
    // SAFETY: a child of this process's parent, which does not reap it while it is traced.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    // Long enough for the parent to have asked in vain.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut status = 0;
    // SAFETY: the status is written to a place of this function.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
    true
}

#[test]
fn whoever_waits_outlasts_a_tracer() {
    let process = Process::spawn(|()| std::thread::sleep(role::GUARD), ()).unwrap();
    let pid = process.pid().cast_signed();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| process.wait());
        let is_traced = Process::spawn(trace_and_kill, pid).unwrap().join().unwrap();
        if !is_traced {
            process.kill().unwrap();
            skipped("whoever_waits_outlasts_a_tracer", "ptrace is not allowed here");
        }
        assert_eq!(waiter.join().unwrap(), Exit::Signal(9));
    });
}
