//! Queues between processes, which are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::{Duration, Instant};

use backstage::executor::block_on;
use procession::Fd;
use procession::prelude::*;
use procession::queue::{Getter, JoinError, Putter, RecvError};

/// Nothing takes this long; it only keeps a broken test from running for ever.
const HANG: Duration = Duration::from_secs(60);

fn next<T: procession::Message>(queue: &Queue<T>) -> T {
    queue.get_timeout(HANG).unwrap().expect("something comes in a minute")
}

/// Kills it, and waits for its end.
fn kill<R>(process: Process<R>) -> u32 {
    process.kill().unwrap();
    process.wait();
    process.pid()
}

fn produce(queue: Queue<(u32, u64)>, who: u32, count: u64) -> procession::Result<()> {
    for n in 0..count / 2 {
        queue.put((who, n))?;
    }
    queue.put_many((count / 2..count).map(|n| (who, n)))?;
    Ok(())
}

fn consume(queue: Queue<(u32, u64)>) -> procession::Result<Vec<(u32, u64)>> {
    let mut all = Vec::new();
    for item in &queue {
        all.push(item?);
        if all.len().is_multiple_of(3) {
            match queue.get_many(50) {
                Ok(many) => all.extend(many.collect::<Result<Vec<_>, _>>()?),
                Err(RecvError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(all)
}

#[test]
fn what_three_put_three_get_once_and_in_the_order_of_each() {
    skips::needs_pidfds!();
    const COUNT: u64 = 10_000;
    let queue = Queue::new().unwrap();
    let consumers = [(); 3].map(|()| spawn!(consume(&queue)).unwrap());
    let producers = [0, 1, 2].map(|who| spawn!(produce(&queue, who, COUNT)).unwrap());
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    queue.close();
    let mut all = BTreeSet::new();
    for consumer in consumers {
        let mut last = BTreeMap::new();
        for (who, n) in consumer.join().unwrap() {
            assert!(last.insert(who, n).is_none_or(|before| before < n), "out of order");
            assert!(all.insert((who, n)), "twice");
        }
    }
    assert_eq!(all.len() as u64, 3 * COUNT);
}

/// Puts items of many sizes, some with a file, until it is killed.
fn produce_for_ever(queue: Queue<(u64, Vec<u8>, Option<Fd<File>>)>) -> procession::Result<()> {
    for n in 0_u64.. {
        let len = usize::try_from(n * 37 % 1500)?;
        let file = n.is_multiple_of(5).then(|| File::open("/dev/null").map(Fd::new)).transpose()?;
        queue.put((n, vec![n.to_le_bytes()[0]; len], file))?;
    }
    Ok(())
}

#[test]
fn what_a_killed_producer_has_put_is_there_and_nothing_else() {
    skips::needs_pidfds!();
    let queue = Queue::builder().capacity(4096).build().unwrap();
    for round in 0..100 {
        let producer = spawn!(produce_for_ever(&queue)).unwrap();
        for expected in 0..=round % 20 {
            assert_eq!(next(&queue).0, expected);
        }
        kill(producer);
        let mut expected = round % 20 + 1;
        while let Some((n, bytes, file)) = queue.try_get().unwrap() {
            assert_eq!(n, expected);
            assert!(bytes.iter().all(|byte| *byte == n.to_le_bytes()[0]));
            assert_eq!(file.is_some(), n.is_multiple_of(5));
            expected += 1;
        }
        assert!(queue.is_empty());
    }
}

type Told = (u32, u64);

fn work(jobs: Queue<(u64, Option<Fd<File>>)>, told: Queue<Told>) -> procession::Result<()> {
    let me = std::process::id();
    for job in &jobs {
        told.put((me, job?.0))?;
        jobs.task_done()?;
    }
    Ok(())
}

fn job(n: u64) -> (u64, Option<Fd<File>>) {
    let file = || Fd::new(File::open("/dev/null").unwrap());
    (n, n.is_multiple_of(7).then(file))
}

#[test]
fn what_a_killed_consumer_had_got_and_not_done_is_told_by_join() {
    skips::needs_pidfds!();
    const JOBS: u64 = 60;
    let (jobs, told) = (Queue::bounded(16).unwrap(), Queue::new().unwrap());
    for round in 0..40_u64 {
        let [victim, other] = [(); 2].map(|()| spawn!(work(&jobs, &told)).unwrap());
        let mut victim = Some(victim);
        let mut killed = 0;
        for n in 0..JOBS {
            jobs.put(job(n)).unwrap();
            if n == round {
                killed = kill(victim.take().unwrap());
            }
        }
        let mut owed = 0;
        while let Err(error) = jobs.join() {
            let JoinError::OwnerDied { pid, items } = error else { panic!("{error}") };
            assert_eq!((pid, items), (killed, 1), "it had one item at a time");
            owed += items as usize;
        }
        let all: Vec<u64> =
            std::iter::from_fn(|| told.try_get().unwrap()).map(|(_, n)| n).collect();
        let once: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(once.len(), all.len(), "twice");
        assert!(once.len() + owed >= usize::try_from(JOBS).unwrap(), "{owed} {once:?}");
        kill(other);
        assert!(jobs.join_timeout(HANG).unwrap() && jobs.is_empty());
    }
}

fn work_by_claims(jobs: Queue<u64>, told: Queue<Told>) -> procession::Result<()> {
    let me = std::process::id();
    while let Ok(claim) = jobs.claim() {
        told.put((me, *claim))?;
        claim.done();
    }
    Ok(())
}

#[test]
fn what_a_killed_consumer_had_claimed_is_offered_again() {
    skips::needs_pidfds!();
    const JOBS: u64 = 60;
    for round in 0..40_u64 {
        let (jobs, told) = (Queue::new().unwrap(), Queue::new().unwrap());
        let [victim, other] = [(); 2].map(|()| spawn!(work_by_claims(&jobs, &told)).unwrap());
        jobs.put_many(0..round).unwrap();
        kill(victim);
        jobs.put_many(round..JOBS).unwrap();
        jobs.close();
        other.join().unwrap();
        assert!(jobs.is_empty() && jobs.join_timeout(HANG).unwrap());
        let all: Vec<u64> =
            std::iter::from_fn(|| told.try_get().unwrap()).map(|(_, n)| n).collect();
        let once: BTreeSet<_> = all.iter().copied().collect();
        assert!(once.iter().copied().eq(0..JOBS), "{once:?}");
        assert!(all.len() <= once.len() + 1, "one item at most was done and not said to be");
    }
}

fn hold_claims(jobs: Queue<u64>, ready: Queue<u64>) {
    let _claims: Vec<_> = (0..3).map(|_| jobs.claim().unwrap()).collect();
    ready.put(0).unwrap();
    std::thread::sleep(HANG);
}

#[test]
fn who_waits_gets_what_the_dead_had_claimed() {
    skips::needs_pidfds!();
    let (jobs, ready) = (Queue::new().unwrap(), Queue::new().unwrap());
    jobs.put_many(0..3).unwrap();
    let holder = spawn!(hold_claims(&jobs, &ready)).unwrap();
    next(&ready);
    let waiting = {
        let jobs = jobs.clone();
        std::thread::spawn(move || next(&jobs))
    };
    std::thread::sleep(Duration::from_millis(20));
    kill(holder);
    assert_eq!(waiting.join().unwrap(), 0);
    assert_eq!((next(&jobs), next(&jobs)), (1, 2));
}

fn put_and_wait(putter: Putter<u64>) -> procession::Result<()> {
    putter.put(7)?;
    std::thread::sleep(HANG);
    Ok(())
}

fn until_the_end(getter: Getter<u64>) -> procession::Result<Vec<u64>> {
    let all = (&getter).into_iter().collect::<Result<_, _>>()?;
    assert!(matches!(getter.get(), Err(RecvError::Disconnected)));
    Ok(all)
}

#[test]
fn a_getter_ends_when_the_last_process_that_puts_is_killed() {
    skips::needs_pidfds!();
    let queue = Queue::new().unwrap();
    let getting = spawn!(until_the_end(queue.getter())).unwrap();
    let putters = [(); 2].map(|()| spawn!(put_and_wait(queue.putter())).unwrap());
    drop(queue);
    for putter in putters {
        kill(putter);
    }
    let all = getting.join().unwrap();
    assert!(all.len() <= 2 && all.iter().all(|n| *n == 7), "{all:?}");
}

#[test]
fn a_putter_that_waits_for_room_hears_of_the_last_getters_death() {
    skips::needs_pidfds!();
    let queue = Queue::bounded(1).unwrap();
    let putter = queue.putter();
    let getting = spawn!(one_and_wait(queue.getter())).unwrap();
    drop(queue);
    putter.put(1).unwrap();
    putter.put(2).unwrap();
    let waiting = std::thread::spawn(move || putter.put(3));
    kill(getting);
    let start = Instant::now();
    assert!(waiting.join().unwrap().is_err());
    assert!(start.elapsed() < HANG);
}

fn one_and_wait(getter: Getter<u64>) -> procession::Result<()> {
    getter.get()?;
    std::thread::sleep(HANG);
    Ok(())
}

fn put_and_exit(queue: Queue<(String, Queue<u8>)>) -> procession::Result<()> {
    let own = Queue::new()?;
    own.put(42)?;
    queue.put(("from the dead".to_owned(), own))?;
    Ok(())
}

#[test]
fn a_queue_in_a_queue_outlives_the_process_that_made_it() {
    skips::needs_pidfds!();
    let queue = Queue::new().unwrap();
    spawn!(put_and_exit(&queue)).unwrap().join().unwrap();
    let (text, own) = next(&queue);
    assert_eq!((text.as_str(), own.get().unwrap()), ("from the dead", 42));
}

/// Gets by futures until it is killed.
fn await_for_ever(queue: Queue<u64>, told: Queue<u64>) -> procession::Result<()> {
    loop {
        let n = block_on(queue.get_async())?;
        block_on(told.put_async(n))?;
    }
}

#[test]
fn what_a_process_that_awaits_was_woken_for_is_got_by_another_when_it_is_killed() {
    skips::needs_pidfds!();
    let (queue, told) = (Queue::new().unwrap(), Queue::new().unwrap());
    for round in 0..30_u64 {
        let victim = spawn!(await_for_ever(&queue, &told)).unwrap();
        queue.put(0).unwrap();
        assert_eq!(next(&told), 0, "it is there and waits");
        let waiting = {
            let queue = queue.clone();
            std::thread::spawn(move || block_on(queue.get_async()))
        };
        queue.put_many(1..=round % 3 + 1).unwrap();
        kill(victim);
        // One item at most died with it; after these there is one for whoever waits.
        queue.put(99).unwrap();
        assert!(waiting.join().unwrap().unwrap() > 0);
        while queue.try_get().unwrap().is_some() || told.try_get().unwrap().is_some() {}
    }
}

#[test]
fn the_end_of_a_process_is_awaited() {
    skips::needs_pidfds!();
    let queue = Queue::new().unwrap();
    let putting = spawn!(put_and_wait(queue.putter())).unwrap();
    let getter = queue.getter();
    drop(queue);
    assert_eq!(block_on(getter.get_async()).unwrap(), 7);
    let waiting = std::thread::spawn(move || block_on(getter.get_async()));
    kill(putting);
    assert!(matches!(waiting.join().unwrap(), Err(RecvError::Disconnected)));
}
