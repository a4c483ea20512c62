//! Getting in a `for` loop.

use super::{Getter, Queue, RecvError};
use crate::Message;

/// The items of a queue or getter that it owns. It ends when the queue is closed, or when nobody is left who could put, and all
/// was got; and after an error that is not of one item, which comes once.
///
/// ```
/// use procession_channel::queue::{IntoIter, Queue};
///
/// let queue = Queue::new()?;
/// queue.put_many([1, 2, 3])?;
/// queue.close();
/// let items: IntoIter<u64> = queue.into_iter();
/// assert_eq!(items.sum::<Result<u64, _>>()?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    getter: Getter<T>,
    is_over: bool,
}

/// The items of a queue or getter that it borrows. It ends as [`IntoIter`] does.
///
/// ```
/// use procession_channel::queue::{Iter, Queue};
///
/// let queue = Queue::new()?;
/// queue.put_many([1, 2])?;
/// let mut items: Iter<'_, u64> = (&queue).into_iter();
/// assert_eq!(items.next().unwrap()?, 1);
/// assert_eq!(queue.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    getter: &'a Getter<T>,
    is_over: bool,
}

impl<T: Message> Iterator for IntoIter<T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        next(&self.getter, &mut self.is_over)
    }
}

impl<T: Message> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        next(self.getter, &mut self.is_over)
    }
}

fn next<T: Message>(getter: &Getter<T>, is_over: &mut bool) -> Option<Result<T, RecvError>> {
    if *is_over {
        return None;
    }
    pick(getter.get(), is_over)
}

/// An error after which every get fails, or may fail, comes once, so that a loop that goes on after errors ends.
pub(super) fn pick<T>(
    got: Result<T, RecvError>,
    is_over: &mut bool,
) -> Option<Result<T, RecvError>> {
    *is_over = !matches!(got, Ok(_) | Err(RecvError::Decode(_)));
    match got {
        Err(RecvError::Closed | RecvError::Disconnected) => None,
        other => Some(other),
    }
}

macro_rules! into_iter {
    ($handle:ident, $getter:ident => $owned:expr, $borrowed:expr) => {
        impl<T: Message> IntoIterator for $handle<T> {
            type Item = Result<T, RecvError>;
            type IntoIter = IntoIter<T>;

            fn into_iter(self) -> IntoIter<T> {
                let $getter = self;
                IntoIter { getter: $owned, is_over: false }
            }
        }

        impl<'a, T: Message> IntoIterator for &'a $handle<T> {
            type Item = Result<T, RecvError>;
            type IntoIter = Iter<'a, T>;

            fn into_iter(self) -> Iter<'a, T> {
                let $getter = self;
                Iter { getter: $borrowed, is_over: false }
            }
        }
    };
}

into_iter!(Getter, getter => getter, getter);
into_iter!(Queue, queue => queue.getter.clone(), &queue.getter);
