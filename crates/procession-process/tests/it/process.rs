//! One function in one process: what goes there, what comes back, and what goes wrong.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use backstage::holdings::{descriptors, threads};
use procession_process::{
    Exit, Failure, Launcher, Process, ProcessError, StartMethod, Stdio, is_child, spawn,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::role::{self, play};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("200 processes", many_processes),
    ("join while SIGCHLD is ignored", || {
        // SAFETY: no handler is installed, a disposition is set.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        for n in 0..50 {
            assert_eq!(Process::spawn(|n: u32| n + 1, n).unwrap().join().unwrap(), n + 1);
            let died = Process::spawn(raises, libc::SIGKILL).unwrap();
            assert!(matches!(exit_of(died), Exit::Unknown | Exit::Signal(libc::SIGKILL)));
        }
    }),
];

fn many_processes() {
    let round = || {
        assert_eq!(Process::spawn(|n: u32| n + 1, 1).unwrap().join().unwrap(), 2);
        drop(Process::spawn(|()| (), ()).unwrap());
        assert!(Process::spawn(raises, libc::SIGABRT).unwrap().join().is_err());
    };
    round();
    role::eventually("the first are gone", || role::children().is_empty());
    let before = (descriptors(), threads());
    // The reaper lets go of a pidfd a moment after the process is gone, so that `before` may have counted some.
    let are_no_more = || descriptors() <= before.0 && threads() <= before.1;
    for _ in 0..70 {
        round();
    }
    role::eventually("no children, no zombies", || role::children().is_empty());
    role::eventually("no descriptor, no thread more", are_no_more);
}

fn exits(code: i32) {
    std::process::exit(code)
}

fn raises(signal: i32) {
    // SAFETY: raise has no preconditions.
    unsafe { libc::raise(signal) };
}

fn sleeps() {
    std::thread::sleep(role::GUARD);
}

fn exit_of<R: 'static + std::fmt::Debug>(process: Process<R>) -> Exit {
    let of_process = process.pid();
    match process.join() {
        Err(ProcessError::Died { pid, exit, .. }) if pid == of_process => exit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_go_there_and_come_back() {
    let owned = Process::spawn(|text: String| text.len(), "four".to_owned()).unwrap();
    assert_eq!(owned.join().unwrap(), 4);
    let borrowed = Process::spawn(|text: String| text + "!", "by reference").unwrap();
    assert_eq!(borrowed.join().unwrap(), "by reference!");
    let list = vec![3_u32, 1, 2];
    let sorted = |mut list: Vec<u32>| {
        list.sort_unstable();
        list
    };
    assert_eq!(Process::spawn(sorted, &list).unwrap().join().unwrap(), [1, 2, 3]);
    assert_eq!(Process::spawn(sorted, &list[..2]).unwrap().join().unwrap(), [1, 3]);
    let pair = Process::spawn(|(a, b): (u64, u64)| a * b, (6, 7)).unwrap();
    assert_eq!(pair.join().unwrap(), 42);
    Process::spawn(|()| assert!(is_child()), ()).unwrap().join().unwrap();
}

mod elsewhere {
    pub(super) fn convert<T: Into<u64>>(value: T) -> u64 {
        value.into()
    }
}

#[test]
fn a_call_is_written_as_a_call() {
    fn none() -> u32 {
        std::process::id()
    }
    fn four(path: PathBuf, words: Vec<String>, last: u8, flag: bool) -> String {
        format!("{} {} {last} {flag}", path.display(), words.concat())
    }
    let here = std::process::id();
    assert_ne!(spawn!(none()).unwrap().join().unwrap(), here);
    let (path, words) = (PathBuf::from("/x"), vec!["a".to_owned(), "b".to_owned()]);
    let call = spawn!(four(path.as_path(), &words, 3, 1 < 2,)).unwrap();
    assert_eq!(call.join().unwrap(), "/x ab 3 true");
    assert_eq!(spawn!(elsewhere::convert::<u8>(9)).unwrap().join().unwrap(), 9);
    assert_eq!(spawn!(<u64 as From<u32>>::from(9)).unwrap().join().unwrap(), 9);
    assert_eq!(exit_of(spawn!(exits(3)).unwrap()), Exit::Code(3));
    let (bulk, more) = (vec![1_u8, 2], vec![0.5_f64]);
    let sums = |bulk: Vec<u8>, more: Vec<f64>| (bulk.len(), more[0]);
    fn both(bulk: Vec<u8>, more: Vec<f64>) -> (usize, f64) {
        (bulk.len(), more[0])
    }
    assert_eq!(spawn!(both(&bulk, &more)).unwrap().join().unwrap(), sums(bulk, more));
}

#[test]
fn a_failure_arrives_with_its_causes() {
    fn fails(path: String) -> Result<u64, Failure> {
        let opened = File::open(&path).map_err(|error| Failure::from(error).context("opening"))?;
        Ok(opened.metadata()?.len())
    }
    let error = Process::spawn(fails, "/nothing/here").unwrap().join().unwrap_err();
    let text = "the process failed: opening: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), text);
    assert!(matches!(&error, ProcessError::Failed(report) if report.to_string() == "opening"));
    let process = Process::spawn(fails, "/nothing/here").unwrap();
    assert_eq!(process.wait(), Exit::Code(1));
}

#[test]
fn a_result_with_an_error_of_its_own_is_a_value() {
    let halve = |n: u32| if n.is_multiple_of(2) { Ok(n / 2) } else { Err(format!("{n} is odd")) };
    assert_eq!(Process::spawn(halve, 8).unwrap().join().unwrap(), Ok(4));
    assert_eq!(Process::spawn(halve, 7).unwrap().join().unwrap(), Err("7 is odd".to_owned()));
}

#[test]
fn a_panic_arrives_with_message_location_and_backtrace() {
    let builder = Process::builder().env("RUST_BACKTRACE", "1").stderr(Stdio::null());
    let process = builder.spawn(|n: u32| assert!(n == 0, "{n} is not 0"), 5).unwrap();
    assert_eq!(process.wait(), Exit::Code(101));
    match process.join().unwrap_err() {
        error @ ProcessError::Panicked { .. } => {
            let text = error.to_string();
            assert!(text.starts_with("the process panicked: 5 is not 0 at "), "{text}");
            assert!(text.contains("it/process.rs:"), "{text}");
            let ProcessError::Panicked { backtrace, .. } = error else { return };
            assert!(backtrace.contains("panic"), "{backtrace}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_is_printed_by_the_process_too() {
    let builder = Process::builder().name("loud").stderr(Stdio::piped());
    let mut process = builder.spawn(|()| assert!(!is_child(), "heard twice"), ()).unwrap();
    let mut said = String::new();
    process.take_stderr().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("process 'loud': ") && said.contains("heard twice"), "{said}");
    assert!(
        matches!(process.join(), Err(ProcessError::Panicked { message, .. }) if message == "heard twice")
    );
}

#[test]
fn a_process_that_exits_early_died_with_its_code() {
    for code in [0, 1, 3, 101, 255] {
        let process = Process::spawn(exits, code).unwrap();
        assert_eq!(exit_of(process), Exit::Code(code));
    }
    let error = Process::spawn(exits, 3).unwrap().join().unwrap_err().to_string();
    assert!(error.contains("left with exit code 3 before its function returned"), "{error}");
}

#[test]
fn a_process_that_is_killed_died_by_the_signal() {
    role::heed_interrupts();
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGKILL,
        libc::SIGUSR1,
        libc::SIGSEGV,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGSYS,
        40,
    ];
    for signal in signals {
        assert_eq!(exit_of(Process::spawn(raises, signal).unwrap()), Exit::Signal(signal));
    }
    let error = Process::spawn(raises, 11).unwrap().join().unwrap_err().to_string();
    assert!(error.ends_with("died: SIGSEGV (segmentation fault)"), "{error}");
}

#[test]
fn what_happens_after_the_result_decides_only_if_it_is_a_signal() {
    extern "C" fn leave_with_7() {
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(7) };
    }
    extern "C" fn die() {
        std::process::abort();
    }
    fn at_exit(handler: extern "C" fn()) -> u32 {
        // SAFETY: the handler is a function that may be called at exit.
        assert_eq!(unsafe { libc::atexit(handler) }, 0);
        5
    }
    let left = Process::spawn(|()| at_exit(leave_with_7), ()).unwrap();
    assert_eq!(left.wait(), Exit::Code(7));
    assert_eq!(left.join().unwrap(), 5);
    let died = Process::spawn(|()| at_exit(die), ()).unwrap();
    assert_eq!(exit_of(died), Exit::Signal(libc::SIGABRT));
}

/// Can be written if it holds `true`, and read only by children, or only by others.
#[derive(Debug)]
struct Picky<const CHILD: bool>(bool);

impl<const CHILD: bool> Serialize for Picky<CHILD> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            self.0.serialize(serializer)
        } else {
            Err(serde::ser::Error::custom("unwritable"))
        }
    }
}

impl<'de, const CHILD: bool> Deserialize<'de> for Picky<CHILD> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inner = bool::deserialize(deserializer)?;
        let refused = format!("unreadable in process {}", std::process::id());
        if is_child() == CHILD { Ok(Self(inner)) } else { Err(serde::de::Error::custom(refused)) }
    }
}

#[test]
fn what_cannot_travel_is_an_error_of_the_right_side() {
    let refused = Process::spawn(|_: Picky<true>| (), Picky(false)).unwrap_err();
    assert_eq!(refused.to_string(), "the argument cannot be encoded: unwritable");
    assert!(matches!(refused, ProcessError::Encode { .. }));

    let process = Process::spawn(|_: Picky<false>| (), Picky(true)).unwrap();
    let why = format!("unreadable in process {}", process.pid());
    assert_eq!(process.wait(), Exit::Code(1));
    let error = process.join().unwrap_err();
    assert!(matches!(error, ProcessError::Decode { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("the argument cannot be decoded") && text.ends_with(&why), "{text}");

    let error = Process::spawn(|()| Picky::<true>(false), ()).unwrap().join().unwrap_err();
    assert!(matches!(error, ProcessError::Encode { .. }), "{error}");
    assert_eq!(error.to_string(), "the result cannot be encoded: unwritable");

    let error = Process::spawn(|()| Picky::<true>(true), ()).unwrap().join().unwrap_err();
    assert!(matches!(error, ProcessError::Decode { .. }), "{error}");
    let (text, why) = (error.to_string(), format!("unreadable in process {}", std::process::id()));
    assert!(text.starts_with("the result cannot be decoded") && text.ends_with(&why), "{text}");
}

#[test]
fn ten_megabytes_go_there_and_come_back() {
    let much: Vec<u8> = (0..=250).cycle().take(10 << 20).collect();
    let process = Process::spawn(|much: Vec<u8>| much, &much).unwrap();
    // Nobody takes the result yet, and the process ends all the same.
    assert_eq!(process.wait(), Exit::Code(0));
    assert!(process.join().unwrap() == much);
}

#[test]
fn a_large_result_that_nobody_takes_keeps_nobody_waiting() {
    let process = Process::spawn(|()| vec![7_u8; 10 << 20], ()).unwrap();
    let handle = (*process).clone();
    process.detach();
    assert_eq!(handle.wait(), Exit::Code(0));
}

#[test]
fn a_result_over_the_limit_is_an_error() {
    let builder = Process::builder().result_len_max(1000);
    let make = |len: usize| vec![0_u8; len];
    assert_eq!(builder.spawn(make, 900).unwrap().join().unwrap().len(), 900);
    let error = builder.spawn(make, 5000).unwrap().join().unwrap_err();
    assert!(matches!(error, ProcessError::Encode { .. }), "{error}");
    assert!(error.to_string().contains("over the limit of 1000"), "{error}");
}

/// Overwrites the memory for the result.
fn scribble(words: [u64; 2]) {
    let entries = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_outbox = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("procession-result"))
    };
    let outbox =
        fs::OpenOptions::new().write(true).open(entries.into_iter().find(is_outbox).unwrap());
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    outbox.unwrap().write_all_at(&bytes, 0).unwrap();
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) };
}

#[test]
fn a_hostile_process_gives_an_error() {
    let limit = 1 << 20;
    let builder = Process::builder().result_len_max(limit);
    let (ok, failed, panicked) = (2, 3, 4);
    let unknown = 9;
    for words in [
        [ok, 3],
        [ok, limit as u64],
        [ok, limit as u64 + 1],
        [ok, u64::MAX],
        [failed, limit as u64],
        [panicked, 1],
        [unknown, 0],
        [u64::MAX, 0],
    ] {
        let scribbled = builder.spawn(
            |words: [u64; 2]| {
                scribble(words);
                String::new()
            },
            words,
        );
        let error = scribbled.unwrap().join().unwrap_err();
        assert!(matches!(error, ProcessError::Decode { .. }), "{words:?}: {error}");
    }
}

#[test]
fn join_timeout_may_pass_and_joins_once() {
    let mut process = Process::builder().stdin(Stdio::piped()).spawn(echo_line, 1).unwrap();
    assert!(process.join_timeout(Duration::ZERO).unwrap().is_none());
    assert!(process.join_timeout(Duration::from_millis(1)).unwrap().is_none());
    process.take_stdin().unwrap().write_all(b"4\n").unwrap();
    assert_eq!(process.join_timeout(role::GUARD).unwrap(), Some(5));
    let again = process.join_timeout(role::GUARD);
    assert!(matches!(again, Err(ProcessError::AlreadyJoined)), "{again:?}");
    let again = process.join();
    assert!(matches!(again, Err(ProcessError::AlreadyJoined)), "{again:?}");

    let mut process = Process::builder().stdin(Stdio::piped()).spawn(echo_line, 1).unwrap();
    assert!(process.join_timeout(Duration::from_millis(1)).unwrap().is_none());
    process.take_stdin().unwrap().write_all(b"6\n").unwrap();
    assert_eq!(process.join().unwrap(), 7);
}

/// A number from standard input, plus `more`; 0 if there is none.
fn echo_line(more: u32) -> u32 {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().parse().map_or(0, |number: u32| number + more)
}

#[test]
fn join_closes_a_pipe_that_was_not_taken() {
    let process = Process::builder().stdin(Stdio::piped()).spawn(echo_line, 1).unwrap();
    assert_eq!(process.join().unwrap(), 0);
}

#[test]
fn a_hundred_processes_live_at_once() {
    let builder = Process::builder().stdin(Stdio::piped());
    let mut all: Vec<_> = (0..100).map(|n| builder.spawn(echo_line, n).unwrap()).collect();
    assert!(all.iter().all(|process| process.is_alive()));
    for process in &mut all {
        process.take_stdin().unwrap().write_all(b"1000\n").unwrap();
    }
    for (n, process) in (0..).zip(all) {
        assert_eq!(process.join().unwrap(), 1000 + n);
    }
}

#[test]
fn one_thread_joins_while_another_kills() {
    for kill_first in [false, true] {
        let process = spawn!(sleeps()).unwrap();
        let handle = (*process).clone();
        let killer = std::thread::spawn(move || {
            if !kill_first {
                std::thread::sleep(Duration::from_millis(20));
            }
            handle.kill().unwrap();
        });
        assert_eq!(exit_of(process), Exit::Signal(libc::SIGKILL));
        killer.join().unwrap();
    }
}

#[test]
fn a_panic_is_told_whatever_its_payload_does_when_it_is_dropped() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }
    let panics = |()| -> () { std::panic::panic_any(Payload) };
    for method in [StartMethod::Spawn, StartMethod::Inline] {
        let builder = Process::builder().stderr(Stdio::null()).start_method(method);
        match builder.spawn(panics, ()).unwrap().join() {
            Err(ProcessError::Panicked { message, location, .. }) => {
                assert_eq!(message, "a panic without a message");
                assert!(location.contains("process.rs"), "{location}");
            }
            other => panic!("{other:?}"),
        }
    }
    let child = Launcher::new(|_| std::panic::panic_any(Payload)).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(101));
}

/// The limit is one of values: what went wrong is told however small it is.
#[test]
fn a_small_limit_of_results_is_none_of_explanations() {
    let limited = |len| Process::builder().stderr(Stdio::null()).result_len_max(len);
    match limited(0).spawn(|()| 1_u8, ()).unwrap().join() {
        Err(error @ ProcessError::Encode { .. }) => {
            assert!(error.to_string().contains("over the limit of 0"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    match limited(0).spawn(|()| -> () { panic!("a message") }, ()).unwrap().join() {
        Err(ProcessError::Panicked { message, .. }) => assert_eq!(message, "a message"),
        other => panic!("{other:?}"),
    }
    limited(0).spawn(|()| (), ()).unwrap().join().unwrap();
    assert_eq!(limited(usize::MAX).spawn(|()| 1_u8, ()).unwrap().join().unwrap(), 1);
}

#[test]
fn processes_and_descriptors_do_not_pile_up() {
    play("200 processes").succeed();
}

#[test]
fn a_value_arrives_also_if_nobody_knows_how_the_process_ended() {
    play("join while SIGCHLD is ignored").succeed();
}

#[test]
fn a_launch_that_is_refused_is_a_typed_error() {
    let deep = |depth: u32| -> Result<String, Failure> { nest(depth) };
    fn nest(depth: u32) -> Result<String, Failure> {
        match Process::spawn(nest, depth + 1) {
            Ok(process) => Ok(process.join()?),
            Err(ProcessError::Spawn(error)) => Ok(format!("{depth}: {error}")),
            Err(other) => Err(other)?,
        }
    }
    let text = Process::spawn(deep, 1).unwrap().join().unwrap();
    assert!(text.starts_with("16: a child process at depth 17 was refused"), "{text}");
}
