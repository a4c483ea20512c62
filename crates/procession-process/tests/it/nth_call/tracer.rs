//! Traces all threads of a program, system call by system call, and answers one of them itself.

use std::collections::{HashMap, HashSet};
use std::mem::{MaybeUninit, offset_of};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use libc::{c_long, c_uint, c_void, pid_t};

use super::{BEGIN, END, GO};

/// Calls that the kernel may refuse, on the way of a start. Left out is what asks for memory (an allocator that gets none aborts,
/// in every Rust program), what cannot fail, and what waits.
const REFUSABLE: &[c_long] = &[
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

/// How a start went of which one call was to fail.
pub(super) enum Round {
    Failed {
        has_started: bool,
    },
    /// It had no n-th call.
    OverBefore,
}

/// A program whose threads are all traced.
pub(super) struct Tracee {
    pid: pid_t,
    /// Threads that have reported themselves.
    known: HashSet<pid_t>,
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
    pub(super) fn run(command: &mut Command) -> Option<Self> {
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
        request(libc::PTRACE_SETOPTIONS, pid, 0, usize::try_from(options).unwrap());
        let mut this =
            Self { pid, known: HashSet::from([pid]), answers: HashMap::new(), waiting: None };
        this.go_on(pid, 0);
        this.run_to_begin();
        Some(this)
    }

    /// One start whose n-th call fails.
    pub(super) fn round(&mut self, nth: usize, errno: i32) -> Round {
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
                Stop::Entry { tid, call, .. } if result.is_none() && REFUSABLE.contains(&call) => {
                    seen += 1;
                    if seen == nth {
                        self.answer(tid, -c_long::from(errno));
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

    /// Lets the program come to its end, which must be a good one.
    pub(super) fn finish(mut self) {
        if let Some(tid) = self.waiting.take() {
            self.go_on(tid, 0);
        }
        while !self.known.is_empty() {
            match self.next() {
                Stop::Ended(0) => return,
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
                if tid == self.pid {
                    self.known.clear();
                    return Stop::Ended(status);
                }
                continue;
            }
            return self.stop(tid, status);
        }
    }

    fn stop(&mut self, tid: pid_t, status: i32) -> Stop {
        const OF_CALL: i32 = libc::SIGTRAP | 0x80;
        match libc::WSTOPSIG(status) {
            OF_CALL => call_stop(tid),
            _ if status >> 16 != 0 => Stop::Other { tid },
            // The first stop of a new thread is not the program's.
            libc::SIGSTOP if self.known.insert(tid) => Stop::Other { tid },
            signal => Stop::Signal { tid, signal },
        }
    }
}

fn call_stop(tid: pid_t) -> Stop {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of::<libc::ptrace_syscall_info>();
    let place = info.as_mut_ptr().cast::<c_void>();
    let size = std::ptr::without_provenance_mut::<c_void>(size);
    // SAFETY: the kernel writes at most `size` bytes, for which there is room.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, place) };
    assert!(written > 0, "{}", std::io::Error::last_os_error());
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
