//! A parent to whom every load from memory that it shares with a process it does not trust may be a lie.
//!
//! `cargo xtask hostile` runs this; no other build tells lies. `PROCESSION_SEED` says where the seeds begin, and what fails
//! prints its own.

#![cfg(procession_hostile)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backstage::allocator::{Counting, measure};
use procession_inputs::lies::run_by_chance;
use procession_pool::{Pool, TaskError};
use procession_shm::sync::lies::{self, to_this_process};
use rustix::process::{Pid, Signal, kill_process};

/// The most that a program may hold, in bytes: what the limits of its pipe let a message of 16 KiB become.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Where the seeds begin.
fn first_seed() -> u64 {
    let given = std::env::var("PROCESSION_SEED").ok();
    given.map_or(1, |seed| seed.parse().expect("PROCESSION_SEED is a number")) << 32
}

fn tell(figures: &str) {
    std::io::stderr().write_all(format!("{figures}\n").as_bytes()).unwrap();
}

/// Says which seed it was if `work` does not come to its end.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&format!("this was seed {}", self.0));
        }
    }
}

/// Runs `work` for each seed on a thread of its own, and fails if one of them hangs.
fn each(seeds: std::ops::Range<u64>, work: impl Fn(u64) + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        for seed in seeds {
            // Nobody listens any more if the guard was faster.
            let _ = tell.send(seed);
            let _named = Named(seed);
            work(seed);
        }
    });
    let mut seed = 0;
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(next) => seed = next,
            Err(RecvTimeoutError::Timeout) => panic!("seed {seed} hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn pipes_and_links_survive_every_lie() {
    let programs = 4_000;
    let (first, before) = (first_seed(), lies::told());
    let (report, peaks) = mpsc::channel();
    each(first..first + programs, move |seed| {
        let ((), held, _calls) = measure(|| run_by_chance(seed));
        assert!(held <= HELD_BYTES_MAX, "{held} bytes were held at once");
        report.send(held).unwrap();
    });
    let (most, told) = (peaks.iter().max().unwrap(), lies::told() - before);
    tell(&format!(
        "lies: {programs} programs from seed {first} on, {told} lies, {most} bytes at most"
    ));
    assert!(told > programs, "{told} lies");
}

const ITEMS: u32 = 60;

type Item = (String, u32, String);

/// Who has run which item: a file to which every execution appends, removed when dropped.
struct Ledger(PathBuf);

impl Ledger {
    fn new(seed: u64) -> Self {
        let name = format!("procession-lies-{}-{seed}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, []).unwrap();
        Self(path)
    }

    /// Whether an item was run, and never by that process.
    fn is_clear(&self, number: u32, of: u32) -> bool {
        let bytes = fs::read(&self.0).unwrap();
        let runs = bytes.chunks_exact(8).filter(|run| run[..4] == number.to_le_bytes());
        let pids: Vec<&[u8]> = runs.map(|run| &run[4..]).collect();
        !pids.is_empty() && pids.iter().all(|pid| **pid != of.to_le_bytes())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn work((ledger, number, text): Item) -> (u32, String) {
    let run = [number.to_le_bytes(), std::process::id().to_le_bytes()].concat();
    OpenOptions::new().append(true).open(ledger).unwrap().write_all(&run).unwrap();
    (number * 3, text)
}

fn text(number: u32) -> String {
    "text".repeat(number as usize % 40)
}

/// Whether it is the right result. One that is not must still be a value of its type or an error of its item.
fn is_right(number: u32, outcome: &Result<(u32, String), TaskError>) -> bool {
    if let Err(error) = outcome
        && let Some(item) = error.item()
    {
        assert_eq!(item, number as usize, "{error:?}");
    }
    outcome.as_ref().is_ok_and(|result| *result == (number * 3, text(number)))
}

fn assert_sound(pool: &Pool) {
    let expected: Vec<u32> = (0..200).map(|number| number * 3).collect();
    assert_eq!(pool.map(|number: u32| number * 3, 0..200).unwrap(), expected);
    while pool.worker_pids().len() < pool.workers() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills a worker, if it is still there.
fn replace(pool: &Pool, pid: u32) {
    if pool.worker_pids().contains(&pid) {
        let process = Pid::from_raw(pid.cast_signed()).unwrap();
        // It may just have been killed by the pool.
        let _gone = kill_process(process, Signal::KILL);
    }
    while pool.worker_pids().contains(&pid) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// About whom the parent of two honest workers is lied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// One of the two, once it is there.
    One,
    /// Both from the start, and all that come in their place.
    All,
}

/// Uses a pool whose parent is lied to; how many results were right.
fn use_pool(seed: u64, about: About) -> usize {
    let first = lies::rings_mapped();
    let mut lies = (about == About::All).then(|| to_this_process(seed, first..usize::MAX));
    let pool = Pool::with_workers(2).unwrap();
    let mut doubted = None;
    if about == About::One {
        assert_sound(&pool);
        doubted = Some(pool.worker_pids()[0]);
        lies = Some(to_this_process(seed, first..first + RINGS_OF_A_WORKER));
    }
    let ledger = Ledger::new(seed);
    let path = ledger.0.to_str().unwrap();
    let items = (0..ITEMS).map(|number| (path.to_owned(), number, text(number)));
    // Honest workers of a busy machine are in time where their items must be right.
    let timeout_ms = if about == About::One { 400 } else { 40 };
    let job = pool.job().timeout(Duration::from_millis(timeout_ms)).chunk(1 + (seed % 7) as usize);
    let outcomes: Vec<_> = job.imap(work, items).collect();
    // One after the other of its workers being found out, a pool may have had enough.
    let is_broken = matches!(outcomes.last(), Some(Err(TaskError::Broken(_))));
    assert!(outcomes.len() == ITEMS as usize || is_broken && about == About::All);
    let mut right = 0;
    for (number, outcome) in (0..).zip(&outcomes) {
        let is_right = is_right(number, outcome);
        let must_be_right = doubted.is_some_and(|pid| ledger.is_clear(number, pid));
        assert!(is_right || !must_be_right, "item {number}: {outcome:?}");
        right += usize::from(is_right);
    }
    drop(lies);
    // The parent may have given them what cannot be, and not know it; such a worker may never answer.
    let doubted = doubted.map_or_else(|| pool.worker_pids(), |pid| vec![pid]);
    doubted.into_iter().for_each(|pid| replace(&pool, pid));
    if is_broken {
        assert!(matches!(pool.apply(|n: u32| n, 1), Err(TaskError::Broken(_))));
    } else {
        assert_sound(&pool);
    }
    right
}

static TURN: Mutex<()> = Mutex::new(());

const RINGS_OF_A_WORKER: usize = 2;

fn use_pools(about: About, pools: u64) {
    let (first, before) = (first_seed(), lies::told());
    let (report, rights) = mpsc::channel();
    // All threads are lied to, those of another test among them.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    each(first..first + pools, move |seed| report.send(use_pool(seed, about)).unwrap());
    let (right, told) = (rights.iter().sum::<usize>(), lies::told() - before);
    let results = pools * u64::from(ITEMS);
    tell(&format!(
        "lies about {about:?}: {pools} pools from seed {first} on, {told} lies, {right} of {results} results right all the same"
    ));
    assert!(told > pools, "{told} lies");
}

/// What only others have run is right. What the parent cannot believe costs the one worker, and the pool is whole in the end.
#[test]
fn a_pool_survives_every_lie_about_a_worker() {
    use_pools(About::One, 10);
}

/// Also about those that come in their place.
#[test]
fn a_pool_survives_every_lie_about_all_workers() {
    use_pools(About::All, 4);
}
