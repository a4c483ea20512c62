//! Workers that are forked.

use std::sync::OnceLock;

use procession_pool::{Pool, PoolError, TaskError};
use procession_process::{SpawnError, StartMethod};
use rustix::process::Signal;

use super::guard::{eventually, guarded};
use super::idle::kill;

static LOADED: OnceLock<u32> = OnceLock::new();

fn load() {
    LOADED.get_or_init(std::process::id);
}

/// Who preloaded for this worker, and the worker's parent: both are the zygote.
fn zygotes(_: u32) -> (u32, u32) {
    (LOADED.get().copied().unwrap_or_default(), std::os::unix::process::parent_id())
}

fn pool() -> Pool {
    Pool::builder().workers(2).start_method(StartMethod::Zygote).preload(load).build().unwrap()
}

#[test]
fn workers_find_what_was_preloaded() {
    needs_pidfds!();
    guarded(|| {
        let pool = pool();
        let seen = pool.map(zygotes, 0..20).unwrap();
        assert!(seen.iter().all(|(loaded, parent)| loaded == parent && *loaded != 0), "{seen:?}");
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        assert_eq!(LOADED.get(), None);
    });
}

#[test]
fn the_death_of_a_worker_or_of_the_zygote_costs_one_item_for_each_worker() {
    needs_pidfds!();
    guarded(|| {
        let pool = pool();
        let abort = |n: u32| if n == 5 { std::process::abort() } else { n };
        let results: Vec<_> = pool.imap(abort, 0..20).collect();
        assert!(matches!(results[5], Err(TaskError::Died { item: 5, .. })), "{:?}", results[5]);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 19);
        let (zygote, _) = pool.apply(zygotes, 0).unwrap();
        kill(zygote, Signal::KILL);
        let results: Vec<_> = pool.job().retries(3).imap(|n: u32| n + 1, 0..100).collect();
        assert!((1..=100).eq(results.into_iter().map(Result::unwrap)));
        // Its workers die with it, one by one: until then one of them may still answer.
        let job = pool.job().retries(3);
        eventually("a new zygote", || job.apply(zygotes, 0).unwrap().0 != zygote);
    });
}

#[test]
fn a_preload_function_that_panics_is_an_error() {
    needs_pidfds!();
    let builder = Pool::builder().workers(1).start_method(StartMethod::Zygote);
    let panicked = builder.preload(|| panic!("no model")).build().unwrap_err();
    assert!(matches!(&panicked, PoolError::Spawn(SpawnError::Preload { .. })), "{panicked:?}");
}
