//! Tells a stack overflow from other memory faults in the thread that serves a child.
//!
//! std's own handler is installed before `main`, so that a child has none. This one does what a
//! Rust programmer expects: an overflow says so, with the thread's name, and aborts; any other
//! fault ends the process by the signal, as without a handler.
//!
//! The handler needs a stack of its own, since the thread's is used up. Threads that user code
//! starts in a child have none; their overflow is a plain SIGSEGV.
//!
//! # Safety
//!
//! O1. The handler touches atomics, a leaked string and async-signal-safe calls only.
//! O2. One thread serves in a process, so there is one guard area.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::stdio::stderr;

use crate::standard::set_handler;
use procession_shm::fork::FirstWins;

/// Bounds of the guard area. Relaxed: only the thread that stored them can fault there.
static GUARD_START: AtomicUsize = AtomicUsize::new(0);
static GUARD_END: AtomicUsize = AtomicUsize::new(0);
static MESSAGE: FirstWins<String> = FirstWins::new();

/// Prepares the calling thread, whose name is `name`, and installs the handler.
pub(crate) fn watch(name: &str) -> io::Result<()> {
    let guard = guard_area()?;
    GUARD_START.store(guard.start, Ordering::Relaxed);
    GUARD_END.store(guard.end, Ordering::Relaxed);
    let message = format!("\nthread '{name}' has overflowed its stack\n");
    MESSAGE.get_or_try_init(|| Ok::<_, io::Error>(message))?;
    use_own_signal_stack()?;
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_fault;
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        set_handler(signal, handler as libc::sighandler_t, flags)?;
    }
    Ok(())
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a valid description of the signal.
    let info = unsafe { &*info };
    // SAFETY: SIGSEGV and SIGBUS carry an address; for those sent by kill(2), whose code is not
    // positive, it is not used.
    let address = unsafe { info.si_addr() }.addr();
    let guard = GUARD_START.load(Ordering::Relaxed)..GUARD_END.load(Ordering::Relaxed);
    if info.si_code > 0 && guard.contains(&address) {
        report_overflow();
    }
    // The default action takes effect when the faulting instruction runs again.
    // SAFETY: sigaction through `set_handler` and raise are async-signal-safe (O1).
    let restored = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if restored == libc::SIG_ERR || info.si_code <= 0 {
        // One that was sent by kill(2) does not come again by itself.
        // SAFETY: raise is async-signal-safe.
        unsafe { libc::raise(signal) };
    }
}

fn report_overflow() -> ! {
    let message = MESSAGE.get().map_or("", String::as_str);
    // Standard error may be closed, and there is nobody to tell.
    let _written = rustix::io::write(stderr(), message.as_bytes());
    // SAFETY: abort is async-signal-safe.
    unsafe { libc::abort() }
}

/// Where the calling thread's stack ends.
///
/// C libraries disagree on whether the guard pages count as part of the stack, so that as much
/// above the lowest address is taken as below. A page of a nearly full stack is overflow enough.
fn guard_area() -> io::Result<Range<usize>> {
    let attributes = Attributes::of_this_thread()?;
    let (mut lowest, mut size, mut guard) = (ptr::null_mut(), 0, 0);
    let raw = &raw const attributes.0;
    // SAFETY: the attributes are initialised and the places to write to are valid.
    check(unsafe { libc::pthread_attr_getstack(raw, &raw mut lowest, &raw mut size) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_attr_getguardsize(raw, &raw mut guard) })?;
    let guard = guard.max(rustix::param::page_size());
    Ok(lowest.addr().saturating_sub(guard)..lowest.addr().saturating_add(guard))
}

struct Attributes(libc::pthread_attr_t);

impl Attributes {
    fn of_this_thread() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: pthread_self has no preconditions.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the call initialises the attributes if it succeeds.
        check(unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) })?;
        // SAFETY: initialised by the successful call.
        Ok(Self(unsafe { attributes.assume_init() }))
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `of_this_thread` and destroyed once.
        unsafe { libc::pthread_attr_destroy(&raw mut self.0) };
    }
}

/// Gives the calling thread a stack for signal handlers, with a guard page below, for the rest of
/// its life, which ends with the process.
fn use_own_signal_stack() -> io::Result<()> {
    let page = rustix::param::page_size();
    let usable = (rustix::param::linux_minsigstksz() + libc::SIGSTKSZ).next_multiple_of(page);
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE;
    // SAFETY: a fresh anonymous mapping at an address the kernel chooses.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), page + usable, prot, flags) }?;
    // SAFETY: the first page of the mapping made above, which nobody uses.
    unsafe { mprotect(start, page, MprotectFlags::empty()) }?;
    let stack =
        libc::stack_t { ss_sp: start.wrapping_byte_add(page), ss_flags: 0, ss_size: usable };
    // SAFETY: the stack is mapped, unused and never unmapped.
    match unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn check(errno: c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}
