//! What the primitives promise: within one process, and between processes that are stopped and killed.

#![cfg(not(procession_loom))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
extern crate skips;

mod stage;

mod awaited;
mod barrier;
mod condvar;
mod deaths;
mod ended;
mod event;
mod forks;
mod machine;
mod mutex;
mod once;
mod player;
mod ready;
mod rwlock;
mod semaphore;
mod wide;

/// Not a test: the process that the tests start, many times over.
#[test]
#[ignore = "the process that the other tests start"]
fn player() {
    stage::play();
}

/// Not a test: the root of a family that does not outlive it.
#[test]
#[ignore = "the process that the other tests start"]
fn director() {
    stage::direct();
}
