//! Panics of tasks: caught, and remembered for the parent instead of printed.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

/// Message, location and backtrace of a panic, as a worker sends it.
pub(crate) type Told = (String, String, String);

thread_local! {
    /// Whether this thread is running a task, whose panics are delivered and so need not be printed.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Told>> = const { RefCell::new(None) };
}

/// From now on panics in tasks are remembered. All others go to the hook that was there before.
pub(crate) fn capture() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IN_TASK.get() {
            LAST.set(Some(told(info)));
        } else {
            before(info);
        }
    }));
}

/// Runs a task. If it panics, says what was panicked.
pub(crate) fn catch<T>(task: impl FnOnce() -> T) -> Result<T, Told> {
    IN_TASK.set(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(task));
    IN_TASK.set(false);
    caught.map_err(|payload| {
        let captured = LAST.take();
        captured.unwrap_or_else(|| (message(&*payload), String::new(), String::new()))
    })
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
