//! What models of rings run on: a ring on the heap, whose cells loom watches for races.

use loom::cell::UnsafeCell;
use procession_shm::sync::atomic::{AtomicU64, Ordering};

use crate::ring::Memory;

/// A ring of bytes, as `Ring` is one in a mapping.
pub(crate) struct RingOnHeap {
    pub(crate) tail: AtomicU64,
    head: AtomicU64,
    hints: [AtomicU64; 7],
    cells: Vec<UnsafeCell<u8>>,
}

// SAFETY: the cells are only accessed as the ring's protocol allows, which is what the models check.
unsafe impl Sync for RingOnHeap {}
// SAFETY: as for Sync.
unsafe impl Send for RingOnHeap {}

impl RingOnHeap {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
            hints: std::array::from_fn(|_| AtomicU64::new(0)),
            cells: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    /// The published end of what was written, as somebody sees it who comes after all others.
    pub(crate) fn published(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    fn cell(&self, at: u64) -> &UnsafeCell<u8> {
        &self.cells[usize::try_from(at).unwrap() % self.cells.len()]
    }
}

impl Memory for &RingOnHeap {
    fn tail(&self) -> &AtomicU64 {
        &self.tail
    }

    fn head(&self) -> &AtomicU64 {
        &self.head
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        for (at, &byte) in (at..).zip(bytes) {
            // SAFETY: loom fails the model if anybody else has the cell.
            self.cell(at).with_mut(|cell| unsafe { *cell = byte });
        }
    }

    fn read(&self, at: u64, len: usize, out: &mut Vec<u8>) {
        for at in at..at + len as u64 {
            // SAFETY: loom fails the model if anybody writes the cell.
            out.push(self.cell(at).with(|cell| unsafe { *cell }));
        }
    }

    fn read_to(&self, at: u64, out: &mut [u8]) {
        let mut bytes = Vec::new();
        self.read(at, out.len(), &mut bytes);
        out.copy_from_slice(&bytes);
    }

    fn hint(&self, index: usize) -> &AtomicU64 {
        &self.hints[index]
    }
}
