//! Locks: alone, in contention, when their owner dies, and while they are waited for.

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use procession::prelude::*;
use procession::sync::{Barrier, Event, LockError, Mutex};
use procession_bench_harness::clock::{now_ns, process_cpu_ns};
use procession_bench_harness::twin::{self, Twin};
use procession_bench_harness::words::Words;
use procession_bench_harness::{Case, Effort, Figure, Outcome, Unit, cpu, round_trip};
use rustix::thread::futex::Flags;

use crate::bare::futex::{SHARED, Sleep, between_processes, between_threads};
use crate::bare::pthread;
use crate::bare::start::Start;

const OURS: &str = "procession";
const PTHREAD: &str = "pthread";
const ROBUST: &str = "pthread-robust";

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, contestant, run: fn(Effort) -> Outcome| Case::new("locks", name, contestant, run);
    vec![
        case("uncontended", OURS, uncontended),
        case("uncontended", "std", uncontended_std),
        case("uncontended", PTHREAD, |effort| uncontended_pthread(effort, false)),
        case("uncontended", ROBUST, |effort| uncontended_pthread(effort, true)),
        case("contended-by-2", OURS, contended),
        case("contended-by-2", PTHREAD, |effort| contended_pthread(effort, false)),
        case("contended-by-2", ROBUST, |effort| contended_pthread(effort, true)),
        case("4-processes-x-100000", OURS, |effort| increments(effort, 4, 100_000)),
        case("4-processes-x-100000", PTHREAD, |effort| increments_pthread(effort, false)),
        case("4-processes-x-100000", ROBUST, |effort| increments_pthread(effort, true)),
        case("wait-on-1-core", OURS, |effort| {
            between_processes(effort, one_core()?, Sleep::OneWait)
        }),
        case("wait-on-1-core", "futex", |effort| between_processes(effort, one_core()?, SHARED)),
        case("wait-on-2-cores", OURS, |effort| {
            between_processes(effort, cpu::two()?, Sleep::OneWait)
        }),
        case("wait-on-2-cores", "futex", |effort| between_processes(effort, cpu::two()?, SHARED)),
        case("futex-between-threads", "private", |effort| between_threads(effort, Flags::PRIVATE)),
        case("futex-between-threads", "shared", |effort| between_threads(effort, Flags::empty())),
        case("1000-waiters-1-death", OURS, a_death),
        case("idle-waiter", OURS, idle_waiter),
    ]
}

fn one_core() -> std::io::Result<[usize; 2]> {
    cpu::two().map(|[first, _]| [first; 2])
}

/// A lock and unlock each, in batches.
fn alone<E: Error + 'static>(effort: Effort, increment: impl FnMut() -> Result<(), E>) -> Outcome {
    Ok(round_trip::awake(effort, 1_000_000, increment)?)
}

#[inline]
fn increment(counter: &Mutex<u64>) -> Result<(), LockError> {
    *counter.lock()? += 1;
    Ok(())
}

fn uncontended(effort: Effort) -> Outcome {
    let counter = Shared::new(Mutex::new(0_u64))?;
    alone(effort, || increment(&counter))
}

fn uncontended_std(effort: Effort) -> Outcome {
    let counter = black_box(std::sync::Mutex::new(0_u64));
    alone(effort, || {
        *counter.lock().map_err(|_| std::fmt::Error)? += 1;
        Ok::<_, std::fmt::Error>(())
    })
}

fn uncontended_pthread(effort: Effort, is_robust: bool) -> Outcome {
    let counter = pthread::Mutex::new(is_robust)?;
    alone(effort, || counter.increment().map(drop))
}

/// How many increments two processes get done in a second, and whether none was lost.
fn contended(effort: Effort) -> Outcome {
    type Work = (Shared<Mutex<u64>>, Shared<Barrier>, u64);
    fn work((counter, start, ns): Work) -> procession::Result<u64> {
        start.wait()?;
        count_for(ns, || Ok(increment(&counter)?))
    }
    let counter = Shared::new(Mutex::new(0_u64))?;
    let start = Shared::new(Barrier::new(2))?;
    let ns = effort.count(400) * 1_000_000;
    let children = [(); 2].map(|()| Process::spawn(work, (counter.clone(), start.clone(), ns)));
    let mut done = 0;
    for child in children {
        done += child?.join()?;
    }
    agree(*counter.lock()?, done)?;
    Ok(vec![Figure::rate("increments", done, ns)])
}

fn contended_pthread(effort: Effort, is_robust: bool) -> Outcome {
    let counter = pthread::Mutex::new(is_robust)?;
    let words = Words::new()?;
    let (start, done) = (Start::new(&words, [0, 1]), words.u64(2));
    let ns = effort.count(400) * 1_000_000;
    let twins = twins(2, || {
        start.wait()?;
        let count = count_for(ns, || Ok(counter.increment().map(drop)?));
        done.fetch_add(count.map_err(Failure::into_report)?, Ordering::Relaxed);
        Ok(())
    })?;
    start.fire(2)?;
    twins.into_iter().try_for_each(Twin::join)?;
    let done = done.load(Ordering::Relaxed);
    agree(counter.increment()? - 1, done)?;
    Ok(vec![Figure::rate("increments", done, ns)])
}

/// Counts for so long, with a look at the clock now and then.
fn count_for(
    ns: u64,
    mut increment: impl FnMut() -> procession::Result<()>,
) -> procession::Result<u64> {
    let (end_ns, mut done) = (now_ns() + ns, 0);
    while now_ns() < end_ns {
        (0..64).try_for_each(|_| increment())?;
        done += 64;
    }
    Ok(done)
}

/// How long some processes take to count together: from the moment when the first may begin until the last is done. Starting and
/// ending them does not count.
pub(crate) fn increments(effort: Effort, processes: u32, each: u64) -> Outcome {
    type Work = (Shared<Mutex<u64>>, Shared<Barrier<128>>, u64);
    fn work((counter, start, count): Work) -> procession::Result<(u64, u64)> {
        start.wait()?;
        let start_ns = now_ns();
        (0..count).try_for_each(|_| increment(&counter))?;
        Ok((start_ns, now_ns()))
    }
    let counter = Shared::new(Mutex::new(0_u64))?;
    let start = Shared::new(Barrier::<128>::with_holders(processes))?;
    let count = effort.count(each);
    let spawn = |_| Process::spawn(work, (counter.clone(), start.clone(), count));
    let children: Vec<_> = (0..processes).map(spawn).collect::<Result<_, _>>()?;
    let (mut first_ns, mut last_ns) = (u64::MAX, 0);
    for child in children {
        let (start_ns, end_ns) = child.join()?;
        first_ns = first_ns.min(start_ns);
        last_ns = last_ns.max(end_ns);
    }
    counted(*counter.lock()?, u64::from(processes) * count, last_ns - first_ns)
}

fn increments_pthread(effort: Effort, is_robust: bool) -> Outcome {
    let counter = pthread::Mutex::new(is_robust)?;
    let words = Words::new()?;
    let (start, count) = (Start::new(&words, [0, 1]), effort.count(100_000));
    let (first_ns, last_ns) = (words.u64(2), words.u64(3));
    first_ns.store(u64::MAX, Ordering::Relaxed);
    let twins = twins(4, || {
        start.wait()?;
        first_ns.fetch_min(now_ns(), Ordering::Relaxed);
        (0..count).try_for_each(|_| counter.increment().map(drop))?;
        last_ns.fetch_max(now_ns(), Ordering::Relaxed);
        Ok(())
    })?;
    start.fire(4)?;
    twins.into_iter().try_for_each(Twin::join)?;
    let ns = last_ns.load(Ordering::Relaxed) - first_ns.load(Ordering::Relaxed);
    counted(counter.increment()? - 1, 4 * count, ns)
}

fn counted(sum: u64, done: u64, ns: u64) -> Outcome {
    agree(sum, done)?;
    Ok(vec![Figure::ns("wall", ns), Figure::rate("increments", done, ns)])
}

/// A figure of wrong sums would be worth nothing.
fn agree(sum: u64, done: u64) -> Result<(), String> {
    if sum == done { Ok(()) } else { Err(format!("{done} increments, but the sum is {sum}")) }
}

fn twins(
    count: usize,
    work: impl Fn() -> Result<(), Box<dyn Error>>,
) -> Result<Vec<Twin>, std::io::Error> {
    (0..count).map(|_| twin::fork(&work)).collect()
}

/// A thousand threads of four processes wait for a mutex, and its owner is killed: how long until the last of them has been
/// told. No thread ends before all of them have been told: to end one takes longer than to tell it.
fn a_death(effort: Effort) -> Outcome {
    type Work = (Shared<Mutex<u64>>, Shared<AtomicU64>, usize);
    fn hold((mutex, arrived, _): Work) -> procession::Result<u64> {
        let _guard = mutex.lock()?;
        arrived.fetch_add(1, Ordering::Release);
        loop {
            thread::park();
        }
    }
    fn wait_for_it((mutex, arrived, threads): Work) -> procession::Result<u64> {
        let told_count = AtomicU64::new(0);
        let told_ns = |_| {
            arrived.fetch_add(1, Ordering::Release);
            let told = mutex.lock().map(drop);
            let at_ns = now_ns();
            told_count.fetch_add(1, Ordering::Release);
            thread::park();
            matches!(told, Err(LockError::OwnerDied { .. })).then_some(at_ns)
        };
        let told = thread::scope(|scope| {
            let start = |at| {
                thread::Builder::new().stack_size(1 << 16).spawn_scoped(scope, move || told_ns(at))
            };
            let threads = (0..threads).map(start).collect::<Result<Vec<_>, _>>()?;
            until_arrived(&told_count, threads.len() as u64);
            threads.iter().for_each(|thread| thread.thread().unpark());
            let last = threads.into_iter().map(|thread| thread.join().ok().flatten());
            std::io::Result::Ok(last.collect::<Option<Vec<u64>>>())
        })?;
        told.and_then(|told| told.into_iter().max()).ok_or_else(|| "a waiter got the lock".into())
    }
    const PROCESSES: u64 = 4;
    let threads = usize::try_from(effort.count(1_000) / PROCESSES)?;
    let mutex = Shared::new(Mutex::new(0_u64))?;
    let arrived = Shared::new(AtomicU64::new(0))?;
    let work = (mutex.clone(), arrived.clone(), threads);
    let owner = Process::spawn(hold, &work)?;
    until_arrived(&arrived, 1);
    let waiters: Vec<_> =
        (0..PROCESSES).map(|_| Process::spawn(wait_for_it, &work)).collect::<Result<_, _>>()?;
    until_arrived(&arrived, 1 + PROCESSES * threads as u64);
    // Whoever has arrived is about to sleep; this is the time that it has for it.
    thread::sleep(Duration::from_millis(200));
    let killed_ns = now_ns();
    owner.kill()?;
    let mut last_ns = 0;
    for waiter in waiters {
        last_ns = last_ns.max(waiter.join()?);
    }
    Ok(vec![Figure::ns("last", last_ns - killed_ns)])
}

fn until_arrived(arrived: &AtomicU64, count: u64) {
    while arrived.load(Ordering::Acquire) < count {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The processor time that somebody uses who waits, in a second.
fn idle_waiter(effort: Effort) -> Outcome {
    fn idle(event: Shared<Event>) -> procession::Result<(u64, u64)> {
        let (cpu_ns, start_ns) = (process_cpu_ns(), now_ns());
        event.wait()?;
        Ok((process_cpu_ns() - cpu_ns, now_ns() - start_ns))
    }
    let event = Shared::new(Event::new())?;
    let waiter = Process::spawn(idle, &event)?;
    thread::sleep(Duration::from_millis(effort.count(5_000)));
    event.set();
    let (cpu_ns, passed_ns) = waiter.join()?;
    let share = cpu_ns as f64 / passed_ns as f64;
    Ok(vec![Figure::new("cpu-in-a-second", Unit::Nanoseconds, share * 1e9)])
}
