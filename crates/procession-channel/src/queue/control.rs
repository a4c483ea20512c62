//! The words of a queue.
//!
//! # Layout
//!
//! | line of 128 bytes | words | changed by |
//! |---|---|---|
//! | settings | capacity, items, longest message | nobody |
//! | state | `window`, `closed`, `travels` | see below |
//! | `put` | the lock of those who put; `tail`; `head_seen`, a lower bound of `head` | under that lock |
//! | `get` | the lock of those who get; `cursor`, `taker`, `counted`, `claims_end`; `tail_seen`, a lower bound of `tail`; `head`: what can be written over | under that lock |
//! | turns, a line each | where sleepers sleep: `not_empty`, `not_full`, `finished` | all |
//! | `claims` | 64 cells of two words | under the lock of those who get |
//! | `holders` | two words for each member of the family | under the lock of those who get |
//!
//! `window` is changed under both locks, `closed` under that of those who put, `travels` only from 0 to 1. Processors fetch cache
//! lines in pairs, so what two sides use lies 128 bytes apart. What is changed under a lock is in the same 64 bytes as the lock:
//! whoever takes it from another processor gets all of it at once, and waits once.

use std::ops::Deref;

#[cfg(not(procession_loom))]
use procession_shm::Shareable;
use procession_shm::family::MEMBERS_MAX;
use procession_shm::sync::atomic::{AtomicU32, AtomicU64};
use procession_sync::parts::{Lock, Turn};

/// How many items can be claimed and not done at a time.
#[cfg(not(procession_loom))]
pub(super) const CLAIMS_MAX: u32 = 64;
#[cfg(procession_loom)]
pub(super) const CLAIMS_MAX: u32 = 2;

/// What the bytes of frames are counted in.
pub(super) const GRANULE: usize = 8;

/// The lower half of a word.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(super) fn low(word: u64) -> u32 {
    word as u32
}

/// How far a queue has come: bytes (in granules) and items, each counted from the beginning and wrapping around.
///
/// Both are in one word, so that one store commits both. What can be asked of two places is their distance, which is far
/// below where a count wraps: a ring has at most 2^31 granules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u64);

impl Place {
    /// The byte from the beginning, modulo a power of two that every window divides.
    pub(super) fn byte(self) -> usize {
        self.granules() as usize * GRANULE
    }

    pub(super) fn items(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn granules(self) -> u32 {
        low(self.0)
    }

    /// The place `len` bytes, a multiple of the granule, and `items` items behind this one.
    pub(super) fn after(self, len: usize, items: u32) -> Self {
        let granules = self.granules().wrapping_add(low((len / GRANULE) as u64));
        Self::new(granules, self.items().wrapping_add(items))
    }

    /// How many bytes lie between `earlier` and this place.
    pub(super) fn bytes_since(self, earlier: Self) -> usize {
        self.granules().wrapping_sub(earlier.granules()) as usize * GRANULE
    }

    /// How many items lie between `earlier` and this place.
    pub(super) fn items_since(self, earlier: Self) -> u32 {
        self.items().wrapping_sub(earlier.items())
    }

    /// The bytes of this place, with so many items less.
    pub(super) fn with_items(self, items: u32) -> Self {
        Self::new(self.granules(), items)
    }

    fn new(granules: u32, items: u32) -> Self {
        Self(u64::from(items) << 32 | u64::from(granules))
    }
}

/// What was decided when the queue was made.
#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Settings {
    /// The largest window: a power of two.
    pub(super) capacity: u64,
    /// The most items; `u32::MAX` if only bytes are counted.
    pub(super) items_max: u32,
    /// The longest message in bytes.
    pub(super) len_max: u64,
}

/// A value that shares its cache lines with no other.
#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// All words of a queue.
#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct Control {
    pub(super) settings: Apart<Settings>,
    pub(super) state: Apart<State>,
    pub(super) put: Apart<Put>,
    pub(super) get: Apart<Get>,
    /// Where those sleep who want an item.
    pub(super) not_empty: Apart<Turn>,
    /// Where those sleep who want room.
    pub(super) not_full: Apart<Turn>,
    /// Where those sleep who want all to be done.
    pub(super) finished: Apart<Turn>,
    pub(super) claims: [ClaimCell; CLAIMS_MAX as usize],
    pub(super) holders: [HolderCell; MEMBERS_MAX as usize],
}

#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct State {
    /// How many bytes of the ring are in use: a power of two, which grows.
    pub(super) window: AtomicU64,
    /// 1: no item comes any more.
    pub(super) closed: AtomicU32,
    /// 1: a handle was in a message, so that its end is not always that of a process.
    pub(super) travels: AtomicU32,
}

#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct Put {
    pub(super) lock: Lock,
    /// Where the next frame goes.
    pub(super) tail: AtomicU64,
    pub(super) head_seen: AtomicU64,
}

#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct Get {
    pub(super) lock: Lock,
    /// The next frame that was not given out.
    pub(super) cursor: AtomicU64,
    pub(super) tail_seen: AtomicU64,
    /// The member that took last.
    pub(super) taker: AtomicU64,
    /// Up to which item `holders` has been told of.
    pub(super) counted: AtomicU32,
    /// All claim cells in use are before this one.
    pub(super) claims_end: AtomicU32,
    /// Items of dead members whose names were forgotten.
    pub(super) forgotten: AtomicU64,
    /// What can be written over: all before the place. Its items are those that are not claimed any more.
    pub(super) head: AtomicU64,
}

#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct ClaimCell {
    /// See the states in `claims`.
    pub(super) owner: AtomicU64,
    pub(super) place: AtomicU64,
}

#[cfg_attr(not(procession_loom), derive(Shareable))]
#[derive(Debug)]
#[repr(C)]
pub(super) struct HolderCell {
    pub(super) member: AtomicU64,
    /// How many items the member has taken and not done, and up to which item that counts.
    pub(super) count: AtomicU64,
}

impl Control {
    pub(super) fn new(settings: Settings, window: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            settings: Apart(settings),
            state: Apart(State {
                window: AtomicU64::new(window),
                closed: AtomicU32::new(0),
                travels: AtomicU32::new(0),
            }),
            put: Apart(Put { lock: Lock::new(), tail: zero(), head_seen: zero() }),
            get: Apart(Get {
                lock: Lock::new(),
                cursor: zero(),
                tail_seen: zero(),
                taker: zero(),
                counted: AtomicU32::new(0),
                claims_end: AtomicU32::new(0),
                forgotten: zero(),
                head: zero(),
            }),
            not_empty: Apart(Turn::new()),
            not_full: Apart(Turn::new()),
            finished: Apart(Turn::new()),
            claims: std::array::from_fn(|_| ClaimCell { owner: zero(), place: zero() }),
            holders: std::array::from_fn(|_| HolderCell { member: zero(), count: zero() }),
        }
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_words_lie_where_the_layout_says() {
        assert_eq!(offset_of!(Control, state), 128);
        assert_eq!((offset_of!(State, closed), offset_of!(State, travels)), (8, 12));
        assert_eq!((offset_of!(Control, put), offset_of!(Control, get)), (256, 384));
        assert_eq!((offset_of!(Put, tail), offset_of!(Put, head_seen)), (16, 24));
        assert_eq!((offset_of!(Get, cursor), offset_of!(Get, tail_seen)), (16, 24));
        assert_eq!((offset_of!(Get, taker), offset_of!(Get, counted)), (32, 40));
        assert_eq!((offset_of!(Get, claims_end), offset_of!(Get, forgotten)), (44, 48));
        assert_eq!((offset_of!(Get, head), size_of::<Get>()), (56, 64));
        assert_eq!((offset_of!(Control, not_empty), offset_of!(Control, not_full)), (512, 640));
        assert_eq!((offset_of!(Control, finished), offset_of!(Control, claims)), (768, 896));
        assert_eq!(offset_of!(Control, holders), 1920);
    }

    #[test]
    fn places_wrap_around() {
        let almost = Place::new(u32::MAX, u32::MAX);
        let behind = almost.after(24, 2);
        assert_eq!((behind.bytes_since(almost), behind.items_since(almost)), (24, 2));
        assert_eq!((behind.byte(), behind.items()), (16, 1));
    }
}
