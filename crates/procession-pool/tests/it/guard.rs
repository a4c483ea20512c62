//! Keeps a test that hangs from hanging for ever. Nothing here takes as long as the guard; it is no measurement.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(super::long::times(150, 3 * 3600))
}

/// Runs `test` on a thread of its own and fails if it does not end.
pub(crate) fn guarded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = test();
        // Nobody listens any more if the guard was faster.
        let _ = done.send(());
        result
    });
    assert_ne!(finished.recv_timeout(patience()), Err(RecvTimeoutError::Timeout), "this hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits for something that must come, and fails if it does not.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience(), "never came: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
