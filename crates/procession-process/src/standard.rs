//! What std and the C library expect of a process, set up for a process whose `main` never runs.
//!
//! The code that std runs before `main` sees to it that descriptors 0 to 2 are open and that
//! SIGPIPE is ignored. It does not run in a child, so the same is done here. The stack overflow
//! handler is in `overflow`.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use procession_shm::limit;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Opens /dev/null under each of the numbers 0 to 2 that is closed, so that no other file takes
/// it and is written to as if it were standard error.
pub(crate) fn open_standard_descriptors() -> io::Result<()> {
    for number in 0..3 {
        if is_open(number) {
            continue;
        }
        // The lowest free number is taken, which is this one: those below are open by now.
        let opened = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
        let taken = std::os::fd::IntoRawFd::into_raw_fd(opened);
        debug_assert_eq!(taken, number, "open takes the lowest free number");
    }
    Ok(())
}

/// Whether a descriptor of this number is open.
pub(crate) fn is_open(number: i32) -> bool {
    // SAFETY: asking for the flags of a number has no effect, whether or not it is open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags != -1 || Errno::from_io_error(&io::Error::last_os_error()) != Some(Errno::BADF)
}

/// Whether a descriptor of this number is open and survives an exec.
pub(crate) fn is_inherited(number: c_int) -> bool {
    // SAFETY: asking for the flags of a number has no effect, whether or not it is open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// One of the standard descriptors of this process, if it is there for others. In a process that has closed its own, the number may
/// be that of anything that was opened since, by this crate for one.
pub(crate) fn borrow(number: c_int) -> Option<BorrowedFd<'static>> {
    // SAFETY: the number is open, and nobody closes a standard descriptor for good who wants others to use it.
    is_inherited(number).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// Closes one of the standard descriptors of this process, where another one is about to take its place.
pub(crate) fn close(number: c_int) {
    // SAFETY: the standard descriptors belong to the process, which is about to replace all of them.
    unsafe { libc::close(number) };
}

/// A write to a closed pipe is an error and not a signal, as in every Rust program.
pub(crate) fn ignore_broken_pipes() -> io::Result<()> {
    set_handler(libc::SIGPIPE, libc::SIG_IGN, 0)
}

/// Catches SIGINT and does nothing, so that the parent decides what Ctrl-C means.
///
/// An empty handler, because an ignored signal would stay ignored in every program that the child
/// runs. Until here the signal was blocked by the parent, so that none is lost or deadly.
pub(crate) fn catch_interrupts() -> io::Result<()> {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    set_handler(libc::SIGINT, handler as libc::sighandler_t, libc::SA_RESTART)?;
    set_signal_mask(&[])
}

/// Sets the handler of one signal, with no other signal blocked while it runs.
pub(crate) fn set_handler(
    signal: c_int,
    handler: libc::sighandler_t,
    flags: c_int,
) -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let place = action.as_mut_ptr();
    // SAFETY: `place` points to a zeroed action.
    unsafe { (*place).sa_sigaction = handler };
    // SAFETY: as above.
    unsafe { (*place).sa_flags = flags };
    // SAFETY: as above; an all-zero action with these two fields set is a valid one, its mask is
    // empty.
    succeed(unsafe { libc::sigaction(signal, place, ptr::null_mut()) })
}

/// Whether nobody handles or ignores this signal.
pub(crate) fn has_default_action(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` is a place for an action.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: an all-zero action is a valid one, and the call writes no other.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// Blocks these signals in this thread, and no others.
pub(crate) fn set_signal_mask(blocked: &[c_int]) -> io::Result<()> {
    let blocked = signal_set(blocked);
    // SAFETY: `blocked` is an initialised set.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Blocks every signal in this thread: handlers of the host program have no business here.
pub(crate) fn block_signals() {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is initialised, and the call cannot fail with a valid `how`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut()) };
}

pub(crate) fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set is initialised; a number out of range is an error without effect.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: initialised above.
    unsafe { set.assume_init() }
}

/// A crash leaves no core file: writing one delays the notice of the death by seconds.
///
/// The limit is 1 and not 0 where possible. Both suppress a file, but if the system pipes dumps
/// into a program, the kernel ignores every limit except 1.
pub(crate) fn forbid_core_dumps() -> io::Result<()> {
    let Rlimit { maximum, .. } = limit::of(Resource::Core)?;
    let current = Some(maximum.map_or(1, |maximum| maximum.min(1)));
    Ok(setrlimit(Resource::Core, Rlimit { current, maximum })?)
}

/// The stack size the main thread of this process would have, within reason: the limit may be
/// "unlimited", which is no size, or too small for a thread.
pub(crate) fn main_stack_bytes() -> usize {
    const DEFAULT: u64 = 8 << 20;
    let limit = limit::soft(Resource::Stack).unwrap_or(DEFAULT);
    usize::try_from(limit.clamp(256 << 10, 1 << 30)).unwrap_or(8 << 20)
}

fn succeed(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
