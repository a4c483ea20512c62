//! Hostile workers: the parent neither panics nor hangs, and what the other workers do is right.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use procession_pool::{Pool, TaskError};

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::ledger::{Ledger, record};
use super::long::{status_kib, tell, times};
use super::program::{Role, play, runs, say};
use super::scribbler::{ALL, Sabotage, ring_parent};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] = &[("scribbled", scribbled)];

/// How many items each call has.
const ITEMS: u32 = 120;
const CULPRIT: u32 = 20;
const TIMEOUT: Duration = Duration::from_millis(400);

/// In the ledger, in place of an item: this process turned hostile.
const TURNED: u32 = 1023;

/// Process numbers have 22 bits.
fn entry(number: u32) -> u32 {
    std::process::id() << 10 | number
}

/// When the sabotage is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum When {
    InTask,
    /// From a thread that goes on after the task.
    Later,
}

type Item = (String, u32, Sabotage, When);

static HOSTILE: AtomicBool = AtomicBool::new(false);

fn work((ledger, number, sabotage, when): Item) -> u32 {
    record(&ledger, entry(number));
    if number == CULPRIT && !HOSTILE.swap(true, Ordering::SeqCst) {
        record(&ledger, entry(TURNED));
        match when {
            When::InTask => sabotage.commit(),
            When::Later => drop(std::thread::spawn(move || sabotage.commit())),
        }
    } else {
        sleep(Duration::from_micros(300));
    }
    number * 3
}

/// Who ran each item.
fn executions(ledger: &Ledger) -> Vec<(u32, u32)> {
    ledger.entries().iter().map(|entry| (entry & TURNED, entry >> 10)).collect()
}

/// True if the worker is dead by the end. It need not have done anything that can be noticed.
fn survives(pool: &Pool, sabotage: Sabotage, when: When, chunk: usize, count: u32) -> bool {
    let ledger = Ledger::new();
    let items = (0..count).map(|number| (ledger.path(), number, sabotage, when));
    let job = pool.job().timeout(TIMEOUT).chunk(chunk).window(count as usize);
    let outcomes: Vec<_> = job.imap(work, items).collect();
    let context = format!("{sabotage:?} {when:?} in chunks of {chunk}");
    assert_eq!(outcomes.len(), count as usize, "{context}");
    let executions = executions(&ledger);
    let turned = executions.iter().filter(|(number, _)| *number == TURNED);
    let culprits: Vec<u32> = turned.map(|(_, pid)| *pid).collect();
    for (number, outcome) in (0..).zip(&outcomes) {
        // A hostile worker may give any result, or none, for what it was given, also for what it did before it turned.
        let mut by = executions.iter().filter(|(run, _)| *run == number).map(|(_, pid)| pid);
        let is_honest = by.clone().count() > 0 && !by.any(|pid| culprits.contains(pid));
        match outcome {
            Ok(result) => assert!(!is_honest || *result == number * 3, "item {number}: {context}"),
            Err(error) => {
                assert_eq!(error.item(), Some(number as usize), "{context}");
                assert!(!is_honest, "item {number} was lost: {error:?} {context}");
            }
        }
    }
    let is_dead = !culprits.iter().any(|&pid| runs(pid));
    for pid in culprits {
        if runs(pid) {
            // What it did was not noticed, and need not be. From here on everything is to be right.
            kill(pid, rustix::process::Signal::KILL);
        }
        // Not before the pool knows: until then the gate of the dead may claim an item that it was just given.
        eventually("the culprit is gone", || !runs(pid) && !pool.worker_pids().contains(&pid));
    }
    assert_sound(pool);
    is_dead
}

fn all_survive(when: When, chunk: usize) {
    guarded(move || {
        let pool = Pool::with_workers(2).unwrap();
        for sabotage in ALL {
            survives(&pool, sabotage, when, chunk, ITEMS);
        }
    });
}

#[test]
fn sabotage_in_a_task_is_survived() {
    all_survive(When::InTask, 1);
}

#[test]
fn sabotage_in_a_chunk_is_survived() {
    all_survive(When::InTask, 40);
}

#[test]
fn sabotage_from_a_thread_is_survived() {
    all_survive(When::Later, 1);
}

#[test]
fn sabotage_from_a_thread_in_a_chunk_is_survived() {
    all_survive(When::Later, 40);
}

/// What a worker writes is written while the others do very many items, and takes no memory of the parent.
#[test]
fn sabotage_under_a_long_map_costs_the_parent_nothing() {
    guarded(|| {
        let finished = play("scribbled").succeed();
        tell(&format!("hostile workers: {}", finished.answer("survived ")));
    });
}

fn scribbled() {
    let pool = Pool::with_workers(3).unwrap();
    // What a call needs is there once one is over.
    survives(&pool, Sabotage::RandomEverywhere, When::InTask, 1, ITEMS);
    let (before, count) = (status_kib("VmHWM"), times(ITEMS, 1000));
    let ways: &[(When, usize)] = times(
        &[(When::Later, 7)],
        &[(When::InTask, 1), (When::InTask, 40), (When::Later, 1), (When::Later, 40)],
    );
    let (mut calls, mut dead) = (0, 0);
    for &(when, chunk) in ways {
        for sabotage in ALL {
            dead += u32::from(survives(&pool, sabotage, when, chunk, count));
            calls += 1;
        }
    }
    let peak = status_kib("VmHWM");
    say(&format!(
        "survived {calls} workers that turned hostile, of which {dead} were dead by the end of the call, under {} items; from {before} KiB to {peak} KiB",
        calls * count
    ));
    assert!(peak < before + (16 << 10), "{before} KiB before, {peak} KiB at most");
}

/// These cannot be mistaken for anything else: the item has an error that says so, at once, and the worker is killed.
#[test]
fn nonsense_costs_the_worker() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for sabotage in [
            Sabotage::TailHuge,
            Sabotage::TailBackwards,
            Sabotage::TailJustTooFar,
            Sabotage::LongResult,
            Sabotage::UnknownTag,
            Sabotage::FalseFailure,
            Sabotage::Hello,
        ] {
            assert_sound(&pool);
            let work = |(ledger, sabotage): (String, Sabotage)| {
                record(&ledger, std::process::id());
                sabotage.commit();
                ring_parent();
                sleep(Duration::from_secs(600));
            };
            let ledger = Ledger::new();
            let error = pool.apply(work, (ledger.path(), sabotage)).unwrap_err();
            let pid = ledger.entries()[0];
            let TaskError::Corrupt { item: 0, pid: named, .. } = error else {
                panic!("{sabotage:?}: {error:?}")
            };
            assert_eq!(named, pid);
            assert!(!runs(pid), "{sabotage:?}");
        }
        assert_sound(&pool);
    });
}

/// What a worker that writes nonsense says about how far it got is not to be relied on: its item may have run.
#[test]
fn an_item_of_a_corrupt_worker_runs_once() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let work = |ledger: String| {
            record(&ledger, std::process::id());
            Sabotage::PunchHoles.commit();
            ring_parent();
            sleep(Duration::from_secs(600));
        };
        let error = pool.apply(work, ledger.path()).unwrap_err();
        assert!(matches!(error, TaskError::Corrupt { .. }), "{error:?}");
        assert_eq!(ledger.entries().len(), 1);
        assert_sound(&pool);
    });
}

/// An item that hides its own beginning each time it brings a worker down must not go round for ever.
#[test]
fn an_item_that_hides_its_deaths_is_given_up() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let work = |n: u32| {
            if n == 5 {
                Sabotage::RewindAndDie.commit();
            }
            n
        };
        let outcomes: Vec<_> = pool.imap(work, 0..10).collect();
        for (n, outcome) in (0..).zip(outcomes) {
            match outcome {
                Ok(value) => assert_eq!(value, n),
                Err(error) => {
                    assert!(matches!(error, TaskError::Died { item: 5, .. }), "{error:?}");
                }
            }
        }
        assert_sound(&pool);
    });
}

/// It keeps its parent awake for nothing, with no item to be blamed for. The parent must still sleep, and work be done.
#[test]
fn a_worker_that_rings_while_it_is_idle_is_survived() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for sabotage in [Sabotage::FlipBells, Sabotage::FlipGate, Sabotage::Unsolicited] {
            let start = |sabotage: Sabotage| {
                std::thread::spawn(move || {
                    sleep(Duration::from_millis(5));
                    sabotage.commit();
                });
                std::process::id()
            };
            let pid = pool.apply(start, sabotage).unwrap();
            let nap = |ms: u64| {
                sleep(Duration::from_millis(ms));
                ms
            };
            for _ in 0..20 {
                // The culprit may have been on it.
                assert!(
                    pool.apply(nap, 5).is_ok_and(|ms| ms == 5)
                        || !pool.worker_pids().contains(&pid)
                );
            }
            if runs(pid) {
                kill(pid, rustix::process::Signal::KILL);
            }
            // And the pool knows: until then the gate of the dead may claim an item that it was just given.
            eventually("it is gone", || !runs(pid) && !pool.worker_pids().contains(&pid));
            assert_sound(&pool);
        }
    });
}
