//! Stepping through another process, one instruction at a time.
//!
//! A step that runs into a system call that sleeps does not end before somebody wakes the sleeper. So before each step the
//! next instruction is looked at, and a futex call is waited for in small naps: the director can see that the victim has
//! fallen asleep, which is a state of its own in which it can be killed.
//!
//! Whoever stops all processes of a machine for a while, and lets them go on later, stops victims as well. A tracer hears of that
//! as of a step's end; it drops both signals, and the victim takes its step.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use libc::{c_long, c_void, pid_t};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

/// The `syscall` instruction, as the lowest 16 bits of the word at its address.
const SYSCALL: u64 = 0x050f;
const SYS_FUTEX: u64 = 202;
const SYS_FUTEX_WAITV: u64 = 449;

/// How long one look at a process that may be asleep lasts.
const NAP: Duration = Duration::from_micros(20);

/// How long a step may take that somebody must end by waking the sleeper.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The instruction is done.
    Done,
    /// The instruction was a system call in which the victim now sleeps.
    Asleep,
}

/// What the next instruction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Ordinary,
    SystemCall,
    Futex,
}

/// A stopped process that this one traces. It is killed and reaped, at the latest when this is dropped.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
}

/// Which addresses hold a `syscall` instruction: code does not change, so each is looked up once.
pub(crate) type CodeMap = HashMap<u64, bool>;

/// Makes the caller a process that its parent traces.
pub(crate) fn trace_me() -> io::Result<()> {
    request(libc::PTRACE_TRACEME, 0, 0, 0).map(drop)
}

impl Tracee {
    /// The process `pid`, which is about to stop at its first mark; `None` while it has not.
    pub(crate) fn stopped(pid: Pid) -> io::Result<Option<Self>> {
        match waitpid(Some(pid), WaitOptions::NOHANG)? {
            None => Ok(None),
            Some((_, status)) if is_from_outside(status) => {
                request(libc::PTRACE_CONT, pid.as_raw_nonzero().get(), 0, 0)?;
                Ok(None)
            }
            Some((_, status)) if status.stopping_signal() == Some(libc::SIGTRAP) => {
                let exit_kill = libc::PTRACE_O_EXITKILL as usize;
                request(libc::PTRACE_SETOPTIONS, pid.as_raw_nonzero().get(), 0, exit_kill)?;
                Ok(Some(Self { pid }))
            }
            Some((_, status)) => Err(ended_early(status)),
        }
    }

    /// The instruction pointer.
    pub(crate) fn position(&self) -> io::Result<u64> {
        self.register(std::mem::offset_of!(libc::user, regs.rip))
    }

    /// What the instruction at `position` is.
    pub(crate) fn next(&self, position: u64, code: &mut CodeMap) -> io::Result<Next> {
        let is_call = match code.get(&position) {
            Some(known) => *known,
            None => {
                let word = self.peek(libc::PTRACE_PEEKTEXT, position)?;
                *code.entry(position).or_insert(word & 0xffff == SYSCALL)
            }
        };
        if !is_call {
            return Ok(Next::Ordinary);
        }
        match self.register(std::mem::offset_of!(libc::user, regs.rax))? {
            SYS_FUTEX | SYS_FUTEX_WAITV => Ok(Next::Futex),
            _ => Ok(Next::SystemCall),
        }
    }

    /// Does one instruction, which is what [`next`](Self::next) has said.
    pub(crate) fn step(&self, next: Next) -> io::Result<Step> {
        self.begin_step()?;
        if next == Next::Futex {
            return self.await_step_or_sleep();
        }
        loop {
            let Some((_, status)) = waitpid(Some(self.pid), WaitOptions::empty())? else {
                return Err(io::Error::other("a wait for the victim ended without news"));
            };
            if self.is_end_of_step(status)? {
                return Ok(Step::Done);
            }
        }
    }

    fn begin_step(&self) -> io::Result<()> {
        request(libc::PTRACE_SINGLESTEP, self.raw(), 0, 0).map(drop)
    }

    /// Whether a stop is the end of the step. If somebody else has asked for it, the step begins again.
    fn is_end_of_step(&self, status: WaitStatus) -> io::Result<bool> {
        match status.stopping_signal() {
            Some(libc::SIGTRAP) => Ok(true),
            _ if is_from_outside(status) => self.begin_step().map(|()| false),
            _ => Err(ended_early(status)),
        }
    }

    /// Waits for the end of a step in which the victim was [`Asleep`](Step::Asleep), having had it woken.
    pub(crate) fn finish_step(&self) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < STEP_TIMEOUT {
            if self.has_trapped()? {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        Err(io::Error::other("the victim was not woken although what it waits for was given back"))
    }

    /// Kills it where it is and reaps it.
    pub(crate) fn kill(self) -> io::Result<()> {
        kill_and_reap(ManuallyDrop::new(self).pid)
    }

    fn await_step_or_sleep(&self) -> io::Result<Step> {
        let started = Instant::now();
        while started.elapsed() < STEP_TIMEOUT {
            std::thread::yield_now();
            if self.has_trapped()? {
                return Ok(Step::Done);
            }
            // A stop looks like a sleep to who reads /proc, but only the stop can be waited for.
            if is_asleep(self.pid) {
                return Ok(if self.has_trapped()? { Step::Done } else { Step::Asleep });
            }
            std::thread::sleep(NAP);
        }
        Err(io::Error::other("a step neither ended nor fell asleep"))
    }

    fn has_trapped(&self) -> io::Result<bool> {
        match waitpid(Some(self.pid), WaitOptions::NOHANG)? {
            None => Ok(false),
            Some((_, status)) => self.is_end_of_step(status),
        }
    }

    fn register(&self, offset: usize) -> io::Result<u64> {
        self.peek(libc::PTRACE_PEEKUSER, offset as u64)
    }

    /// By the bare system call, which stores the word where it is told to: glibc's answers with the word itself, so that an
    /// error looks like a word of ones.
    fn peek(&self, what: libc::c_uint, at: u64) -> io::Result<u64> {
        let mut word = 0_u64;
        // SAFETY: these requests write one word, for which there is room.
        let done = unsafe { libc::syscall(libc::SYS_ptrace, what, self.raw(), at, &raw mut word) };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(word) }
    }

    fn raw(&self) -> pid_t {
        self.pid.as_raw_nonzero().get()
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // An error has ended the scene. It may be that of a victim that is gone.
        let killed = kill_and_reap(self.pid);
        debug_assert!(killed.is_ok() || !exists(self.pid), "{killed:?}");
    }
}

fn exists(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

fn request(what: libc::c_uint, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    let pointer = std::ptr::without_provenance_mut::<c_void>;
    // SAFETY: the requests made here take numbers, not pointers into this process.
    match unsafe { libc::ptrace(what, pid, pointer(address), pointer(data)) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// Whether the victim was stopped, or told to go on, by somebody else.
fn is_from_outside(status: WaitStatus) -> bool {
    matches!(status.stopping_signal(), Some(libc::SIGSTOP | libc::SIGCONT))
}

fn ended_early(status: WaitStatus) -> io::Error {
    io::Error::other(format!("the victim came to another end: {status:?}"))
}

/// Kills a child, wherever it is, and reaps it.
pub(crate) fn kill_and_reap(pid: Pid) -> io::Result<()> {
    kill_process(pid, Signal::KILL)?;
    loop {
        if let Some((_, status)) = waitpid(Some(pid), WaitOptions::empty())?
            && (status.signaled() || status.exited())
        {
            return Ok(());
        }
    }
}

/// Whether a process sleeps in a futex call.
pub(crate) fn is_asleep(pid: Pid) -> bool {
    let path = format!("/proc/{}/syscall", pid.as_raw_nonzero());
    let Ok(text) = fs::read_to_string(path) else { return false };
    let number = text.split(' ').next().and_then(|number| number.parse().ok());
    matches!(number, Some(SYS_FUTEX | SYS_FUTEX_WAITV))
}
