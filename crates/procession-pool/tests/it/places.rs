//! The crash matrix outside of items: in the initializer, between items, and while the worker has nothing to do.
//!
//! What can happen, times where; each cell then does 1,000 more tasks right. The cells of the whole matrix:
//!
//! | where | panic | Err | exit, abort, SIGSEGV, stack overflow, SIGKILL, out of memory | stopped past the deadline |
//! |---|---|---|---|---|
//! | encoding the argument, decoding the result | `bad_input` | `bad_input` | none: that is the caller's own process | none, likewise |
//! | decoding the argument, in the function, encoding the result | `crashes` | `crashes` | `crashes` | `crashes` |
//! | in the initializer | here | here | here | none: an initializer has no deadline |
//! | between items, idle | here (a thread's: it costs nothing) | none: nobody gets it | here | here |

use std::time::Duration;

use procession_pool::{Job, Pool};
use procession_process::Failure;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::runs;
use super::trap::{How, STOP_TIMEOUT, assert_sound};

const ENDS: [How; 8] = [
    How::Exit(0),
    How::Exit(3),
    How::Abort,
    How::Segfault,
    How::StackOverflow,
    How::Kill,
    How::OutOfMemory,
    How::Stop,
];

const ITEMS: u64 = 150;

fn nap(n: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(100));
    n
}

/// Has all items done in its way, with as many tries as it takes; gives the results in order.
type Verb = fn(Job<'_>) -> Vec<u64>;

const VERBS: [Verb; 4] = [
    |job| job.map(nap, 0..ITEMS).unwrap(),
    |job| job.imap(nap, 0..ITEMS).map(Result::unwrap).collect(),
    |job| {
        let mut unordered: Vec<u64> =
            job.imap_unordered(nap, 0..ITEMS).map(Result::unwrap).collect();
        unordered.sort_unstable();
        unordered
    },
    |job| {
        let tasks: Vec<_> = (0..ITEMS).map(|n| job.submit(nap, n).unwrap()).collect();
        tasks.into_iter().map(|task| task.get().unwrap()).collect()
    },
];

fn check(pool: &Pool, verb: Verb) {
    let job = pool.job().retries(5).timeout(STOP_TIMEOUT);
    assert_eq!(verb(job), (0..ITEMS).collect::<Vec<_>>());
}

/// What happens, times what the pool is asked to do meanwhile or next.
fn cells(hows: impl IntoIterator<Item = How>, mut cell: impl FnMut(How, Verb)) {
    for how in hows {
        VERBS.into_iter().for_each(|verb| cell(how, verb));
    }
}

/// Lets it happen on a thread that outlives the item; the worker.
fn later((how, millis): (How, u64)) -> u32 {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        how.happen().unwrap();
    });
    std::process::id()
}

#[test]
fn what_happens_in_the_initializer_costs_another_start() {
    guarded(|| {
        let once = |(ledger, how): (String, How)| -> Result<(), Failure> {
            let before = std::fs::metadata(&ledger)?.len();
            record(&ledger, 0);
            if before == 0 { how.happen().map_err(Failure::msg) } else { Ok(()) }
        };
        let all = ENDS.into_iter().chain([How::Panic, How::Fail]).filter(|how| *how != How::Stop);
        cells(all, |how, verb| {
            let ledger = Ledger::new();
            let builder = Pool::builder().workers(1).initializer_with(once, (ledger.path(), how));
            let pool = builder.build().unwrap();
            check(&pool, verb);
            assert_sound(&pool);
            assert_eq!(ledger.count(0), 2, "{how:?}");
        });
    });
}

#[test]
fn what_happens_between_items_costs_nothing_that_is_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        cells(ENDS.into_iter().chain([How::Panic]), |how, verb| {
            // On a busy machine it may happen before its own result is sent.
            drop(pool.apply(later, (how, 5)));
            check(&pool, verb);
            assert_sound_or_stopped(&pool, how);
        });
    });
}

#[test]
fn what_happens_to_an_idle_worker_costs_nothing() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        cells(ENDS, |how, verb| {
            let Ok(pid) = pool.apply(later, (how, 30)) else { return };
            eventually("it happened", || !runs(pid) || is_stopped(pid));
            check(&pool, verb);
            assert_sound_or_stopped(&pool, how);
        });
    });
}

/// A worker that stopped itself and was given nothing since is still there, and is found out by its next item.
fn assert_sound_or_stopped(pool: &Pool, how: How) {
    if how == How::Stop {
        let job = pool.job().retries(5).timeout(STOP_TIMEOUT);
        eventually("nobody is stopped", || {
            job.map(nap, 0..ITEMS).unwrap();
            !pool.worker_pids().into_iter().any(is_stopped)
        });
    }
    assert_sound(pool);
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
}
