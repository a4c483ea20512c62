//! Panics of functions that run for another process: caught, and remembered for the caller.
//!
//! Some cannot be caught: all in a program built with `panic = "abort"`, those in a function that C calls, those in a destructor
//! while another one unwinds, and what the compiler has checked about unsafe code. They end the process by an abort, and what
//! was remembered is lost with it. So it is printed by then, by a handler of SIGABRT: the panic hook is not told which of the
//! two it will be.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::thread::LocalKey;

use crate::standard::{has_default_action, set_handler};

/// Message, location and backtrace of a panic, as it travels.
///
/// ```
/// use procession_process::panics::{Told, catch};
///
/// let (message, _location, _backtrace): Told = catch(|| panic!("no")).unwrap_err();
/// assert_eq!(message, "no");
/// ```
pub type Told = (String, String, String);

/// What becomes of a remembered panic on standard error.
///
/// ```
/// use procession_process::panics::{Printing, capture, catch};
///
/// capture(Printing::Suppressed);                        // nothing on standard error
/// assert_eq!(catch(|| panic!("no")).unwrap_err().0, "no");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printing {
    /// The panic hook that was there before runs too, as for a thread.
    AsUsual,
    /// Nothing is printed, unless it ends the process: the caller gets to know.
    Suppressed,
}

thread_local! {
    /// Whether this thread is running such a function.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread is the one that [`name_process`] was called on.
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Told>> = const { RefCell::new(None) };
    /// The one before it. Who cannot unwind panics a second time, to say so.
    static EARLIER: RefCell<Option<Told>> = const { RefCell::new(None) };
    /// Whether there may be something in `LAST`, which has a destructor and is dearer to look at.
    static HAS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// From now on panics in calls made by [`catch`] are remembered. All others go to the hook that was there before.
///
/// ```
/// use procession_process::panics::{Printing, capture, catch};
///
/// capture(Printing::Suppressed);
/// let (message, location, _) = catch(|| panic!("no")).unwrap_err();
/// assert_eq!(message, "no");
/// assert!(location.contains(".rs:"), "{location}");
/// ```
pub fn capture(printing: Printing) {
    if printing == Printing::Suppressed {
        print_at_abort();
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IN_CALL.get() {
            EARLIER.set(LAST.replace(Some(told(info))));
            HAS_TOLD.set(true);
        }
        if !IN_CALL.get() || printing == Printing::AsUsual {
            before(info);
        }
    }));
}

/// Whoever has a handler of SIGABRT keeps it. Where there can be none, what was remembered is lost, and nothing else.
fn print_at_abort() {
    let handler: extern "C" fn(c_int) = print_what_was_remembered;
    if has_default_action(libc::SIGABRT) {
        let flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
        let _set = set_handler(libc::SIGABRT, handler as libc::sighandler_t, flags);
    }
}

/// The handler of SIGABRT, which runs on the thread that aborts. It looks at memory of that thread that nobody changes meanwhile,
/// and writes. The signal may also come from elsewhere, by `kill` or `raise`, after which nobody would end the process.
extern "C" fn print_what_was_remembered(signal: c_int) {
    if HAS_TOLD.get() {
        [&EARLIER, &LAST].into_iter().for_each(print);
    }
    // SAFETY: it may be called in a handler. The action is the default one by now, and is taken when this returns.
    unsafe { libc::raise(signal) };
}

fn print(told: &'static LocalKey<RefCell<Option<Told>>>) {
    // A thread that has ended but for its destructors remembers nothing.
    let _print = told.try_with(|told| {
        let Ok(told) = told.try_borrow() else { return };
        let Some((message, location, _)) = &*told else { return };
        for part in ["a worker panicked at ", location, ": ", message, "\n"] {
            // Standard error may be closed, and there is nobody to tell.
            let _written = rustix::io::write(rustix::stdio::stderr(), part.as_bytes());
        }
    });
}

/// From now on a panic of this thread, the main thread of a process whose `main` does not run, is printed behind the name of the
/// process: std knows no name for the thread.
pub(crate) fn name_process(name: &str) {
    IS_MAIN.set(true);
    let prefix = format!("\nprocess '{name}': ");
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IS_MAIN.get() {
            // Standard error may be closed, and there is nobody to tell.
            let _written = rustix::io::write(rustix::stdio::stderr(), prefix.as_bytes());
        }
        before(info);
    }));
}

/// Runs a function.
///
/// # Errors
///
/// If it panics, what was panicked. Location and backtrace are empty unless [`capture`] was called before.
///
/// ```
/// use procession_process::panics::catch;
///
/// assert_eq!(catch(|| 7), Ok(7));
/// assert_eq!(catch(|| panic!("no")).unwrap_err().0, "no");
/// ```
pub fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Told> {
    IN_CALL.set(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(call));
    IN_CALL.set(false);
    if caught.is_ok() && HAS_TOLD.get() {
        forget();
    }
    caught.map_err(|payload| {
        let captured = LAST.take();
        forget();
        let told = captured.unwrap_or_else(|| (message(&*payload), String::new(), String::new()));
        discard(payload);
        told
    })
}

/// Drops what a panic has left, which may be anything and may panic in turn. What that leaves is not dropped: it may go on so.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _kept = ManuallyDrop::new(another);
    }
}

/// Runs something that catches panics itself and tells of them, as decoding does: they are printed or not as those of the
/// function would be.
///
/// ```
/// use procession_process::panics::{Printing, capture, quietly};
///
/// capture(Printing::Suppressed);
/// let caught = quietly(|| std::panic::catch_unwind(|| panic!("it is told of by whoever catches it")));
/// assert!(caught.is_err());
/// ```
pub fn quietly<T>(call: impl FnOnce() -> T) -> T {
    IN_CALL.set(true);
    let done = call();
    IN_CALL.set(false);
    if HAS_TOLD.get() {
        forget();
    }
    done
}

#[cold]
fn forget() {
    LAST.set(None);
    EARLIER.set(None);
    HAS_TOLD.set(false);
}

fn told(info: &PanicHookInfo<'_>) -> Told {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let has_backtrace = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = if has_backtrace { backtrace.to_string() } else { String::new() };
    (message(info.payload()), location, backtrace)
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
