//! Pools: an item has its result, or an error that says what became of it; all others have theirs.

use std::time::Duration;

use procession_pool::{Pool, TaskError};
use procession_process::StartMethod;
use procession_shm::SharedSlice;
use rustix::process::{Pid, Signal, kill_process};

use crate::census::Kept;
use crate::fault::Fault;
use crate::scene::{Played, Scene, Setting};

const OFFICES: Kept = Kept { descriptors: 4, threads: 3, mappings: 0, has_children: false };

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        Scene { name: "pool: the first", play: start, setting: Setting::First(OFFICES) },
        Scene::again("pool: a later one", start),
        Scene::again("pool: large items and handles", freight),
        Scene::again("pool: a worker is replaced", respawn),
        Scene::again("pool: a worker is killed at its deadline", deadline),
        Scene::again("pool: workers are let go", turnover),
        Scene::again("pool: tasks in the background", background),
        Scene::again("pool: shutdown", shutdown),
        Scene {
            name: "pool: workers of a zygote",
            play: zygote,
            setting: Setting::Again(Kept::ZYGOTE),
        },
    ]
}

/// Never what would be a lie: that the function had panicked or failed, or that the worker had written what no worker writes.
fn checked<T>(outcome: Result<T, TaskError>) -> Result<T, TaskError> {
    let is_lie = matches!(
        outcome,
        Err(TaskError::Panicked { .. } | TaskError::Failed { .. } | TaskError::Corrupt { .. })
    );
    assert!(!is_lie, "{:?}", outcome.err());
    outcome
}

fn triple(n: u64) -> u64 {
    n * 3
}

/// Each item of a call has its own result or an error; the first error.
fn call(pool: &Pool, items: u64) -> Result<(), TaskError> {
    let (mut first, mut count) = (None, 0);
    for (n, result) in (0..).zip(pool.imap(triple, 0..items)) {
        count += 1;
        match checked(result) {
            Ok(value) => assert_eq!(value, triple(n)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    assert_eq!(count, items, "each item comes once");
    first.map_or(Ok(()), Err)
}

/// A pool that is not broken works as before.
fn assert_sound(pool: &Pool) {
    match call(pool, 50) {
        Ok(()) | Err(TaskError::Broken(_)) => {}
        Err(error) => panic!("no further call fails, and yet: {error}"),
    }
}

fn start(fault: &Fault) -> Played {
    fault.during(|| {
        let pool = Pool::with_workers(2)?;
        call(&pool, 100)?;
        Ok(())
    })
}

fn freight(fault: &Fault) -> Played {
    let pool = Pool::with_workers(1)?;
    let outcome = fault.during(|| -> Played {
        let slice = SharedSlice::from_slice(&[5_u32; 3000])?;
        let sums = pool.map_with(&slice, |slice: &SharedSlice<u32>, n: u32| slice[0] + n, 0..10);
        assert_eq!(checked(sums)?, (5..15).collect::<Vec<_>>());
        let long = pool.submit(|words: Vec<u32>| words, vec![1; 200_000])?;
        let file = std::fs::File::open("/dev/null")?;
        let passed = pool.submit(
            |file: procession_channel::Fd<std::fs::File>| file,
            procession_channel::Fd::new(file),
        );
        assert_eq!(checked(long.get())?.len(), 200_000);
        checked(passed?.get())?;
        Ok(())
    });
    assert_sound(&pool);
    outcome
}

fn respawn(fault: &Fault) -> Played {
    let pool = Pool::with_workers(1)?;
    call(&pool, 5)?;
    let outcome = fault.during(|| {
        let pid = pool.worker_pids().first().and_then(|&pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.ok_or("no worker")?, Signal::KILL)?;
        call(&pool, 50).or_else(|error| match error {
            // It was killed before the first item, or on it.
            TaskError::Died { .. } => call(&pool, 50),
            other => Err(other),
        })?;
        Ok(())
    });
    assert_sound(&pool);
    outcome
}

fn deadline(fault: &Fault) -> Played {
    let pool = Pool::with_workers(1)?;
    call(&pool, 5)?;
    let outcome = fault.during(|| {
        let job = pool.job().timeout(Duration::from_millis(5));
        checked(job.apply(|()| std::thread::sleep(Duration::from_secs(100)), ()))
    });
    assert!(outcome.is_err(), "it sleeps longer than it may");
    assert_sound(&pool);
    match outcome {
        Err(TaskError::TimedOut { .. }) => Ok(()),
        other => Ok(other?),
    }
}

fn turnover(fault: &Fault) -> Played {
    let pool = Pool::builder().workers(1).max_tasks_per_worker(2).build()?;
    Ok(fault.during(|| call(&pool, 6))?)
}

fn background(fault: &Fault) -> Played {
    let pool = Pool::with_workers(1)?;
    let outcome = fault.during(|| -> Played {
        let (done, told) = std::sync::mpsc::channel();
        let tasks = (0..3).map(|n| pool.submit(triple, n)).collect::<Result<Vec<_>, _>>()?;
        for task in tasks {
            let done = done.clone();
            task.on_done(move |result| drop(done.send(result)));
        }
        drop(done);
        let results: Vec<_> = told.iter().collect();
        assert_eq!(results.len(), 3, "each task is done once");
        results.into_iter().try_for_each(|result| checked(result).map(drop))?;
        Ok(())
    });
    assert_sound(&pool);
    outcome
}

fn shutdown(fault: &Fault) -> Played {
    let pool = Pool::with_workers(2)?;
    let task = pool.submit(triple, 4_u64)?;
    fault.during(|| pool.shutdown(Duration::from_secs(50)));
    match checked(task.get()) {
        Ok(value) => assert_eq!(value, 12),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn zygote(fault: &Fault) -> Played {
    fault.during(|| {
        let pool = Pool::builder().workers(1).start_method(StartMethod::Zygote).build()?;
        call(&pool, 20)?;
        Ok(())
    })
}
