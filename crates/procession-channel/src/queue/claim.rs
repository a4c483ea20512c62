//! An item that was taken and is not gone.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::body::Seat;
use super::claims;
use super::get::Ticket;

/// An item of a queue that others do not get, unless this is dropped before it is [`done`](Self::done), or its process dies:
/// then the item is offered again, before all others.
///
/// The item stays in the memory of the queue, and counts as one of its items, until it is done.
///
/// ```
/// use procession_channel::queue::Queue;
///
/// let queue = Queue::new()?;
/// queue.put_many([1, 2])?;
/// let first = queue.claim()?;
/// assert_eq!((*first, *queue.claim()?), (1, 2)); // dropping the second offers it again
/// assert_eq!(first.done(), 1);
/// assert_eq!(queue.get()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it offers the item again"]
pub struct Claim<T> {
    value: T,
    open: OpenClaim,
}

struct OpenClaim {
    seat: Arc<Seat>,
    ticket: Ticket,
    is_done: bool,
}

impl<T> Claim<T> {
    pub(super) fn new(seat: Arc<Seat>, ticket: Ticket, value: T) -> Self {
        Self { value, open: OpenClaim { seat, ticket, is_done: false } }
    }

    /// Ends the claim: the item is gone, and counts as done for [`join`](super::Queue::join). Gives out the value.
    ///
    /// It blocks while another process is in the middle of an operation of its own on the queue.
    ///
    /// ```
    /// let queue = procession_channel::queue::Queue::new()?;
    /// queue.put(7)?;
    /// let claim = queue.claim()?;
    /// assert_eq!(queue.len(), 1);                           // it is not gone before it is done
    /// assert_eq!(claim.done(), 7);
    /// assert!(queue.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn done(mut self) -> T {
        self.open.is_done = true;
        self.value
    }
}

/// Ends a claim. It fails in a process that is not the claimer, whose claim it leaves alone.
pub(super) fn end(seat: &Seat, ticket: Ticket, is_done: bool) {
    let Ok(me) = seat.me() else { return };
    if !seat.body.end_claim(me, ticket, is_done) {
        return;
    }
    let control = &*seat.body.control;
    if !is_done {
        return control.not_empty.wake_one();
    }
    control.not_full.wake_all();
    control.finished.wake_all();
    if claims::is_empty(control) {
        // It may be the end.
        control.not_empty.wake_all();
    }
}

impl<T> Deref for Claim<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Drop for OpenClaim {
    fn drop(&mut self) {
        end(&self.seat, self.ticket, self.is_done);
    }
}

impl<T: fmt::Debug> fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.value).finish()
    }
}
