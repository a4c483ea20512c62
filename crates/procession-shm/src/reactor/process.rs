//! The one reactor of this process, and its thread.

use std::io;

use super::Reactor;
use crate::fork::PerProcess;
use crate::quiet;

static REACTOR: PerProcess<Reactor> = PerProcess::new();

/// The reactor, if this very process has one.
pub(super) fn reactor() -> Option<&'static Reactor> {
    REACTOR.get()
}

pub(super) fn reactor_or_new() -> io::Result<&'static Reactor> {
    REACTOR.get_or_try_init(|| Ok(Reactor::new()))
}

pub(super) fn start(reactor: &'static Reactor) -> io::Result<()> {
    let forever = || {
        loop {
            reactor.turn();
        }
    };
    quiet::spawn("procession-async", forever).map(drop)
}
