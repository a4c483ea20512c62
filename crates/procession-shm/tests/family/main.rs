//! Families of real processes: they join, leave, stop, fork, run other programs and are killed.
//!
//! Each test directs actors: copies of this test binary that do one thing at a time as told over a socket, so that a test
//! knows at which step each process is when it is killed. Each test has a family of its own, whose root is an actor too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped must be seen")]

#[macro_use]
extern crate skips;

mod stage;

mod actor;
mod crowds;
mod denied;
mod forks;
mod inviters;
mod lives;

/// Not a test: the process that the tests start, many times over.
#[test]
#[ignore = "the process that the other tests start"]
fn actor() {
    actor::act();
}
