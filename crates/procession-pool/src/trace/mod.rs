//! Spans and events of worker code, told again in the caller's process.
//!
//! The thread of a worker that runs items has a subscriber of its own ([`mod@forward`]), which writes each event and span as a packet
//! into a socket to the parent. Whoever drives the pool reads these before it takes results, and once the pool's lock is free
//! tells them again ([`retell::Telling`]), in that order ([`mod@order`]): under the span that was current where the call was made, to the subscriber that was current
//! there. Of each place in the code the parent makes a call site of its own ([`site`]), so that name, target, level and fields
//! are what they were.
//!
//! Rejected: the ring of results. A subscriber is called in the middle of an item, when that ring is in use; and what would
//! be kept until the end of the item is lost when it crashes, which is when it is wanted most. A packet is in the kernel as soon
//! as it is sent, and outlives its sender.
//! Rejected: a socket of datagrams. Each may name another receiver, and so reach whoever has a socket on this machine, whatever the
//! worker's sandbox forbids.
//!
//! # What bounds it
//!
//! * A worker that says too much, or faster than its parent listens, waits for a moment, drops the rest and says how much that
//!   was.
//! * The socket bounds what lies between them. The parent reads so many packets at a time, and takes a worker that
//!   sends many times more than an honest one would for one that writes nonsense.
//! * A worker that sends descriptors is taken for one that writes nonsense, and they are closed on a thread.
//! * Open spans of a worker, call sites and the lengths of what is in them are bounded; what is beyond is dropped.

mod forward;
mod order;
mod record;
mod retell;
mod site;

use std::time::{Duration, Instant};

use tracing::Level;
use tracing::level_filters::LevelFilter;

pub(crate) use forward::forward;
pub(crate) use order::{Batch, Heard, Order};
pub(crate) use retell::{Ear, Origin, Telling};

/// How many packets an honest worker sends in a [`WINDOW`] at most.
const SAID_MAX: u32 = 10_000;

/// How many of a worker are heard in it before it is not believed any more. Both sides measure by their own windows.
const HEARD_MAX: u32 = 4 * SAID_MAX;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts what happens within a time.
#[derive(Debug)]
struct Throttle {
    since: Instant,
    count: u32,
}

impl Throttle {
    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    /// Takes note of one more; false if that is more than `max`.
    fn allows(&mut self, max: u32) -> bool {
        if self.since.elapsed() >= WINDOW {
            *self = Self::new();
        }
        self.count += 1;
        self.count <= max
    }
}

/// Which events somebody in this process wants, as a number from 0 for none to 5 for all.
pub(crate) fn verbosity() -> u64 {
    LevelFilter::current().into_level().map_or(0, |level| u64::from(number(level)))
}

/// 1 for errors, and so on to 5.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}
