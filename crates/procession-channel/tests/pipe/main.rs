//! Pipes: messages, ends that travel, handles in messages, processes that die.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod awaited;
mod budget;
mod bytes;
mod deaths;
mod forks;
mod handles;
mod hostile;
#[path = "../limit/mod.rs"]
mod limit;
mod messages;
mod processes;
mod program;
mod ready;
mod stage;
mod stopped;
mod travel;
mod trusting;
