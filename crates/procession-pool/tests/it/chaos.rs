//! Long calls while something goes wrong all the time: workers are killed and stopped, descriptors run out, the disk is full, clocks
//! differ, nobody gets the processor. What goes wrong, and when, is decided by the seed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::{Job, Pool, PoolBuilder};
use rustix::process::{Pid, Signal, kill_process};

use super::guard::eventually;
use super::ledger::{Ledger, record};
use super::long::times;
use super::program::{Role, say};
use super::resources::{assert_back_to, holdings};
use super::scribbler::{Random, seed};
use super::trap::assert_sound;

mod clocks;
mod descriptors;
mod disk;
mod starvation;

pub(crate) const ROLES: &[Role] = &[
    ("chaos", chaos),
    ("chaos of clocks", clocks::role),
    ("chaos of descriptors", descriptors::role),
    ("chaos on a full disk", disk::full),
    ("chaos with little to write", disk::little),
    ("chaos without a processor", starvation::role),
];

/// How many items each call has.
pub(crate) fn items() -> u32 {
    times(100_000, 1_000_000)
}

/// How long an item takes, in steps, so that there is time for many deaths.
const STEPS: u32 = if cfg!(debug_assertions) { 1000 } else { 60_000 };

fn work(n: u32) -> u32 {
    (0..STEPS).fold(n, |n, _| std::hint::black_box(n)) + 1
}

/// A number below `end`, by chance.
fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.next() % end.max(1) as u64).unwrap()
}

/// So many milliseconds, by chance.
fn pause(random: &mut Random, millis: std::ops::Range<usize>) {
    let millis = millis.start + below(random, millis.len());
    sleep(Duration::from_millis(millis as u64));
}

/// A pool of three, and which of its workers have been ready.
///
/// A pool gives up when several workers in a row die before they are ready, and where starting one takes long, that is what killing
/// at random comes to.
struct Arena {
    pool: Pool,
    ready: Ledger,
}

impl Arena {
    fn new(builder: PoolBuilder) -> Self {
        let ready = Ledger::new();
        let note = |ledger: String| record(&ledger, std::process::id());
        let pool = builder.workers(3).initializer_with(note, ready.path()).build().unwrap();
        Self { pool, ready }
    }

    /// One of the workers that are ready, of which so many others are to be left.
    fn choose(&self, random: &mut Random, left: usize) -> Option<Pid> {
        let known: BTreeSet<u32> = self.ready.entries().into_iter().collect();
        let mut ready = self.pool.worker_pids();
        ready.retain(|pid| known.contains(pid));
        let pid = ready.get(below(random, ready.len())).filter(|_| ready.len() > left)?;
        Pid::from_raw(pid.cast_signed())
    }

    /// Whether one was there to be killed.
    fn kill_one(&self, random: &mut Random) -> bool {
        self.choose(random, 0).is_some_and(|pid| is_sent(pid, Signal::KILL))
    }
}

/// It may have gone by itself.
fn is_sent(pid: Pid, signal: Signal) -> bool {
    kill_process(pid, signal).is_ok()
}

/// Kills a worker every 20 ms, and stops another for a moment.
fn kill_and_stop(arena: &Arena, over: &AtomicBool, kills: &AtomicU32) {
    let mut random = Random(seed());
    while !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(15));
        let stopped = arena.choose(&mut random, 0).filter(|&pid| is_sent(pid, Signal::STOP));
        kills.fetch_add(arena.kill_one(&mut random).into(), Ordering::SeqCst);
        sleep(Duration::from_millis(5));
        // If it was killed meanwhile, there is nothing to continue.
        stopped.map(|pid| is_sent(pid, Signal::CONT));
    }
}

/// Does both at once. `rage` ends soon after its flag is set, which it is when the calls are over, or have failed.
fn during(rage: impl FnOnce(&AtomicBool) + Send, calls: impl FnOnce()) {
    struct SetAtLast<'a>(&'a AtomicBool);
    impl Drop for SetAtLast<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| rage(&over));
        let _over = SetAtLast(&over);
        calls();
    });
}

/// Calls in all ways in which results come: each item has one outcome, and that is its result.
fn call_in_all_ways(job: &Job<'_>, items: u32) {
    for (n, result) in (0..).zip(job.imap(work, 0..items)) {
        assert_eq!(result.unwrap(), n + 1);
    }
    let mut seen = vec![0_u8; items as usize + 1];
    for result in job.imap_unordered(work, 0..items) {
        seen[result.unwrap() as usize] += 1;
    }
    assert!(seen[0] == 0 && seen[1..].iter().all(|&count| count == 1));
    let tasks: Vec<_> = (0..items / 50).map(|n| job.submit(work, n).unwrap()).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.get().unwrap(), n + 1);
    }
}

/// What is held once the pool has been used in all ways, each of which may make something that stays: a thread, for what nobody waits
/// for.
fn settled(pool: &Pool) -> (usize, usize, usize) {
    assert_sound(pool);
    drop(pool.submit(work, 1).unwrap());
    holdings()
}

/// All workers are there, they do what they should, and nothing more is held than before.
fn assert_over(pool: &Pool, before: (usize, usize, usize)) {
    assert_sound(pool);
    eventually("all workers are there", || pool.worker_pids().len() == pool.workers());
    assert_back_to(before);
}

fn chaos() {
    let arena = Arena::new(Pool::builder());
    let before = settled(&arena.pool);
    let kills = AtomicU32::new(0);
    let calls = || call_in_all_ways(&arena.pool.job().retries(1000), items());
    during(|over| kill_and_stop(&arena, over, &kills), calls);
    say(&format!("kills {}", kills.load(Ordering::SeqCst)));
    assert_over(&arena.pool, before);
}
