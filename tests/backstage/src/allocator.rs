//! How much a piece of work takes from the allocator.
//!
//! A test that asks makes it its own: `#[global_allocator] static ALLOCATOR: Counting = Counting;`.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with an account for each thread.
#[derive(Debug)]
pub struct Counting;

fn count(allocated: usize, freed: usize) {
    let live = (LIVE_BYTES.get() + allocated).saturating_sub(freed);
    LIVE_BYTES.set(live);
    PEAK_BYTES.set(PEAK_BYTES.get().max(live));
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every call goes to `System` as it came; counting touches only const-initialised thread locals without destructors,
// which do not allocate. `realloc` and `alloc_zeroed` keep their default, which go through these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most bytes that were live at once during `work`, beyond those live before it, and the calls to the allocator; of this
/// thread, in a program whose allocator is [`Counting`].
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let (live, calls) = (LIVE_BYTES.get(), CALLS.get());
    PEAK_BYTES.set(live);
    let result = work();
    (result, PEAK_BYTES.get() - live, CALLS.get() - calls)
}
