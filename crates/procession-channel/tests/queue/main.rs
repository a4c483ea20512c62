//! Queues within one process: values, limits, ends, handles in them. Those between processes are tested where processes are
//! started.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod awaited;
mod claims;
mod ends;
mod forks;
mod handles;
#[path = "../limit/mod.rs"]
mod limit;
mod machine;
mod threads;
mod values;
