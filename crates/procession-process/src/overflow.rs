//! Tells a stack overflow from other memory faults in the main thread of a child, which serves.
//!
//! std's own handler is installed before `main`, so that a child has none. This one does what a
//! Rust programmer expects: an overflow says so, with the name of the process, and aborts; any other
//! fault ends the process by the signal, as without a handler.
//!
//! The handler needs a stack of its own, since the thread's is used up. Threads that user code
//! starts in a child have none; their overflow is a plain SIGSEGV.
//!
//! # Safety
//!
//! O1. The handler touches atomics, a leaked string and async-signal-safe calls only.
//! O2. The main thread serves, so that there is one guard area, below the stack that the kernel has made. Where its size is not
//!     limited there is none.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::process::Resource;
use rustix::stdio::stderr;

use crate::standard::set_handler;
use procession_shm::fork::FirstWins;
use procession_shm::limit;

/// Bounds of the guard area. Relaxed: only the thread that stored them can fault there.
static GUARD_START: AtomicUsize = AtomicUsize::new(0);
static GUARD_END: AtomicUsize = AtomicUsize::new(0);
/// Whether the main thread has a stack of this module's for signal handlers. A fork copies it with all other memory. Relaxed: only the
/// main thread looks.
static HAS_STACK: AtomicBool = AtomicBool::new(false);
static MESSAGE: FirstWins<String> = FirstWins::new();

/// Prepares the calling thread, the main thread of the process of this name, and installs the handler.
pub(crate) fn watch(name: &str) -> io::Result<()> {
    let guard = guard_area();
    GUARD_START.store(guard.start, Ordering::Relaxed);
    GUARD_END.store(guard.end, Ordering::Relaxed);
    let message = format!("\nprocess '{name}' has overflowed its stack\n");
    MESSAGE.get_or_try_init(|| Ok::<_, io::Error>(message))?;
    if !HAS_STACK.load(Ordering::Relaxed) {
        use_own_signal_stack()?;
    }
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

/// What lies below the lowest address that the stack of the main thread may grow to; nothing if it may grow without end, or
/// nobody says how far.
///
/// The C library would tell where that is, but reads `/proc/self/maps` for it, which takes longer than all else that is done
/// here.
fn guard_area() -> Range<usize> {
    /// The kernel keeps so many pages below a stack free of other mappings.
    const GAP_PAGES: usize = 256;
    let page = rustix::param::page_size();
    let limit = limit::soft(Resource::Stack).and_then(|limit| usize::try_from(limit).ok());
    let (Some(limit), Some(top)) = (limit, stack_top(page)) else { return 0..0 };
    let lowest = top.saturating_sub(limit / page * page);
    lowest.saturating_sub(GAP_PAGES * page)..lowest
}

/// Where the stack of the main thread begins, from which the kernel counts its size: right above the path of the program, which
/// is the first that it puts there, and a null pointer.
fn stack_top(page: usize) -> Option<usize> {
    // SAFETY: getauxval has no preconditions.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let path: *const c_char = ptr::with_exposed_provenance(usize::try_from(path).ok()?);
    if path.is_null() {
        return None;
    }
    // SAFETY: the kernel has put a C string there, and nothing writes to it.
    let len = unsafe { CStr::from_ptr(path) }.count_bytes();
    let end = path.addr() + len + 1 + size_of::<usize>();
    end.checked_next_multiple_of(page)
}

/// Gives the calling thread, the main thread, a stack for signal handlers, with a guard page below, for the rest of
/// its life, which ends with the process. A zygote does it once for all that it forks.
pub(crate) fn use_own_signal_stack() -> io::Result<()> {
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
        0 => {
            HAS_STACK.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_begins_where_the_kernel_says() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let (_, end) = stack.split(' ').next().unwrap().split_once('-').unwrap();
        let top = stack_top(rustix::param::page_size());
        assert_eq!(top, usize::from_str_radix(end, 16).ok());
    }
}
