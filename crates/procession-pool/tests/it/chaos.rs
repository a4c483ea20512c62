//! Long calls while workers are killed, and stopped and continued, all the time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use procession_pool::Pool;
use rustix::process::{Pid, Signal, kill_process};

use super::guard::eventually;
use super::long::times;
use super::program::{Role, say};
use super::resources::{assert_back_to, holdings};
use super::scribbler::{Random, seed};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] = &[("chaos", chaos)];

/// How many items each call has.
pub(crate) fn items() -> u32 {
    times(100_000, 1_000_000)
}

/// How long an item takes, in steps, so that there is time for many deaths.
const STEPS: u32 = if cfg!(debug_assertions) { 1000 } else { 60_000 };

fn work(n: u32) -> u32 {
    (0..STEPS).fold(n, |n, _| std::hint::black_box(n)) + 1
}

/// Kills a worker every 20 ms, and stops another for a moment.
fn rage(pool: &Pool, over: &AtomicBool, kills: &AtomicU32) {
    let mut random = Random(seed());
    while !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(15));
        let pids = pool.worker_pids();
        let mut signal = |signal| {
            let index = usize::try_from(random.next() % pids.len().max(1) as u64).unwrap();
            let pid = pids.get(index).and_then(|&pid| Pid::from_raw(pid.cast_signed()))?;
            // It may have gone by itself.
            kill_process(pid, signal).ok().map(|()| pid)
        };
        let stopped = signal(Signal::STOP);
        if signal(Signal::KILL).is_some() {
            kills.fetch_add(1, Ordering::SeqCst);
        }
        sleep(Duration::from_millis(5));
        // If it was killed meanwhile, there is nothing to continue.
        stopped.map(|pid| kill_process(pid, Signal::CONT).ok());
    }
}

fn chaos() {
    let pool = Pool::with_workers(3).unwrap();
    assert_sound(&pool);
    drop(pool.submit(work, 1).unwrap());
    let before = holdings();
    let (over, kills) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| rage(&pool, &over, &kills));
        let job = pool.job().retries(1000);
        let items = items();
        for (n, result) in (0..).zip(job.imap(work, 0..items)) {
            assert_eq!(result.unwrap(), n + 1);
        }
        let mut seen = vec![0_u8; items as usize + 1];
        for result in job.imap_unordered(work, 0..items) {
            seen[result.unwrap() as usize] += 1;
        }
        assert!(seen[0] == 0 && seen[1..].iter().all(|&count| count == 1));
        let tasks: Vec<_> = (0..2000).map(|n| job.submit(work, n).unwrap()).collect();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.get().unwrap(), n + 1);
        }
        over.store(true, Ordering::SeqCst);
    });
    say(&format!("kills {}", kills.load(Ordering::SeqCst)));
    eventually("all workers are there", || pool.worker_pids().len() == 3);
    assert_sound(&pool);
    assert_back_to(before);
}
