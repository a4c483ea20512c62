//! Keeps a test that hangs from hanging for ever. Nothing here takes as long as the guard; it is no measurement.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const GUARD: Duration = Duration::from_secs(150);

/// Runs `test` on a thread of its own and fails if it does not end.
pub(crate) fn guarded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = test();
        // Nobody listens any more if the guard was faster.
        let _ = done.send(());
        result
    });
    assert_ne!(finished.recv_timeout(GUARD), Err(RecvTimeoutError::Timeout), "this hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits for something that must come, and fails if it does not.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < GUARD, "never came: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
