//! What a lock is around in a model.

use loom::cell::UnsafeCell;
use procession_shm::sync::atomic::{AtomicU32, Ordering};

/// Two numbers that are equal whenever nobody writes them. Between the two there is a step at which a writer can die.
pub(super) struct Pair {
    one: UnsafeCell<u32>,
    two: AtomicU32,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self { one: UnsafeCell::new(0), two: AtomicU32::new(0) }
    }

    /// Both numbers; loom fails the model if somebody writes meanwhile.
    pub(super) fn read(&self) -> (u32, u32) {
        // SAFETY: loom itself checks that nobody writes.
        (self.one.with(|one| unsafe { *one }), self.two.load(Ordering::Relaxed))
    }

    /// Makes both `number`; loom fails the model if anybody is here meanwhile.
    pub(super) fn write(&self, number: u32) {
        // SAFETY: loom itself checks that nobody else is here.
        self.one.with_mut(|one| unsafe { *one = number });
        self.two.store(number, Ordering::Relaxed);
    }

    /// Adds one to both, which must be equal.
    pub(super) fn count(&self) {
        let (one, two) = self.read();
        assert_eq!(one, two, "a torn value was handed out");
        self.write(one + 1);
    }
}
