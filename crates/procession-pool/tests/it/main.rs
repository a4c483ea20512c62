//! Attempts to break the pool: deaths, deadlines, bad input, abuse, hostile workers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[macro_use]
extern crate skips;

mod program;

mod async_streams;
mod bad_input;
mod breakdown;
mod cancel;
mod cgroup;
mod chaos;
mod chunks;
mod contexts;
mod crashes;
mod ears;
mod foreign_proc;
mod forks;
mod futures;
mod group;
mod guard;
mod handles;
mod hostile;
mod idle;
mod inline;
mod insights;
mod ledger;
mod lifecycle;
mod long;
mod model;
mod oddities;
mod other_program;
mod places;
mod priorities;
mod resources;
mod retries;
mod sandbox;
mod scribbler;
mod soup;
mod starting;
mod streams;
mod suspended;
mod timeouts;

mod traces;
mod trap;
mod turnover;
mod zygote;
