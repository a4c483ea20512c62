//! The one reactor of a model, whose thread the model itself drives.

use std::io;

use super::Reactor;

loom::lazy_static! {
    static ref REACTOR: Reactor = Reactor::new();
}

pub(super) fn reactor() -> Option<&'static Reactor> {
    Some(&REACTOR)
}

#[expect(clippy::unnecessary_wraps, reason = "in a process it can fail")]
pub(super) fn reactor_or_new() -> io::Result<&'static Reactor> {
    Ok(&REACTOR)
}

/// One turn of the reactor, whose thread is one of the model's.
pub fn turn_reactor() {
    REACTOR.turn();
}

#[expect(clippy::unnecessary_wraps, reason = "in a process it can fail")]
pub(super) fn start(_reactor: &'static Reactor) -> io::Result<()> {
    Ok(())
}
