//! Proofs that take long, each as a test that is short by default. `PROCESSION_LONG` in the environment makes them long, which
//! is what `cargo xtask long` sets. Each prints its figures.

use std::fs;
use std::io::Write;
use std::time::Duration;

use procession_pool::{Pool, TaskError};
use procession_shm::doctor::Status;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::{Role, play, runs, say};
use super::resources::{assert_back_to, holdings, use_and_drop};
use super::scribbler::{Alarm, Sabotage};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] = &[
    ("flat memory", flat_memory),
    ("many pools", many_pools),
    ("endless result", endless_result),
    ("false alarms", false_alarms),
];

pub(crate) fn is_long() -> bool {
    std::env::var_os("PROCESSION_LONG").is_some()
}

/// How often something is done.
pub(crate) fn times<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

pub(crate) fn tell(figures: &str) {
    std::io::stderr().write_all(format!("{figures}\n").as_bytes()).unwrap();
}

pub(crate) fn status_kib(key: &str) -> u64 {
    status_number("/proc/self/status", key)
}

pub(crate) fn status_number(path: &str, key: &str) -> u64 {
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn every_result_comes_once_whoever_dies() {
    guarded(|| {
        let finished = play("chaos").succeed();
        let kills: u32 = finished.answer("kills ").parse().unwrap();
        tell(&format!("chaos: {kills} workers killed over {} items", super::chaos::items() * 2));
        assert!(kills > 10, "only {kills} workers were killed");
    });
}

/// Results that wait for a slow first one are bounded by the window, however many there are to come.
#[test]
fn the_memory_of_the_parent_is_flat() {
    guarded(|| {
        let finished = play("flat memory").succeed();
        tell(&format!("flat memory: {}", finished.answer("grew ")));
    });
}

fn flat_memory() {
    let pool = Pool::with_workers(2).unwrap();
    let work = |n: u64| {
        if n == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        n
    };
    let items = times(200_000, 10_000_000_u64);
    // What a long call needs is there once a shorter one is over.
    assert_eq!(pool.imap(work, 0..50_000).filter(Result::is_ok).count(), 50_000);
    let before = status_kib("VmRSS");
    let (mut peak, mut sum) = (before, 0);
    for (n, result) in (0..).zip(pool.imap(work, 0..items)) {
        sum += result.unwrap();
        if n % (items / 100) == 0 {
            peak = peak.max(status_kib("VmRSS"));
        }
    }
    assert_eq!(sum, items * (items - 1) / 2);
    say(&format!("grew from {before} KiB to {peak} KiB at most over {items} items"));
    assert!(peak < before + (32 << 10), "{before} KiB before, {peak} KiB at most");
}

#[test]
fn hundreds_of_workers_share_two_cores() {
    guarded(|| {
        let pool = Pool::with_workers(times(60, 200)).unwrap();
        let items = times(5_000, 200_000);
        let expected: Vec<u64> = (1..=items).collect();
        assert_eq!(pool.map(|n: u64| n + 1, 0..items).unwrap(), expected);
        eventually("all are ready", || pool.worker_pids().len() == pool.workers());
        assert_sound(&pool);
        tell(&format!("{} workers: {items} items", pool.workers()));
    });
}

#[test]
fn thousands_of_pools_leave_nothing_behind() {
    guarded(|| {
        let finished = play("many pools").succeed();
        tell(&format!("pools made and dropped: {}", finished.answer("pools ")));
    });
}

fn many_pools() {
    (0..3).for_each(use_and_drop);
    let before = (holdings(), status_kib("VmRSS"));
    let pools = times(60, 10_000);
    (0..pools).for_each(use_and_drop);
    assert_back_to(before.0);
    let after = status_kib("VmRSS");
    say(&format!("pools {pools}, memory from {} KiB to {after} KiB", before.1));
    assert!(after < before.1 + (16 << 10), "{} KiB before, {after} KiB after", before.1);
}

/// A worker announces a result of half a GiB and goes on sending; its parent takes no more than it allows.
#[test]
fn a_hostile_worker_cannot_make_its_parent_allocate() {
    guarded(|| {
        let finished = play("endless result").succeed();
        tell(&format!("hostile results: {}", finished.answer("grew ")));
    });
}

fn endless_result() {
    let pool = Pool::builder().workers(2).result_len_max(1 << 20).build().unwrap();
    assert_sound(&pool);
    let before = status_kib("VmHWM");
    for _ in 0..times(5, 500) {
        for sabotage in [Sabotage::EndlessResult, Sabotage::LongResult, Sabotage::FalsePackets] {
            let outcome =
                pool.job().timeout(Duration::from_millis(500)).apply(Sabotage::commit, sabotage);
            // Whatever it is: a hostile worker may also give a result.
            drop(outcome);
        }
    }
    assert_sound(&pool);
    let peak = status_kib("VmHWM");
    say(&format!("grew from {before} KiB to {peak} KiB at most"));
    assert!(peak < before + (16 << 10), "{before} KiB before, {peak} KiB at most");
}

/// A worker wakes its parent all the time and has nothing to say. Its parent finds out and kills it: that is what ends each of
/// these calls, which would go on for ever.
#[test]
fn a_hostile_worker_cannot_keep_its_parent_awake() {
    guarded(|| {
        let finished = play("false alarms").succeed();
        tell(&format!("false alarms: {}", finished.answer("woken ")));
    });
}

fn false_alarms() {
    let before = sleeps();
    let [busy, idle, owed] = alarms();
    busy.iter().copied().for_each(alarm_while_busy);
    idle.iter().copied().for_each(alarm_while_idle);
    owed.iter().copied().for_each(alarm_while_owed);
    let (woken, workers) = (sleeps() - before, (busy.len() + idle.len() + owed.len()) as u64);
    say(&format!("woken {woken} times by {workers} workers"));
    // Each may wake it 64 times for nothing, and all that is done besides takes far fewer sleeps than that.
    assert!(woken < workers * 2 * 64, "{woken} sleeps were ended by {workers} workers");
}

/// The alarms that can wake a parent here: of a worker whose bell it has asked to ring, of one that has nothing to do, and of one
/// that is owed something.
///
/// Where there is no `futex_waitv` it sleeps on a word of its own alone, and looks at those of its workers from time to time. What
/// does not change them does not reach it, and nobody is killed for that.
fn alarms() -> [&'static [Alarm]; 3] {
    let all = &[Alarm::Ring, Alarm::Flip, Alarm::Say, Alarm::Wake, Alarm::Sip];
    let waitv = procession_shm::doctor().get("futex_waitv").map(|check| check.status);
    if waitv == Some(Status::Full) {
        [&all[..4], &all[..4], all]
    } else {
        [&all[..3], &[Alarm::Flip], &[Alarm::Flip]]
    }
}

/// By an item that never ends, while what comes behind it is longer than a ring.
fn alarm_while_busy(alarm: Alarm) {
    let pool = Pool::with_workers(1).unwrap();
    let culprit = pool.submit(Alarm::sound, alarm).unwrap();
    let behind = pool.submit(|bytes: Vec<u8>| bytes.len(), vec![7; 3 << 20]).unwrap();
    let outcome = culprit.get();
    assert!(matches!(outcome, Err(TaskError::Corrupt { .. })), "{alarm:?}: {outcome:?}");
    assert_eq!(behind.get().unwrap(), 3 << 20, "{alarm:?}");
    assert_sound(&pool);
}

/// By a thread that goes on after its item, while another worker's item waits for the end of that one.
fn alarm_while_idle(alarm: Alarm) {
    let pool = Pool::with_workers(2).unwrap();
    let ledger = Ledger::new();
    let outlives = pool.submit(outlive, ledger.path()).unwrap();
    eventually("somebody waits", || outlives.is_running());
    // It may be found out before its item is done.
    drop(pool.apply(turn, (ledger.path(), alarm)));
    outlives.get().unwrap();
    assert_sound(&pool);
}

/// By an item that never ends and takes nothing of the one behind it, of which its worker is owed the rest.
fn alarm_while_owed(alarm: Alarm) {
    let pool = Pool::with_workers(1).unwrap();
    let work = |(alarm, bytes): (Option<Alarm>, Vec<u8>)| {
        alarm.into_iter().for_each(Alarm::sound);
        bytes.len()
    };
    // What is known to be short is given a second one behind it.
    let item =
        |n| (Some(alarm).filter(|_| n == SHORT), vec![7; if n > SHORT { 3 << 20 } else { 1 }]);
    let outcomes: Vec<_> =
        pool.job().chunk(1).window(100).imap(work, (0..SHORT + 2).map(item)).collect();
    let lost: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(
        matches!(lost[..], [Err(TaskError::Corrupt { item: SHORT, .. })]),
        "{alarm:?}: {lost:?}"
    );
    assert_eq!(outcomes.last().unwrap().as_ref().unwrap(), &(3 << 20));
    assert_sound(&pool);
}

/// How many items are short before one that is not.
const SHORT: usize = 20;

fn turn((ledger, alarm): (String, Alarm)) {
    record(&ledger, std::process::id());
    std::thread::spawn(move || alarm.sound());
}

fn outlive(ledger: String) {
    let culprit = || Some(u32::from_le_bytes(*fs::read(&ledger).unwrap().first_chunk()?));
    eventually("the culprit is gone", || culprit().is_some_and(|pid| !runs(pid)));
}

/// How often this thread has slept and was woken.
fn sleeps() -> u64 {
    status_number("/proc/thread-self/status", "voluntary_ctxt_switches:")
}
