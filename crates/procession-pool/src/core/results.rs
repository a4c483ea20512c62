//! Values of neighbouring items, where they lie in what a worker has sent.

use std::ops::Range;
use std::sync::Arc;

use procession_process::link::{RESULT_HEAD_LEN, parse_result_head};

/// Values of neighbouring items, still encoded. Several of these share one inbox, so nothing is copied to tell them apart.
#[derive(Debug)]
pub(crate) struct Results {
    inbox: Arc<Vec<u8>>,
    /// Where the head of the next one is.
    at: usize,
    /// Where the last one ends.
    end: usize,
    next: usize,
    left: usize,
}

impl Results {
    /// The `count` whole results that lie there, of the items from `first` on.
    pub(crate) fn new(
        inbox: Arc<Vec<u8>>,
        place: Range<usize>,
        first: usize,
        count: usize,
    ) -> Self {
        Self { inbox, at: place.start, end: place.end, next: first, left: count }
    }

    /// The memory that they lie in, if no others lie there, too.
    pub(crate) fn into_inbox(self) -> Option<Vec<u8>> {
        Arc::into_inner(self.inbox)
    }

    /// The item that the next one belongs to.
    pub(crate) fn first(&self) -> usize {
        self.next
    }

    /// How many bytes they have, with their heads.
    pub(crate) fn len(&self) -> usize {
        self.end - self.at
    }

    /// How many are left.
    pub(crate) fn count(&self) -> usize {
        self.left
    }

    /// Takes the next one: its item, and its bytes.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(usize, &[u8])> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.inbox.get(self.at..)?.split_first_chunk::<RESULT_HEAD_LEN>()?;
        let (_tag, len) = parse_result_head(*head);
        let item = self.next;
        self.next += 1;
        self.at += RESULT_HEAD_LEN + len.next_multiple_of(8);
        Some((item, rest.get(..len)?))
    }
}
