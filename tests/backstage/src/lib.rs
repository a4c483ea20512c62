//! What the tests of several crates are staged with. It knows nothing of the crates that they test.
//!
//! * [`allocator`]: what a piece of work takes from the allocator.
//! * [`executor`]: futures without a runtime.
//! * [`packets`]: what a test and the processes that it directs say to each other, with descriptors.
//! * [`holdings`]: what a process holds, to see that it comes back.
//! * [`lingering`]: a socket that takes its time to be closed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![expect(clippy::missing_panics_doc, reason = "to panic is how a test fails")]

pub mod allocator;
pub mod executor;
pub mod holdings;
pub mod lingering;
pub mod packets;
