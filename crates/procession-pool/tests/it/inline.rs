//! Tasks on a thread of this process, for a debugger: the same program says the same.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use procession_channel::pipe;
use procession_pool::{Pool, PoolBuilder, TaskError};
use procession_process::{Failure, StartMethod};
use procession_shm::{Shared, SharedBuf, SharedSlice};
use serde::{Deserialize, Serialize, Serializer};

use super::guard::{eventually, guarded};
use super::program::{Role, command, finish, say};

pub(crate) const ROLES: &[Role] = &[("tour", tour)];

fn inline() -> PoolBuilder {
    Pool::builder().workers(3).start_method(StartMethod::Inline)
}

#[test]
fn the_same_program_says_the_same_in_one_process_and_in_several() {
    // The program shares a lock with its workers.
    needs_pidfds!();
    guarded(|| {
        let said = |method: &str| {
            let mut tour = command("tour");
            let finished = finish(tour.env("PROCESSION_START_METHOD", method)).succeed();
            let said = finished.out.lines().filter(|line| line.starts_with("tour: "));
            (finished.answer("processes: ").to_owned(), said.map(str::to_owned).collect::<Vec<_>>())
        };
        let (processes, spawned) = said("spawn");
        let (one, inline) = said("inline");
        assert_eq!((&*processes, &*one), ("false", "true"));
        assert!(spawned.len() > 20, "{spawned:?}");
        assert_eq!(spawned, inline);
    });
}

static MODEL: OnceLock<u64> = OnceLock::new();
static TRIES: AtomicU32 = AtomicU32::new(0);

/// A value that cannot be encoded, or not be decoded.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Stubborn(u32);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 1 {
            return Err(serde::ser::Error::custom("it will not go"));
        }
        self.0.serialize(serializer)
    }
}

impl TryFrom<u32> for Stubborn {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number == 2 { Err("it will not come".to_owned()) } else { Ok(Self(number)) }
    }
}

fn show(what: &str, value: impl std::fmt::Debug) {
    // Which process it was is not the same.
    let pid = std::process::id().to_string();
    say(&format!("tour: {what}: {}", format!("{value:?}").replace(&pid, "PID")));
}

fn texts<T: std::fmt::Debug>(outcomes: impl Iterator<Item = Result<T, TaskError>>) -> Vec<String> {
    outcomes
        .map(|outcome| outcome.map_or_else(|error| error.to_string(), |value| format!("{value:?}")))
        .collect()
}

fn fussy(n: u32) -> Result<u32, Failure> {
    match n {
        3 => Err(Failure::msg("three is too much")),
        4 => panic!("four is far too much"),
        n => Ok(n * 10),
    }
}

fn tour() {
    let initializer = |model| MODEL.set(model).unwrap();
    let pool = Pool::builder().workers(1).initializer_with(initializer, 7_u64);
    let pool = pool.exit_hook(|| *MODEL.get().unwrap()).build().unwrap();
    let is_here = pool.apply(|_: ()| std::process::id(), ()).unwrap() == std::process::id();
    say(&format!("processes: {is_here}"));
    values(&pool);
    errors(&pool);
    handles(&pool);
    let nested = |n: u64| Pool::with_workers(2).unwrap().map(|n: u64| n + 1, 0..n).unwrap();
    show("nested", pool.apply(nested, 4).unwrap());
    pool.join();
    show("hooks", texts(pool.exit_values::<u64>().into_iter()));
    show("closed", pool.apply(fussy, 1));
}

fn values(pool: &Pool) {
    show("map", pool.map(|n: u64| n * MODEL.get().unwrap(), 0..10).unwrap());
    show("starmap", pool.starmap(|a: u32, b: u32| a.pow(b), [(2, 3), (3, 2)]).unwrap());
    show("context", pool.map_with(&vec![5, 6], |c: &Vec<u64>, n: u64| c[0] * n, 0..5).unwrap());
    let mut unordered = texts(pool.imap_unordered(fussy, 5..20));
    unordered.sort_unstable();
    show("unordered", unordered);
    let long = pool.apply(|bytes: Vec<u8>| bytes.repeat(3), vec![1; 2 << 20]).unwrap();
    show("long", (long.len(), long.iter().all(|byte| *byte == 1)));
    let tasks: Vec<_> = (0..5).map(|n| pool.submit(fussy, n).unwrap()).collect();
    show("tasks", texts(tasks.into_iter().map(|task| task.get())));
    show("async", pool.map_async(|n: u32| n, 0..5_u32).unwrap().get().unwrap());
    show("chunks", texts(pool.job().chunk(4).imap(fussy, 0..20)));
}

fn errors(pool: &Pool) {
    show("errors", texts(pool.imap(fussy, 0..8)));
    show("map fails", pool.map(fussy, 0..8).unwrap_err().to_string());
    show("arguments", texts(pool.imap(|it: Stubborn| it.0, [0, 1, 2].map(Stubborn))));
    show("results", texts(pool.imap(|n: u32| Stubborn(n), 0..3)));
    let flaky = |n: u32| {
        let tries = TRIES.fetch_add(1, Ordering::SeqCst);
        assert!(tries >= n, "not yet: {tries}");
        tries
    };
    show("retries", pool.job().retries(5).apply(flaky, 3).unwrap());
    TRIES.store(0, Ordering::SeqCst);
    let error = pool.job().retries(1).apply(|_: u32| -> u32 { panic!("never") }, 0).unwrap_err();
    show("in vain", (error.to_string(), error.attempts().len()));
}

fn handles(pool: &Pool) {
    let (sender, receiver) = pipe::simplex::<u32>().unwrap();
    let send = |sender: pipe::Sender<u32>| (0..3).for_each(|n| sender.send(n).unwrap());
    pool.apply(send, sender).unwrap();
    show("pipe", receiver.into_iter().map(Result::unwrap).collect::<Vec<_>>());
    let matrix = SharedSlice::from_slice(&[1_u64, 2, 3]).unwrap();
    let row = |matrix: &SharedSlice<u64>, n: usize| matrix[n];
    show("slice", pool.map_with(&matrix, row, 0..3).unwrap());
    let fill = |n: u8| {
        let mut buffer = SharedBuf::<u8>::zeroed(5).unwrap();
        buffer.as_mut_slice().fill(n);
        buffer
    };
    show("buffer", pool.apply(fill, 3).unwrap().as_mut_slice());
    let counter = Shared::new(procession_sync::Mutex::new(0_u64)).unwrap();
    let count = |counter: Shared<procession_sync::Mutex<u64>>| *counter.lock().unwrap() += 1;
    pool.map(count, vec![&counter; 10]).unwrap();
    show("lock", *counter.lock().unwrap());
    let make = |n: u64| Shared::new(procession_sync::Mutex::new(n)).unwrap();
    show("untrusted", pool.apply(make, 1).map(drop).unwrap_err().to_string());
}

#[test]
fn all_is_in_this_process_and_in_order() {
    guarded(|| {
        static ORDER: AtomicU32 = AtomicU32::new(0);
        let pool = inline().build().unwrap();
        assert_eq!(pool.workers(), 1);
        eventually("it is there", || pool.worker_pids() == [std::process::id()]);
        let turn = |n: u32| (n, ORDER.fetch_add(1, Ordering::SeqCst));
        for (n, turn) in pool.imap(turn, 0..500).map(Result::unwrap) {
            assert_eq!(n, turn);
        }
        assert_eq!(ORDER.load(Ordering::SeqCst), 500);
    });
}

/// What needs a process to be killed is left out, and nothing waits for ever because of it.
#[test]
fn an_item_that_has_begun_is_not_stopped() {
    guarded(|| {
        static GO: AtomicU32 = AtomicU32::new(0);
        let wait = |until: u32| {
            while GO.load(Ordering::SeqCst) < until {
                sleep(Duration::from_millis(1));
            }
            until
        };
        let pool = inline().task_timeout(Duration::from_millis(1)).build().unwrap();
        let running = pool.submit(wait, 1).unwrap();
        eventually("it has begun", || running.is_running());
        let waiting = pool.submit(wait, 0).unwrap();
        sleep(Duration::from_millis(20));
        assert!(!running.cancel());
        assert!(waiting.cancel());
        assert!(matches!(waiting.get(), Err(TaskError::Cancelled { .. })));
        GO.store(1, Ordering::SeqCst);
        assert_eq!(running.get().unwrap(), 1);

        let running = pool.submit(wait, 2).unwrap();
        eventually("it has begun", || running.is_running());
        let go = std::thread::spawn(|| {
            sleep(Duration::from_millis(50));
            GO.store(2, Ordering::SeqCst);
        });
        pool.terminate();
        assert!(matches!(running.get(), Err(TaskError::Cancelled { .. })));
        go.join().unwrap();
        assert!(matches!(pool.apply(wait, 0), Err(TaskError::Closed)));
    });
}
