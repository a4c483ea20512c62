//! Clocks that do not agree: those of the workers are days ahead of the caller's, or behind; and the caller itself is stopped now and
//! then, to which it is as if its clock jumped.
//!
//! What is not done: nobody sets CLOCK_REALTIME, which is the clock of the whole machine. The library does not read it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use procession_channel::pipe::{self, Receiver};
use procession_pool::{Insights, Pool, TaskError};
use procession_process::Process;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use skips::skipped;

use super::super::guard::guarded;
use super::super::long::{tell, times};
use super::super::program::{command, finish, say};
use super::super::scribbler::{Random, seed};
use super::{Arena, assert_over, below, call_in_all_ways, during, pause, settled};

/// Whether the clocks of workers are to be ahead or behind.
const DIRECTION: &str = "PROCESSION_POOL_TEST_CLOCKS";

/// How long an item may take that is done at once, and one that never ends.
const LONG: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_millis(100);

/// Seconds on the clock that cannot be set.
fn clock() -> i64 {
    clock_gettime(ClockId::Monotonic).tv_sec
}

/// From now on, what this process starts has a clock that differs by so many seconds. On failure, why that cannot be.
fn shift_clocks_of_children(seconds: i64) -> Result<(), &'static str> {
    // SAFETY: a plain system call, which concerns nobody but children to come.
    if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
        return Err("a time namespace may not be made, or the kernel has none");
    }
    let offsets = format!("/proc/{}/timens_offsets", rustix::thread::gettid());
    std::fs::write(offsets, format!("monotonic {seconds} 0\n")).unwrap();
    // It is spawned as workers are.
    let probe = std::process::Command::new("true").status();
    probe.map(drop).map_err(|_| "before Linux 6.1 nothing can be spawned into a time namespace")
}

/// Stops its parent, and lets it go on again, until that has dropped the other end.
fn stall((caller, end): (u32, Receiver<()>)) {
    let caller = Pid::from_raw(caller.cast_signed()).unwrap();
    let mut random = Random(seed());
    while matches!(end.try_recv(), Ok(None)) {
        pause(&mut random, 5..30);
        kill_process(caller, Signal::STOP).unwrap();
        pause(&mut random, 1..40);
        kill_process(caller, Signal::CONT).unwrap();
    }
}

/// Whether nothing comes for as long as that.
fn wait_in_vain(end: Receiver<u32>) -> bool {
    let started = Instant::now();
    matches!(end.recv_timeout(SHORT), Ok(None)) && started.elapsed() >= SHORT
}

fn hang(_: ()) {
    loop {
        std::thread::park();
    }
}

/// Deadlines on both sides: none passes before its time, and none is missed.
fn keep_time(pool: &Pool) {
    let started = Instant::now();
    let hung = pool.job().timeout(SHORT).apply(hang, ());
    assert!(matches!(hung, Err(TaskError::TimedOut { after: SHORT, .. })), "{hung:?}");
    assert!(started.elapsed() >= SHORT);
    let (sender, end) = pipe::simplex::<u32>().unwrap();
    assert!(pool.apply(wait_in_vain, end).unwrap(), "the pipe was empty");
    drop(sender);
}

/// What is told of times are spans, in which no difference of clocks shows.
fn assert_told_right(pool: &Pool) {
    let Insights { total, slowest, .. } = pool.insights();
    let spans = [total.starting, total.working, total.waiting];
    let spans = spans.into_iter().chain(slowest.iter().map(|item| item.duration));
    assert!(spans.max().unwrap() < LONG * 3, "{total:?} {slowest:?}");
}

fn offset(random: &mut Random) -> i64 {
    let days = 1 + below(random, 30);
    match std::env::var(DIRECTION).as_deref() {
        Ok("ahead") => i64::try_from(days).unwrap() * 24 * 3600,
        // The clock must not show less than nothing.
        _ => -(clock() / 2),
    }
}

pub(super) fn role() {
    let random = &mut Random(seed());
    let offset = offset(random);
    if let Err(why) = shift_clocks_of_children(offset) {
        return say(&format!("skip {why}"));
    }
    let arena = Arena::new(Pool::builder().task_timeout(LONG));
    let pool = &arena.pool;
    let differs = pool.apply(|own: i64| clock() - own, clock()).unwrap();
    assert_eq!(differs.signum(), offset.signum(), "{differs} s instead of {offset} s");
    let before = settled(pool);
    let (go_on, end) = pipe::simplex().unwrap();
    let stalling = Process::spawn(stall, (std::process::id(), end)).unwrap();
    let job = pool.job().retries(1000);
    during(
        |over| kill_now_and_then(&arena, over),
        || call_in_all_ways(&job, times(5000, 1_000_000)),
    );
    (0..times(3, 100)).for_each(|_| keep_time(pool));
    drop(go_on);
    stalling.join().unwrap();
    assert_told_right(pool);
    assert_over(pool, before);
    say(&format!("clocks differed by {differs} s"));
}

fn kill_now_and_then(arena: &Arena, over: &AtomicBool) {
    let mut random = Random(seed());
    while !over.load(Ordering::SeqCst) {
        pause(&mut random, 20..60);
        arena.kill_one(&mut random);
    }
}

#[test]
fn clocks_need_not_agree() {
    guarded(|| {
        for direction in ["ahead", "behind"] {
            let finished = finish(command("chaos of clocks").env(DIRECTION, direction)).succeed();
            if let Some(why) = finished.out.lines().find_map(|line| line.strip_prefix("skip ")) {
                return skipped("clocks_need_not_agree", why);
            }
            tell(&format!(
                "clocks {direction}: differed by {}",
                finished.answer("clocks differed by ")
            ));
        }
    });
}
