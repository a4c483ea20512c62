//! What goes beside the bytes of an item: the descriptors of the handles in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use procession_shm::transfer::Outgoing;

use super::DESCRIPTORS_MAX;

/// What goes beside the bytes of an item or a context, kept so that it can be sent again.
#[derive(Debug, Clone, Default)]
pub struct Handles {
    descriptors: Vec<Arc<OwnedFd>>,
    needs_family: bool,
    is_moved: bool,
}

/// A value has more handles than can go beside one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has {count} file descriptors, over the limit of {DESCRIPTORS_MAX} for one item: send it in parts"
)]
pub struct TooManyHandles {
    /// How many descriptors it has.
    pub count: usize,
}

impl Handles {
    /// Takes over the handles of a value that was encoded: from now on they are not the caller's any more.
    ///
    /// # Errors
    ///
    /// [`TooManyHandles`]; the caller's handles are usable again then.
    #[inline]
    pub fn take(outgoing: Outgoing) -> Result<Self, TooManyHandles> {
        let count = outgoing.descriptors().len();
        if count == 0 {
            return Ok(Self::default());
        }
        if count > DESCRIPTORS_MAX {
            return Err(TooManyHandles { count });
        }
        let (needs_family, is_moved) = (outgoing.needs_family(), outgoing.is_moving());
        Ok(Self { descriptors: outgoing.into_descriptors(), needs_family, is_moved })
    }

    /// The descriptors alone, for who has made them for this.
    pub(super) fn of(descriptors: impl IntoIterator<Item = OwnedFd>) -> Self {
        let descriptors = descriptors.into_iter().map(Arc::new).collect();
        Self { descriptors, needs_family: false, is_moved: true }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether the receiver has to be in the family of this process.
    pub fn needs_family(&self) -> bool {
        self.needs_family
    }

    /// Whether one of them can have only one owner, so that they must not be sent twice.
    pub fn is_moved(&self) -> bool {
        self.is_moved
    }

    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.descriptors.iter().map(|fd| fd.as_fd()).collect()
    }

    /// Closes them here. What they are is remembered.
    pub(super) fn let_go(&mut self) {
        self.descriptors.clear();
    }

    /// Has them again.
    pub(super) fn regain(&mut self, descriptors: Vec<OwnedFd>) {
        self.descriptors = descriptors.into_iter().map(Arc::new).collect();
    }
}
