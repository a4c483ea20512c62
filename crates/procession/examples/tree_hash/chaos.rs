//! Kills workers while they work.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use procession::Pool;
use rustix::process::{Pid, Signal, kill_process};

const PERIOD: Duration = Duration::from_millis(100);

/// How soon to look again when there was no worker to kill.
const SOON: Duration = Duration::from_millis(1);

/// Does `work` while another thread kills a random worker of the pool every 100 ms, and counts that in `kills`.
pub(crate) fn during<T>(pool: &Pool, kills: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || kill_until(&stopped, pool, kills));
        let result = work();
        drop(stop);
        result
    })
}

/// Nothing is ever sent: the channel closes when the work is done, or panics.
fn kill_until(stopped: &Receiver<()>, pool: &Pool, kills: &AtomicU64) {
    let mut pause = SOON;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = if kill_one(pool) { PERIOD } else { SOON };
        kills.fetch_add(u64::from(pause == PERIOD), Ordering::Relaxed);
    }
}

/// By its id, which is good enough for an example: a worker that ends by itself in this very moment, and whose id is given to
/// another process at once, would be mistaken for it. The pool itself uses process descriptors, which cannot be mistaken.
fn kill_one(pool: &Pool) -> bool {
    let pids = pool.worker_pids();
    let pid =
        pids.get(random_below(pids.len())).and_then(|&pid| Pid::from_raw(pid.try_into().ok()?));
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// The standard library seeds its hash maps at random; that is random enough to pick a victim.
fn random_below(end: usize) -> usize {
    let random = RandomState::new().hash_one(());
    usize::try_from(random % (end.max(1) as u64)).unwrap_or_default()
}
