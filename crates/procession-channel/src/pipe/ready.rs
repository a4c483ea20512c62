//! Ends among the things that somebody waits for: see [`wait_any`](procession_shm::wait_any).

use std::fmt;

use procession_shm::{Waitable, Watch};

use super::end::HasLine;
use super::inlet::Inlet;
use super::line::Patience;
use super::outlet::Outlet;
use super::{Connection, Receiver, SendErrorKind, Sender};

/// Ready when a receive would return at once, be it with a message, an error or the end of the stream.
impl<T> Waitable for Receiver<T> {
    fn is_ready(&self) -> bool {
        // One that is not here any more has an error to tell.
        self.end.with(|end| end.as_mut().is_none_or(has_news)).unwrap_or(true)
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let _moved = self.end.with(|end| {
            if let Some(inlet) = end {
                inlet.line().watch(watches);
            }
        });
    }

    fn unwatch(&self) {
        let _moved = self.end.with(|end| {
            if let Some(inlet) = end {
                inlet.line().unwatch();
            }
        });
    }
}

fn has_news(inlet: &mut Inlet) -> bool {
    !matches!(inlet.await_message(Patience::None), Ok(None))
}

/// As its [`receiver`](Connection::receiver).
impl<S, R> Waitable for Connection<S, R> {
    fn is_ready(&self) -> bool {
        self.receiver().is_ready()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        self.receiver().watch(watches);
    }

    fn unwatch(&self) {
        self.receiver().unwatch();
    }
}

/// A [`Sender`] to wait for until it has room: see [`Sender::room`].
///
/// ```
/// use std::time::Duration;
/// use procession_channel::pipe;
/// use procession_shm::{Waitable, wait_any};
///
/// let (sender, receiver) = pipe::simplex::<Vec<u8>>()?;
/// let room: pipe::Room<'_, Vec<u8>> = sender.room();
/// assert!(room.is_ready());
/// while sender.try_send(vec![0; 10_000]).is_ok() {}
/// assert!(wait_any(&[&room], Duration::ZERO)?.is_empty());
/// # drop(receiver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Room<'s, T> {
    sender: &'s Sender<T>,
}

impl<T> Sender<T> {
    /// The sender as something to wait for together with others: ready when half of the
    /// pipe is empty and no more than the usual number of handles are under way, or when a send would fail.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::pipe;
    /// use procession_shm::wait_any;
    ///
    /// let (sender, receiver) = pipe::simplex::<u64>()?;
    /// let ready = wait_any(&[&receiver, &sender.room()], Duration::from_secs(5))?;
    /// assert_eq!(ready.into_iter().collect::<Vec<_>>(), [1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn room(&self) -> Room<'_, T> {
        Room { sender: self }
    }
}

impl<T> Waitable for Room<'_, T> {
    fn is_ready(&self) -> bool {
        self.sender.end.with(|end| end.as_mut().is_none_or(has_room)).unwrap_or(true)
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let _moved = self.sender.end.with(|end| {
            if let Some(outlet) = end {
                outlet.line().watch(watches);
            }
        });
    }

    fn unwatch(&self) {
        let _moved = self.sender.end.with(|end| {
            if let Some(outlet) = end {
                outlet.line().unwatch();
            }
        });
    }
}

fn has_room(outlet: &mut Outlet) -> bool {
    !matches!(outlet.await_slack(Patience::None), Err(SendErrorKind::Full))
}

impl<T> fmt::Debug for Room<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
