//! The kernel asks before it does certain system calls, and does what it is told.
//!
//! A seccomp filter sends the calls of one thread, and of all threads and processes that come from it, to a *listener*. The
//! caller sleeps until the answer is there: go on, or fail with this error. That reaches children behind an exec, and all calls
//! that are not in the filter cost nothing. Rejected: `ptrace`, by which this was done before (a stop at each call of each
//! thread, registers of one architecture, and children that are reaped by the tracer first).
//!
//! # What does not work
//!
//! The filter cannot be taken off again, so that it belongs in a process of its own. Whoever answers must not make a call of the
//! filter, nor wait for somebody who may be in one; so it must not allocate either.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_ulong, sock_filter, sock_fprog};

/// Behind which a signal does not make a caller ask once more (Linux 5.19).
const WAIT_KILLABLE_RECV: c_ulong = 1 << 5;

/// What hears of the calls.
pub(crate) struct Listener(OwnedFd);

/// A call that has not happened yet.
pub(crate) struct Question {
    id: u64,
    /// The thread that calls.
    pub(crate) tid: u32,
    pub(crate) number: c_long,
    pub(crate) arguments: [u64; 6],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    GoOn,
    Fail(i32),
}

impl Listener {
    /// Puts the filter on this thread.
    pub(crate) fn install(numbers: &[c_long]) -> io::Result<Self> {
        let mut program = filter(numbers);
        let length = u16::try_from(program.len()).map_err(io::Error::other)?;
        let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
        // SAFETY: it takes numbers only.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        seccomp(listening | WAIT_KILLABLE_RECV, &program).or_else(|_| seccomp(listening, &program))
    }

    /// Sleeps until somebody calls. `None` if the caller died before its question was read.
    pub(crate) fn ask(&self) -> io::Result<Option<Question>> {
        let mut place = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: the kernel writes one notification there, into memory that is zero, as it wants it to be.
        let read = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, place.as_mut_ptr())
        };
        if read != 0 {
            return gone(io::Error::last_os_error());
        }
        // SAFETY: zeroed and then written; every bit pattern is valid.
        let notification = unsafe { place.assume_init() };
        Ok(Some(Question {
            id: notification.id,
            tid: notification.pid,
            number: c_long::from(notification.data.nr),
            arguments: notification.data.args,
        }))
    }

    /// Lets the caller have its answer; it may have died meanwhile.
    pub(crate) fn tell(&self, question: &Question, answer: Answer) -> io::Result<()> {
        let (error, flags) = match answer {
            Answer::GoOn => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
            Answer::Fail(errno) => (-errno, 0),
        };
        let flags = u32::try_from(flags).map_err(io::Error::other)?;
        let mut response = libc::seccomp_notif_resp { id: question.id, val: 0, error, flags };
        // SAFETY: the kernel reads one response there.
        let sent = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response)
        };
        if sent == 0 { Ok(()) } else { gone(io::Error::last_os_error()).map(|_: Option<()>| ()) }
    }
}

/// The kernel says so of a caller that is not there any more, and of a wait that a signal has ended.
fn gone<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR) => Ok(None),
        _ => Err(error),
    }
}

fn seccomp(flags: c_ulong, program: &sock_fprog) -> io::Result<Listener> {
    let mode = c_long::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the program is valid for the call, and the kernel copies it.
    let made =
        unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, std::ptr::from_ref(program)) };
    let fd: RawFd = c_int::try_from(made).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for this.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// One comparison for each number; the one that fits jumps to the last instruction.
fn filter(numbers: &[c_long]) -> Vec<sock_filter> {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let plain = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let comparison = |(at, &number): (usize, &c_long)| sock_filter {
        code: JUMP_IF_EQUAL,
        jt: u8::try_from(numbers.len() - at).expect("there are fewer calls than a jump is long"),
        jf: 0,
        k: u32::try_from(number).expect("numbers of calls are small"),
    };
    let mut program = vec![plain(LOAD_NUMBER, 0)];
    program.extend(numbers.iter().enumerate().map(comparison));
    program.push(plain(RETURN, libc::SECCOMP_RET_ALLOW));
    program.push(plain(RETURN, libc::SECCOMP_RET_USER_NOTIF));
    program
}
