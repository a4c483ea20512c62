//! Processes that are threads: what is the same, and what is not.

use std::io::Read;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procession_channel::pipe::{Receiver, simplex};
use procession_process::{
    Exit, Failure, Process, ProcessBuilder, ProcessError, StartMethod, Stdio, active_children,
    is_child,
};
use procession_shm::{Shared, SharedBuf};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::role::{self, command, finish, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("inline that exits", || {
        let process = inline().spawn(exits, 9).unwrap();
        process.wait();
    }),
    ("inline that is left", || {
        let slow = |()| {
            std::thread::sleep(Duration::from_millis(200));
            say("inline is done");
        };
        drop(inline().spawn(slow, ()).unwrap());
        let forever = |()| std::thread::sleep(role::GUARD);
        drop(inline().daemon(true).spawn(forever, ()).unwrap());
    }),
    ("inline by environment", || {
        let pid = Process::spawn(|()| std::process::id(), ()).unwrap().join().unwrap();
        say(&format!("same process {}", pid == std::process::id()));
    }),
    ("many inline", || {
        let round = || {
            for n in 0..100 {
                assert_eq!(inline().spawn(|n: u32| n + 1, n).unwrap().join().unwrap(), n + 1);
            }
        };
        round();
        let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
        let before = [count("fd"), count("task")];
        round();
        // The last thread of the first round may have been on its way out.
        let now = || [count("fd"), count("task")];
        role::eventually("nothing is left", || {
            now().iter().zip(before).all(|(now, was)| *now <= was)
        });
        assert!(!maps().contains("procession-result"), "{}", maps());
    }),
];

fn inline() -> ProcessBuilder {
    Process::builder().start_method(StartMethod::Inline)
}

fn exits(code: i32) {
    std::process::exit(code);
}

fn park_for(_: ()) {
    std::thread::sleep(Duration::from_millis(100));
}

#[test]
fn a_function_runs_here() {
    let where_it_runs = |()| {
        let name = std::thread::current().name().map(str::to_owned);
        (std::process::id(), is_child(), name)
    };
    let process = inline().name("by name").spawn(where_it_runs, ()).unwrap();
    assert_eq!((process.pid(), process.name()), (std::process::id(), "by name"));
    let expected = (std::process::id(), false, Some("by name".to_owned()));
    assert_eq!(process.join().unwrap(), expected);
}

#[test]
fn its_ends_are_those_of_a_process() {
    let code = |process: Process<()>| process.wait();
    assert_eq!(code(inline().spawn(|()| (), ()).unwrap()), Exit::Code(0));
    let fails = |()| -> Result<(), Failure> { Err("not today")? };
    let failed = inline().spawn(fails, ()).unwrap();
    assert_eq!(failed.wait(), Exit::Code(1));
    assert_eq!(failed.join().unwrap_err().to_string(), "the process failed: not today");
    let panics = inline().spawn(|n: u32| assert!(n == 0, "{n} is not 0"), 5).unwrap();
    assert_eq!(panics.wait(), Exit::Code(101));
    match panics.join().unwrap_err() {
        ProcessError::Panicked { message, location, .. } => {
            assert_eq!(message, "5 is not 0");
            assert!(location.contains("it/inline.rs:"), "{location}");
        }
        other => panic!("{other:?}"),
    }
}

/// Can be written if it holds `true`, and read if it also holds `true` a second time.
struct Picky(bool, bool);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            self.1.serialize(serializer)
        } else {
            Err(serde::ser::Error::custom("unwritable"))
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let readable = bool::deserialize(deserializer)?;
        if readable { Ok(Self(true, true)) } else { Err(serde::de::Error::custom("unreadable")) }
    }
}

#[test]
fn what_cannot_travel_is_the_same_error_as_with_a_process() {
    needs_pidfds!();
    for method in [StartMethod::Spawn, StartMethod::Zygote, StartMethod::Inline] {
        let builder = Process::builder().start_method(method).result_len_max(1000);
        let argument = |writable, readable| {
            builder.spawn(|_: Picky| (), Picky(writable, readable)).and_then(Process::join)
        };
        let result = |writable, readable| {
            let make = |(writable, readable)| Picky(writable, readable);
            builder.spawn(make, (writable, readable)).and_then(Process::join).map(drop)
        };
        let too_long = builder.spawn(|len: usize| vec![1_u8; len], 2000).unwrap().join().map(drop);
        let said: Vec<String> = [
            argument(true, true),
            argument(false, true),
            argument(true, false),
            result(false, true),
            result(true, false),
            too_long,
        ]
        .into_iter()
        .map(|outcome| outcome.map_or_else(|error| error.to_string(), |()| "fine".to_owned()))
        .collect();
        assert_eq!(said[0], "fine");
        assert!(
            said[1].starts_with("the argument cannot be encoded") && said[1].contains("unwritable")
        );
        assert!(
            said[2].starts_with("the argument cannot be decoded") && said[2].contains("unreadable")
        );
        assert!(
            said[3].starts_with("the result cannot be encoded") && said[3].contains("unwritable")
        );
        assert!(
            said[4].starts_with("the result cannot be decoded") && said[4].contains("unreadable")
        );
        assert!(said[5].contains("over the limit of 1000"), "{}", said[5]);
    }
}

#[test]
fn it_cannot_be_signalled_and_says_so() {
    let (to, from) = simplex::<u8>().unwrap();
    let process = inline().spawn(|from: Receiver<u8>| from.recv().unwrap(), from).unwrap();
    for refused in [process.kill(), process.terminate(), process.interrupt(), process.signal(10)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("it runs inline"), "{error}");
    }
    assert!(process.is_alive());
    assert_eq!(process.wait_timeout(Duration::from_millis(1)), None);
    assert!(active_children().iter().any(|child| child.name() == process.name()));
    to.send(4).unwrap();
    assert_eq!(process.wait(), Exit::Code(0));
    process.kill().unwrap();
    assert_eq!(process.join().unwrap(), 4);
}

#[test]
fn handles_travel_to_it() {
    let mut buffer = SharedBuf::<u64>::zeroed(4).unwrap();
    buffer.as_mut_slice()[0] = 7;
    let grow = |mut buffer: SharedBuf<u64>| {
        let slice = buffer.as_mut_slice();
        slice[1] = slice[0] + 1;
        (slice[0], slice[1])
    };
    assert_eq!(inline().spawn(grow, buffer).unwrap().join().unwrap(), (7, 8));
    let counter = Shared::new(AtomicU64::new(1)).unwrap();
    let add = |counter: Shared<AtomicU64>| counter.fetch_add(2, Ordering::SeqCst);
    assert_eq!(inline().spawn(add, &counter).unwrap().join().unwrap(), 1);
    assert_eq!(counter.load(Ordering::SeqCst), 3);
}

#[test]
fn it_is_joined_in_every_way() {
    let mut process = inline().spawn(park_for, ()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut process).poll(&mut context).is_pending());
    assert!(process.join_timeout(Duration::ZERO).unwrap().is_none());
    assert_eq!(process.wait(), Exit::Code(0));
    assert!(matches!(Pin::new(&mut process).poll(&mut context), Poll::Ready(Ok(()))));
    let mut piped =
        inline().stdout(Stdio::piped()).stdin(Stdio::piped()).spawn(|()| (), ()).unwrap();
    let mut said = String::new();
    piped.take_stdout().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "nothing goes into its pipe");
    assert!(piped.take_stdin().is_some());
    piped.join().unwrap();
}

#[test]
fn one_that_exits_ends_the_program() {
    assert_eq!(play("inline that exits").status.code(), Some(9));
}

#[test]
fn one_that_was_left_is_waited_for_unless_it_is_a_daemon() {
    assert_eq!(play("inline that is left").succeed().count("inline is done"), 1);
}

#[test]
fn nothing_piles_up() {
    play("many inline").succeed();
}

#[test]
fn the_environment_chooses_for_builders_that_do_not() {
    let mut by_environment = command("inline by environment");
    let finished = finish(by_environment.env("PROCESSION_START_METHOD", "inline")).succeed();
    assert_eq!(finished.answer("same process "), "true");
    let finished = finish(by_environment.env("PROCESSION_START_METHOD", "")).succeed();
    assert_eq!(finished.answer("same process "), "false");
    let finished = finish(by_environment.env("PROCESSION_START_METHOD", "thread"));
    assert!(finished.err.contains("set it to spawn, zygote or inline"), "{}", finished.err);
}
