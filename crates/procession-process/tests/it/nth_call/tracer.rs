//! Traces all threads of a program, system call by system call, and answers one of them itself.

use std::collections::HashMap;
use std::mem::{MaybeUninit, offset_of};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use libc::{c_long, c_uint, c_void, pid_t};

use super::{BEGIN, END, GO};

/// Calls that the kernel may refuse, on the way of a start. Left out is what asks for memory (an allocator that gets none aborts,
/// in every Rust program), what cannot fail, and what waits.
pub(crate) const REFUSABLE: &[c_long] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_fallocate,
    libc::SYS_fcntl,
    libc::SYS_fork,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_memfd_create,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_pidfd_open,
    libc::SYS_pipe2,
    libc::SYS_read,
    libc::SYS_sendmsg,
    libc::SYS_socketpair,
    libc::SYS_vfork,
];

/// Whose thread has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Program,
    /// A child of the program.
    Zygote,
    Newborn,
}

/// What happens at the n-th call.
#[derive(Clone, Copy)]
pub(crate) enum Blow {
    /// It fails with this error.
    Fails(i32),
    KillsZygote,
}

/// How a start went of which one call was to fail.
pub(crate) enum Round {
    Failed {
        has_started: bool,
    },
    /// It had no n-th call.
    OverBefore,
}

/// A program whose threads are all traced.
pub(crate) struct Tracee {
    pid: pid_t,
    /// Threads that have reported themselves.
    known: HashMap<pid_t, Who>,
    /// The last zygote that has reported itself.
    zygote: Option<pid_t>,
    /// Threads that are in a call which is answered by the tracer, and the answer.
    answers: HashMap<pid_t, c_long>,
    /// The thread that waits at [`BEGIN`] for the tracer's answer.
    waiting: Option<pid_t>,
}

/// What a thread has stopped for.
enum Stop {
    Entry {
        tid: pid_t,
        call: c_long,
        argument: u64,
    },
    Exit {
        tid: pid_t,
    },
    Signal {
        tid: pid_t,
        signal: i32,
    },
    Other {
        tid: pid_t,
    },
    /// The program has ended with this wait status.
    Ended(i32),
}

impl Tracee {
    /// Starts a program; `None` where processes may not be traced.
    pub(crate) fn run(command: &mut Command) -> Option<Self> {
        Self::start(command, 0)
    }

    /// The same, with all processes that it starts.
    pub(crate) fn run_with_children(command: &mut Command) -> Option<Self> {
        let all = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACEEXEC;
        Self::start(command, all)
    }

    fn start(command: &mut Command, more: i32) -> Option<Self> {
        let trace_me = || {
            let none = std::ptr::null_mut::<c_void>();
            // SAFETY: a request without arguments.
            match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, none) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: the closure makes one async-signal-safe call.
        unsafe { command.pre_exec(trace_me) };
        command.stdout(Stdio::null());
        let pid = command.spawn().ok()?.id().cast_signed();
        // Execution itself is the first stop.
        let (tid, status) = wait(pid);
        assert!(tid == pid && libc::WIFSTOPPED(status), "{status:#x}");
        let options =
            libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
        request(libc::PTRACE_SETOPTIONS, pid, 0, usize::try_from(options | more).unwrap());
        let mut this = Self {
            pid,
            known: HashMap::from([(pid, Who::Program)]),
            zygote: None,
            answers: HashMap::new(),
            waiting: None,
        };
        this.go_on(pid, 0);
        this.run_to_begin();
        Some(this)
    }

    /// One start whose n-th call fails.
    pub(crate) fn round(&mut self, nth: usize, errno: i32) -> Round {
        self.strike(nth, Blow::Fails(errno), |_, call| REFUSABLE.contains(&call))
    }

    /// One start in which something happens at the n-th of the calls that count.
    pub(crate) fn strike(
        &mut self,
        nth: usize,
        blow: Blow,
        counts: impl Fn(Who, c_long) -> bool,
    ) -> Round {
        let tid = self.waiting.take().expect("each round ends where the program waits for another");
        self.answers.insert(tid, GO);
        self.go_on(tid, 0);
        let (mut seen, mut result) = (0, None);
        loop {
            match self.next() {
                Stop::Entry { call: END, argument, tid } => {
                    result = Some(argument == 1);
                    self.go_on(tid, 0);
                }
                Stop::Entry { call: BEGIN, tid, .. } => {
                    self.waiting = Some(tid);
                    break;
                }
                Stop::Entry { tid, call, .. }
                    if result.is_none() && counts(self.known[&tid], call) =>
                {
                    seen += 1;
                    if seen == nth {
                        self.deal(blow, tid);
                    }
                    self.go_on(tid, 0);
                }
                Stop::Ended(0) => break,
                stop => self.pass(&stop),
            }
        }
        let has_started = result.expect("the program has said how it went");
        if seen < nth { Round::OverBefore } else { Round::Failed { has_started } }
    }

    fn deal(&mut self, blow: Blow, tid: pid_t) {
        match blow {
            Blow::Fails(errno) => self.answer(tid, -c_long::from(errno)),
            Blow::KillsZygote => {
                if let Some(pid) = self.zygote {
                    // SAFETY: this thread traces it: the number is its own until this thread has waited for it.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
        }
    }

    /// Lets the program come to its end, which must be a good one. What it has started dies with it.
    pub(crate) fn finish(mut self) {
        if let Some(tid) = self.waiting.take() {
            self.go_on(tid, 0);
        }
        while !self.known.is_empty() {
            match self.next() {
                Stop::Ended(0) => return bury_the_others(),
                stop => self.pass(&stop),
            }
        }
    }

    fn run_to_begin(&mut self) {
        loop {
            match self.next() {
                Stop::Entry { call: BEGIN, tid, .. } => break self.waiting = Some(tid),
                stop => self.pass(&stop),
            }
        }
    }

    /// Lets a thread go on as if nobody had looked.
    fn pass(&mut self, stop: &Stop) {
        match *stop {
            Stop::Entry { tid, .. } | Stop::Other { tid } => self.go_on(tid, 0),
            Stop::Signal { tid, signal } => self.go_on(tid, signal),
            Stop::Exit { tid } => {
                if let Some(answer) = self.answers.remove(&tid) {
                    set_register(tid, offset_of!(libc::user, regs.rax), answer);
                }
                self.go_on(tid, 0);
            }
            Stop::Ended(status) => panic!("the program came to another end: {status:#x}"),
        }
    }

    /// The call that the thread has just entered is not done, and has this result.
    fn answer(&mut self, tid: pid_t, result: c_long) {
        const NO_CALL: c_long = -1;
        set_register(tid, offset_of!(libc::user, regs.orig_rax), NO_CALL);
        self.answers.insert(tid, result);
    }

    fn go_on(&mut self, tid: pid_t, signal: i32) {
        request(libc::PTRACE_SYSCALL, tid, 0, usize::try_from(signal).unwrap());
    }

    fn next(&mut self) -> Stop {
        loop {
            let (tid, status) = wait(-1);
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                self.known.remove(&tid);
                self.zygote.take_if(|zygote| *zygote == tid);
                if tid == self.pid {
                    self.known.clear();
                    return Stop::Ended(status);
                }
                continue;
            }
            return self.stop(tid, status);
        }
    }

    /// A thread that reports itself for the first time.
    fn meet(&mut self, tid: pid_t) {
        let who = match (field(tid, "Tgid:"), field(tid, "PPid:")) {
            (process, _) if process == self.pid => Who::Program,
            (_, parent) if parent == self.pid => Who::Zygote,
            _ => Who::Newborn,
        };
        if who == Who::Zygote {
            self.zygote = Some(tid);
        }
        self.known.insert(tid, who);
    }

    fn stop(&mut self, tid: pid_t, status: i32) -> Stop {
        const OF_CALL: i32 = libc::SIGTRAP | 0x80;
        let is_new = !self.known.contains_key(&tid);
        if is_new {
            self.meet(tid);
        }
        match libc::WSTOPSIG(status) {
            OF_CALL => call_stop(tid),
            _ if status >> 16 != 0 => Stop::Other { tid },
            // The first stop of a new thread is not the program's.
            libc::SIGSTOP if is_new => Stop::Other { tid },
            signal => Stop::Signal { tid, signal },
        }
    }
}

/// Waits for all that this thread still traces, until they have been killed with their parents.
fn bury_the_others() {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a local.
        let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if tid < 0 {
            return;
        }
        if libc::WIFSTOPPED(status) {
            request(libc::PTRACE_CONT, tid, 0, 0);
        }
    }
}

/// A field of a thread's status that is a number; 0 if the thread is gone.
fn field(tid: pid_t, name: &str) -> pid_t {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn call_stop(tid: pid_t) -> Stop {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of::<libc::ptrace_syscall_info>();
    let place = info.as_mut_ptr().cast::<c_void>();
    let size = std::ptr::without_provenance_mut::<c_void>(size);
    // SAFETY: the kernel writes at most `size` bytes, for which there is room.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, place) };
    if written <= 0 {
        // It was killed while it stood still.
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
        return Stop::Other { tid };
    }
    // SAFETY: zeroed and then written in part; every bit pattern is valid.
    let info = unsafe { info.assume_init() };
    if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
        // SAFETY: at an entry this is the member that is set.
        let entry = unsafe { info.u.entry };
        Stop::Entry { tid, call: entry.nr.cast_signed(), argument: entry.args[0] }
    } else {
        Stop::Exit { tid }
    }
}

/// Waits for a thread that this thread traces, or for all of them.
fn wait(tid: pid_t) -> (pid_t, i32) {
    let mut status = 0;
    let options = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the pointer is to a local.
    let waited = unsafe { libc::waitpid(tid, &raw mut status, options) };
    assert!(waited > 0, "{}", std::io::Error::last_os_error());
    (waited, status)
}

fn set_register(tid: pid_t, offset: usize, value: c_long) {
    request(libc::PTRACE_POKEUSER, tid, offset, usize::from_ne_bytes(value.to_ne_bytes()));
}

/// A thread that was killed meanwhile cannot be asked any more, and is waited for later.
fn request(what: c_uint, tid: pid_t, address: usize, data: usize) {
    let pointer = std::ptr::without_provenance_mut::<c_void>;
    // SAFETY: the requests made here take numbers, not pointers into this process.
    let done = unsafe { libc::ptrace(what, tid, pointer(address), pointer(data)) };
    let error = std::io::Error::last_os_error();
    assert!(done != -1 || error.raw_os_error() == Some(libc::ESRCH), "{error}");
}
