//! The memory of a ring that processes share. A model has its ring on the heap instead.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use procession_shm::sync::atomic::Ordering;
use procession_shm::{Mapping, Segment, SegmentError};

use super::frame::HEADER_LEN;
use super::store::Bytes;

/// The bytes of a ring in shared memory.
#[derive(Debug)]
pub(super) struct Store {
    mapping: Mapping,
    memory: Arc<OwnedFd>,
}

impl Store {
    pub(super) fn over(segment: Segment) -> Result<Self, SegmentError> {
        let mapping = segment.map_sparse()?;
        Ok(Self { mapping, memory: Arc::new(segment.into_fd()) })
    }

    /// Takes over memory that another process made, which is trusted to keep to the rules.
    pub(super) fn received(memory: Arc<OwnedFd>, len: usize) -> Result<Self, SegmentError> {
        let mapping = Segment::map_sparse_from(&memory, len)?;
        Ok(Self { mapping, memory })
    }

    pub(super) fn memory(&self) -> &Arc<OwnedFd> {
        &self.memory
    }
}

impl Bytes for Store {
    #[inline]
    fn write(&self, offset: usize, bytes: &[u8]) {
        self.mapping.write(offset, bytes);
    }

    #[inline]
    fn read(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        self.mapping.read(offset, len, out);
    }

    #[inline]
    fn header(&self, offset: usize) -> [u8; HEADER_LEN] {
        // Ordered by the locks; the load is atomic only so that it is one.
        self.mapping.atomic_u64(offset).load(Ordering::Relaxed).to_ne_bytes()
    }

    fn claim(&self, range: Range<usize>) -> Result<(), SegmentError> {
        Segment::claim(&self.memory, range)
    }
}
