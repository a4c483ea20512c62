//! The crate as its users see it: launching from tests that the harness runs on many threads, and
//! from programs in every kind of trouble.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[macro_use]
extern crate skips;

mod role;

mod builder;
mod cgroup;
mod constructors;
mod descriptors;
mod ending;
mod environment;
mod foreign_proc;
mod fork;
mod futures;
mod handles;

mod hostile;
mod inline;
mod launch;
mod lifecycle;
mod lifetime;
mod lineage;
mod long;
mod nth_call;
mod other_program;
mod process;
mod refused;
mod sandbox;
mod status;
mod terminal;
mod zygote;
mod zygote_steps;
