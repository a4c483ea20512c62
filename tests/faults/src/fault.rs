//! Which call fails, and the thread that sees to it.
//!
//! Whoever makes a call sleeps until the thread answers. So the thread waits for nobody: what it and the scene share are words,
//! and nothing is allocated while it decides (the caller may be inside of the allocator).

use std::io::{self, Write};
use std::os::fd::OwnedFd;
// tidy: raw atomic: a test harness
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, open};
use rustix::path::DecInt;

use crate::calls::{self, Call};
use crate::listener::{Answer, Listener, Question};

/// The n-th call, counted from 1, and which of its errors it fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) nth: usize,
    pub(crate) error: usize,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The call has failed.
    Hit,
    /// It has not so many errors.
    NoSuchError,
    /// There was no such call.
    OverBefore,
}

/// What the scene and the thread share.
#[derive(Default)]
struct State {
    is_armed: AtomicBool,
    /// 0 for none.
    nth: AtomicUsize,
    error: AtomicUsize,
    seen: AtomicUsize,
    /// The error that the call has failed with, or 0.
    hit: AtomicI32,
}

/// The fault of this process and of all that it starts, one at a time.
pub(crate) struct Fault {
    state: Arc<State>,
}

impl Fault {
    /// Puts the filter on this thread, from now on.
    pub(crate) fn install() -> io::Result<Self> {
        let state = Arc::<State>::default();
        let place = Arc::new(OnceLock::new());
        let own_threads = open("/proc/self/task", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (shared, listener) = (Arc::clone(&state), Arc::clone(&place));
        // It exists before the filter does, so that the filter is not on it.
        thread::Builder::new()
            .name("faults".to_owned())
            .spawn(move || answer_all(await_listener(&listener), &shared, &own_threads))?;
        place
            .set(Listener::install(&calls::numbers())?)
            .map_err(|_| io::ErrorKind::AlreadyExists)?;
        Ok(Self { state })
    }

    /// Lets calls fail while `act` runs, on whatever thread and in whatever process they are.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        self.state.is_armed.store(true, SeqCst);
        let result = act();
        self.state.is_armed.store(false, SeqCst);
        result
    }

    /// The next [`during`](Self::during) has this call fail, or none.
    pub(crate) fn aim(&self, target: Option<Target>) {
        let Target { nth, error } = target.unwrap_or(Target { nth: 0, error: 0 });
        self.state.is_armed.store(false, SeqCst);
        self.state.error.store(error, SeqCst);
        self.state.nth.store(nth, SeqCst);
        self.state.seen.store(0, SeqCst);
        self.state.hit.store(0, SeqCst);
    }

    /// What became of the target since.
    pub(crate) fn result(&self) -> Aim {
        if self.state.hit.load(SeqCst) != 0 {
            Aim::Hit
        } else if self.state.seen.load(SeqCst) >= self.state.nth.load(SeqCst) {
            Aim::NoSuchError
        } else {
            Aim::OverBefore
        }
    }
}

/// A channel would wake this thread by a call, which would wait for this thread.
fn await_listener(place: &OnceLock<Listener>) -> &Listener {
    loop {
        match place.get() {
            Some(listener) => break listener,
            None => thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// For as long as the process lives.
fn answer_all(listener: &Listener, state: &State, own_threads: &OwnedFd) {
    loop {
        let told = listener.ask().and_then(|question| match question {
            None => Ok(()),
            Some(question) => listener.tell(&question, decide(&question, state, own_threads)),
        });
        // Whoever asks then would never have an answer.
        if told.is_err() {
            std::process::abort();
        }
    }
}

fn decide(question: &Question, state: &State, own_threads: &OwnedFd) -> Answer {
    if !state.is_armed.load(SeqCst) {
        return Answer::GoOn;
    }
    let Some(call) = calls::find(question.number, &question.arguments) else { return Answer::GoOn };
    let target = Target { nth: state.nth.load(SeqCst), error: state.error.load(SeqCst) };
    if state.seen.fetch_add(1, SeqCst) + 1 != target.nth {
        return Answer::GoOn;
    }
    let Some(&errno) = call.errors.get(target.error) else { return Answer::GoOn };
    let thread = DecInt::new(question.tid);
    let is_own = accessat(own_threads, thread, Access::EXISTS, AtFlags::empty()).is_ok();
    say(target, call, errno, is_own);
    state.hit.store(errno, SeqCst);
    Answer::Fail(errno)
}

/// One write from the stack, so that the line is there though the process hangs or dies of it.
fn say(target: Target, call: &Call, errno: i32, is_own: bool) {
    let mut line = [0_u8; 160];
    let mut rest = &mut line[..];
    let (nth, name, error) = (target.nth, call.name, calls::error_name(errno));
    let whose = if is_own { "own" } else { "a child's" };
    // What does not fit is cut.
    let _fits = writeln!(rest, "SHOT {nth} {}: {whose} {name}: {error}", target.error).is_ok();
    let unused = rest.len();
    let length = line.len() - unused;
    // There is nobody to be told if nobody listens.
    let _said = rustix::io::write(rustix::stdio::stdout(), &line[..length]).is_ok();
}
