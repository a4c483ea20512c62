//! What is in flight: chunks of items, and what comes back for them.

use std::ops::Range;
use std::sync::Arc;

use procession_channel::Message;
use procession_channel::codec::{Limits, decode, decode_owned};
use procession_process::link::Frame;
use procession_shm::transfer::Trust;

use super::results::Results;
use crate::error::TaskError;
use crate::parcel::Parcel;

/// Identifies a call of the pool: one `map`, one `imap`, one submitted task.
pub(crate) type CallId = u64;

/// Neighbouring items of one call, encoded, on their way to a worker or there.
///
/// The pool keeps it until each of its items has an outcome, so that what a dead worker had not started goes to another.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) call: CallId,
    /// Index in the input of the first item of the frame.
    pub(crate) first: usize,
    /// How many items have an outcome.
    pub(crate) done: usize,
    pub(crate) frame: Arc<Frame>,
    /// Where its frame ends in the ring of tasks of the worker that has it, counted from the beginning of time.
    pub(crate) end: u64,
    /// How many workers died that had it first in line and had not begun it.
    pub(crate) bereaved: u32,
    /// The errors of earlier tries; a chunk that has any has one item.
    pub(crate) attempts: Vec<TaskError>,
}

impl Chunk {
    pub(crate) fn new(call: CallId, first: usize, frame: Frame) -> Self {
        Self { call, first, ..Self::of_errand(call, Arc::new(frame)) }
    }

    /// Whether it has handles.
    pub(crate) fn has_handles(&self) -> bool {
        // Those that were moved are not here any more.
        !self.frame.handles().is_empty() || self.is_moved()
    }

    /// Whether it must go to one worker only: a handle in it can have only one owner.
    pub(crate) fn is_moved(&self) -> bool {
        self.frame.handles().is_moved()
    }

    /// An errand, whose frame all workers share.
    pub(crate) fn of_errand(call: CallId, frame: Arc<Frame>) -> Self {
        Self { call, first: 0, done: 0, frame, end: 0, bereaved: 0, attempts: Vec::new() }
    }

    /// How many items have no outcome yet.
    pub(crate) fn left(&self) -> usize {
        self.frame.count() - self.done
    }

    /// Index in the input of the first item without an outcome.
    pub(crate) fn next_item(&self) -> usize {
        self.first + self.done
    }

    /// The indices in the input of the items without an outcome.
    pub(crate) fn items_left(&self) -> Range<usize> {
        self.next_item()..self.first + self.frame.count()
    }

    /// Those of the items in `range` (counted from the first item of the frame) as a chunk of their own.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self {
            call: self.call,
            first: self.first + range.start,
            done: 0,
            frame: Arc::new(self.frame.part(range.start, range.end)),
            end: 0,
            bereaved: if range.start == self.done { self.bereaved } else { 0 },
            attempts: self.attempts.clone(),
        }
    }

    /// The first item without an outcome alone, to be tried again after `error`.
    pub(crate) fn retry_of_next(&self, error: TaskError) -> Self {
        let mut retry = self.part(self.done..self.done + 1);
        retry.bereaved = 0;
        retry.attempts.push(error);
        retry
    }
}

/// Outcomes on their way to whoever made the call.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Neighbouring items have values.
    Results(Results),
    /// One item has a value that came alone and is short.
    Short { item: usize, value: Short },
    /// One item has a value that is long or came alone, encoded in memory of its own.
    Single { item: usize, body: Vec<u8> },
    /// One item has a value with handles.
    WithHandles { item: usize, parcel: Parcel },
    /// One item has none, finally.
    Failed { item: usize, error: TaskError },
}

/// How many bytes a short value has at most: what the other outcomes take up, too.
const SHORT_MAX: usize = 48;

/// An encoded value that needs no memory of its own.
#[derive(Debug)]
pub(crate) struct Short {
    bytes: [u8; SHORT_MAX],
    len: u8,
}

impl Short {
    /// A copy of `body`, if that is short.
    #[inline]
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_MAX];
        bytes.get_mut(..body.len())?.copy_from_slice(body);
        #[expect(clippy::cast_possible_truncation, reason = "at most SHORT_MAX")]
        let len = body.len() as u8;
        Some(Self { bytes, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Delivery {
    /// The outcome, if it is that of one item. `trust` is what workers are trusted to do.
    pub(crate) fn into_result<R: Message>(self, trust: Trust) -> Option<Result<R, TaskError>> {
        Some(match self {
            Self::Results(_) => return None,
            Self::Short { item, value } => decode::<R>(value.bytes(), &Limits::DEFAULT)
                .map_err(|error| TaskError::decode(item, &error)),
            Self::Single { item, body } => decode_owned::<R>(body, &Limits::DEFAULT)
                .map_err(|error| TaskError::decode(item, &error)),
            Self::WithHandles { item, parcel } => parcel.decode(item, trust),
            Self::Failed { error, .. } => Err(error),
        })
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    pub(crate) fn first(&self) -> usize {
        match self {
            Self::Results(results) => results.first(),
            Self::Short { item, .. }
            | Self::Single { item, .. }
            | Self::WithHandles { item, .. }
            | Self::Failed { item, .. } => *item,
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Results(results) => results.count(),
            Self::Short { .. }
            | Self::Single { .. }
            | Self::WithHandles { .. }
            | Self::Failed { .. } => 1,
        }
    }

    /// The items that have them.
    pub(crate) fn items(&self) -> Range<usize> {
        self.first()..self.first() + self.count()
    }

    /// How many bytes its values have.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Results(results) => results.len(),
            Self::Short { value, .. } => value.bytes().len(),
            Self::Single { body, .. } => body.len(),
            Self::WithHandles { parcel, .. } => parcel.body.len(),
            Self::Failed { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_kept_as_it_is_and_what_is_not_is_left() {
        for len in [0, 1, SHORT_MAX] {
            let body: Vec<u8> = (7..).take(len).collect();
            assert_eq!(Short::of(&body).unwrap().bytes(), body);
        }
        assert!(Short::of(&[7; SHORT_MAX + 1]).is_none());
        assert!(Short::of(&[7; 300]).is_none());
    }

    #[test]
    fn a_short_value_takes_up_no_more_than_an_error_does() {
        assert!(size_of::<Short>() < size_of::<TaskError>());
    }
}
