//! Receiving in a `for` loop.

use super::{Connection, Receiver, RecvError};
use crate::Message;

/// The messages of a [`Receiver`] that it owns. See there.
///
/// ```
/// use procession_channel::pipe;
///
/// let (sender, receiver) = pipe::simplex()?;
/// std::thread::spawn(move || (1..4).try_for_each(|n| sender.send(n)));
/// let messages: pipe::IntoIter<u64> = receiver.into_iter();
/// assert_eq!(messages.sum::<Result<u64, _>>()?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
    is_over: bool,
}

/// The messages of a [`Receiver`] or [`Connection`] that it borrows.
///
/// ```
/// use procession_channel::pipe;
///
/// let (sender, receiver) = pipe::simplex()?;
/// sender.send(1)?;
/// sender.send(2)?;
/// let mut messages: pipe::Iter<'_, u64> = (&receiver).into_iter();
/// assert_eq!(messages.next().unwrap()?, 1);
/// assert_eq!(receiver.recv()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
    is_over: bool,
}

impl<T: Message> Iterator for IntoIter<T> {
    type Item = Result<T, RecvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        next(&self.receiver, &mut self.is_over)
    }
}

impl<T: Message> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        next(self.receiver, &mut self.is_over)
    }
}

#[inline]
fn next<T: Message>(receiver: &Receiver<T>, is_over: &mut bool) -> Option<Result<T, RecvError>> {
    if *is_over {
        return None;
    }
    pick(receiver.recv(), is_over)
}

#[inline]
pub(super) fn pick<T>(
    received: Result<T, RecvError>,
    is_over: &mut bool,
) -> Option<Result<T, RecvError>> {
    match received {
        Ok(message) => Some(Ok(message)),
        Err(error) => pick_error(error, is_over).map(Err),
    }
}

/// An error after which every receive fails, or may fail, comes once, so that a loop that goes on after errors ends.
#[cold]
fn pick_error(error: RecvError, is_over: &mut bool) -> Option<RecvError> {
    *is_over = !matches!(error, RecvError::Decode(_) | RecvError::Untrusted(_));
    (!matches!(error, RecvError::Closed)).then_some(error)
}

impl<T: Message> IntoIterator for Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self, is_over: false }
    }
}

impl<'a, T: Message> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        Iter { receiver: self, is_over: false }
    }
}

impl<'a, S, R: Message> IntoIterator for &'a Connection<S, R> {
    type Item = Result<R, RecvError>;
    type IntoIter = Iter<'a, R>;

    fn into_iter(self) -> Iter<'a, R> {
        self.receiver().into_iter()
    }
}
