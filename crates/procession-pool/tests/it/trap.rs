//! A task whose argument, function or result brings its worker down.

use std::time::Duration;

use procession_pool::{Job, Pool, TaskError};
use procession_process::{Exit, Failure};
use serde::{Deserialize, Serialize, Serializer};

use super::ledger::{Ledger, record};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Well,
    Panic,
    Fail,
    Exit(i32),
    Abort,
    Segfault,
    StackOverflow,
    Kill,
    Stop,
    OutOfMemory,
}

/// Where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    Argument,
    Function,
    Result,
}

pub(crate) const PLACES: [Place; 3] = [Place::Argument, Place::Function, Place::Result];

/// The timeout that ends a worker which stopped itself.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Only a worker that stops needs a deadline; for what else can happen a busy machine may take longer.
pub(crate) fn job(pool: &Pool, how: How) -> Job<'_> {
    if how == How::Stop { pool.job().timeout(STOP_TIMEOUT) } else { pool.job() }
}

/// An argument. It writes its execution down when it is decoded, and may go off then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub(crate) struct Trap(Wire);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wire {
    ledger: String,
    number: u32,
    place: Place,
    how: How,
}

impl Trap {
    pub(crate) fn new(ledger: &Ledger, number: u32, place: Place, how: How) -> Self {
        Self(Wire { ledger: ledger.path(), number, place, how })
    }

    /// Items `0 .. count` of which only `victim` is not well.
    pub(crate) fn series(
        ledger: &Ledger,
        count: u32,
        victim: u32,
        place: Place,
        how: How,
    ) -> Vec<Self> {
        let how_of = |number| if number == victim { how } else { How::Well };
        (0..count).map(|number| Self::new(ledger, number, place, how_of(number))).collect()
    }
}

impl TryFrom<Wire> for Trap {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        record(&wire.ledger, wire.number);
        if wire.place == Place::Argument {
            wire.how.happen()?;
        }
        Ok(Self(wire))
    }
}

/// A result, which may go off when it is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Reply {
    pub(crate) number: u32,
    how: How,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.how.happen().map_err(serde::ser::Error::custom)?;
        (self.number, self.how).serialize(serializer)
    }
}

/// The task.
pub(crate) fn spring(Trap(wire): Trap) -> Result<Reply, Failure> {
    if wire.place == Place::Function {
        wire.how.happen()?;
    }
    let how = if wire.place == Place::Result { wire.how } else { How::Well };
    Ok(Reply { number: wire.number, how })
}

impl How {
    pub(crate) fn happen(self) -> Result<(), String> {
        match self {
            Self::Well => {}
            Self::Panic => panic!("a panic on purpose"),
            Self::Fail => return Err("a failure on purpose".to_owned()),
            Self::Exit(code) => std::process::exit(code),
            Self::Abort => std::process::abort(),
            Self::Segfault => segfault(),
            Self::StackOverflow => drop(overflow(1)),
            Self::Kill => raise(rustix::process::Signal::KILL),
            Self::Stop => stop(),
            Self::OutOfMemory => exhaust_memory(),
        }
        Ok(())
    }
}

pub(crate) fn raise(signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

/// Another thread may be the one that takes the signal, and this one goes on for a moment.
fn stop() {
    raise(rustix::process::Signal::STOP);
    std::thread::sleep(Duration::from_secs(600));
}

fn segfault() {
    let nowhere = std::hint::black_box(std::ptr::without_provenance_mut::<u8>(8));
    // SAFETY: none. Nothing is mapped at address 8, so this ends the process, which is what it is for.
    unsafe { nowhere.write_volatile(1) }
}

fn overflow(depth: usize) -> [u8; 4096] {
    let mut frame = std::hint::black_box([0; 4096]);
    if depth > 0 {
        frame[0] = overflow(std::hint::black_box(depth + 1))[1];
    }
    std::hint::black_box(frame)
}

/// Allocates more than the process may have; what Rust does then is to abort.
fn exhaust_memory() {
    limit_memory(256 << 20);
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 16 << 20]));
    }
}

/// From now on this process may not have more than this many bytes of private memory.
pub(crate) fn limit_memory(bytes: u64) {
    let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::setrlimit(rustix::process::Resource::Data, limit).unwrap();
}

/// Asserts that `error` is what is documented for `how` at `place`.
#[track_caller]
pub(crate) fn assert_documented(error: &TaskError, item: usize, place: Place, how: How) {
    assert_eq!(error.item(), Some(item), "{error:?}");
    assert!(error.attempts().is_empty(), "{error:?}");
    let own = std::process::id();
    match (how, place, error) {
        (How::Panic, Place::Argument, TaskError::Decode { reason, .. }) => {
            assert!(reason.contains("a panic on purpose"), "{reason}");
        }
        (How::Panic, Place::Function | Place::Result, TaskError::Panicked { panic, .. }) => {
            assert_eq!(panic.message, "a panic on purpose");
            assert!(panic.location.contains("trap.rs"), "{panic:?}");
        }
        (How::Fail, Place::Argument, TaskError::Decode { reason, .. })
        | (How::Fail, Place::Result, TaskError::Encode { reason, .. }) => {
            assert!(reason.contains("a failure on purpose"), "{reason}");
        }
        (How::Fail, Place::Function, TaskError::Failed { report, .. }) => {
            assert_eq!(report.to_string(), "a failure on purpose");
        }
        (How::Stop, _, TaskError::TimedOut { pid, after, .. }) => {
            assert_ne!(*pid, own);
            assert_eq!(*after, STOP_TIMEOUT);
        }
        (_, _, TaskError::Died { pid, exit, .. }) => {
            assert_ne!(*pid, own);
            assert_eq!(Some(*exit), exit_of(how), "{how:?} at {place:?}");
        }
        _ => panic!("{how:?} at {place:?} was {error:?}"),
    }
}

/// How a process ends to which this happens, if it ends by itself.
fn exit_of(how: How) -> Option<Exit> {
    match how {
        How::Exit(code) => Some(Exit::Code(code)),
        How::Abort | How::StackOverflow | How::OutOfMemory => Some(Exit::Signal(6)),
        How::Segfault => Some(Exit::Signal(11)),
        How::Kill => Some(Exit::Signal(9)),
        How::Well | How::Panic | How::Fail | How::Stop => None,
    }
}

/// Asserts that nothing is wrong with the pool: it has all its workers, and 1,000 tasks are done right.
#[track_caller]
pub(crate) fn assert_sound(pool: &Pool) {
    let expected: Vec<u64> = (0..1000).map(|n| n * 3).collect();
    assert_eq!(pool.map(|n: u64| n * 3, 0..1000).unwrap(), expected);
    super::guard::eventually("the pool has all its workers", || {
        pool.worker_pids().len() == pool.workers()
    });
}
