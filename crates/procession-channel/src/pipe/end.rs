//! What both ends have in common: there is one of each in the world, it may be sent away, and it may be closed.
//!
//! | state | ways out |
//! |---|---|
//! | here | in a message, closed |
//! | in a message | gone when the message is sent, here again when it fails |
//! | gone | |
//! | closed | |
//!
//! Nothing but this crate's own code runs while an end is locked: values are encoded before and decoded after. So a value that
//! holds the very end through which it is sent is an error and no deadlock.

use procession_shm::transfer::{Moved, Sole, TransferError};

use super::line::Line;

/// What has a line to its peer.
pub(super) trait HasLine: Send + 'static {
    fn line(&self) -> &Line;
}

/// An end, until it is sent away or closed.
#[derive(Debug)]
pub(super) struct End<X: HasLine> {
    /// One thread at a time: two that receive would take each other's messages apart.
    place: Sole<Option<X>>,
}

impl<X: HasLine> End<X> {
    pub(super) fn new(end: X) -> Self {
        Self { place: Sole::new(Some(end)) }
    }

    /// Uses the end; `None` is one that is closed, and `work` closes it by taking it out.
    ///
    /// It is part of its caller, and so what `work` returns does not come back through memory.
    #[inline(always)]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Option<X>) -> R) -> Result<R, Moved> {
        self.place.with(|end| {
            if end.as_ref().is_some_and(|end| !end.line().is_here()) {
                return Err(Moved);
            }
            Ok(work(end))
        })?
    }

    pub(super) fn close(&self) {
        // One that is not here is not open here.
        let _moved = self.with(Option::take);
    }

    /// Puts the end into the message that is being encoded.
    pub(super) fn leave<P>(
        &self,
        handle: &'static str,
        write: impl FnOnce(&mut X) -> Result<P, TransferError>,
    ) -> Result<P, TransferError> {
        let write = |end: &mut Option<X>| {
            let end = end.as_mut().ok_or(TransferError::Closed { handle })?;
            if !end.line().is_here() {
                return Err(TransferError::Moved { handle });
            }
            write(end)
        };
        self.place.leave(handle, write, |end| {
            if let Some(end) = end {
                end.line().set_leaving();
            }
        })
    }
}
