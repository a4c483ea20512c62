//! One value that several processes use.
//!
//! # Safety
//!
//! * **V1** The window shows all of a backing that begins with a `T`, written before anybody else saw it.
//! * **V2** After that, the value is only ever reached through `&T`. So the ordinary rules apply, with threads of other
//!   processes among those that hold a reference: what changes behind it changes through atomics or cells that are `Sync`,
//!   and `T: Shareable` says that their work means the same everywhere.
//! * **V3** Nobody drops the value: which process would be the last is not known to any. So a `T` with something to drop is
//!   refused when the program is built.
//!
//! V1 and V2 are the word of the processes that have the handle: it is a *trusting* one.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Shareable;
use crate::backing::{Backing, FIXED_SIZE};
use crate::elements::ALIGN_MAX;
use crate::ready::Waitable;
use crate::segment::SegmentError;
use crate::sync::atomic::AtomicU32;
use crate::transfer::{self, TransferError};
use crate::wait::{KeptWord, Watch};
use crate::window::{Access, Window};

const HANDLE: &str = "Shared";

/// A value in memory that several processes map, used by all of them at the same time.
///
/// The value is what it would be in an `Arc`: reached through `&T`, so that `T` brings its own synchronisation: atomics, the
/// locks of `procession-sync`, or a struct of several. A plain value is constant. Clones are cheap and show the same value;
/// one that is sent through a channel shows it in the other process too. The memory goes away with the last of them,
/// wherever that is and however its process ends. One file descriptor is open for each `Shared` and its clones in a process.
///
/// This is a *trusting* handle: a process that has it can write any bytes into the value, and so break whoever uses it. It
/// survives the death of a process at any instruction, in so far as `T` does. A decoder refuses it when it comes from a
/// process that is not trusted.
///
/// The value is never dropped, and `T` may have nothing to drop. After a bare `fork` the child has no access to it: touching
/// it there is a fault.
///
/// ```
/// use procession_shm::Shared;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let hits = Shared::new(AtomicU64::new(0))?;
/// let same = hits.clone();
/// same.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(hits.load(Ordering::Relaxed), 1);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
///
/// What several threads cannot use cannot be shared either:
///
/// ```compile_fail,E0277
/// let shared = procession_shm::Shared::new(std::cell::Cell::new(0_u64));
/// ```
pub struct Shared<T: Shareable + Sync> {
    value: NonNull<T>,
    window: Arc<Window>,
    _value: PhantomData<T>,
}

// SAFETY: by V2 a handle gives `&T` and nothing else, and by V3 it never drops the `T`. Taking a `&T` to another thread is
// what `T: Sync` allows.
unsafe impl<T: Shareable + Sync> Send for Shared<T> {}
// SAFETY: as for Send.
unsafe impl<T: Shareable + Sync> Sync for Shared<T> {}

impl<T: Shareable + Sync> Shared<T> {
    /// Moves `value` into shared memory of its own.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::new`](crate::Segment::new) and [`Segment::map`](crate::Segment::map): no memory, no descriptor, or
    /// not allowed.
    ///
    /// ```
    /// use procession_shm::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let hits = Shared::new([const { AtomicU64::new(0) }; 4])?;
    /// hits[2].fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(hits.each_ref().map(|n| n.load(Ordering::Relaxed)), [0, 0, 1, 0]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn new(value: T) -> Result<Self, SegmentError> {
        let backing = Backing::zeroed(Self::byte_len(), FIXED_SIZE)?;
        let this = Self::over(Window::whole(backing, Access::Write)?);
        // SAFETY: the window shows at least the size of a `T`, aligned for it by `byte_len`, and nobody else has it yet (V1).
        unsafe { this.value.write(value) };
        Ok(this)
    }

    /// A value without bytes gets one, because there is no empty memory.
    fn byte_len() -> usize {
        const {
            assert!(!std::mem::needs_drop::<T>(), "nobody drops a value in shared memory");
            assert!(align_of::<T>() <= ALIGN_MAX, "a value cannot be aligned to more than a page");
        }
        size_of::<T>().max(1)
    }

    fn over(window: Window) -> Self {
        let value = window.at(0).cast();
        Self { value, window: Arc::new(window), _value: PhantomData }
    }

    fn receive(index: u32) -> Result<Self, TransferError> {
        transfer::require_trust(HANDLE)?;
        let backing = transfer::memory(index, FIXED_SIZE)?;
        if backing.len() != Self::byte_len() {
            let reason = "its memory has another size than its type";
            return Err(TransferError::Malformed { handle: HANDLE, reason });
        }
        Ok(Self::over(Window::whole(backing, Access::Write)?))
    }
}

impl<T: Shareable + Sync> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the window is mapped for as long as `self` (W1) and holds a `T` (V1) that nobody reaches but by `&T` (V2).
        unsafe { self.value.as_ref() }
    }
}

impl<T: Shareable + Sync> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { value: self.value, window: Arc::clone(&self.window), _value: PhantomData }
    }
}

/// As the value itself; a future that waits for it keeps the memory.
impl<T: Shareable + Sync + Waitable> Waitable for Shared<T> {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let others = watches.len();
        (**self).watch(watches);
        for watch in &mut watches[others..] {
            if let Some(word) = self.keep(watch.word()) {
                *watch = watch.with_kept(word);
            }
        }
    }

    fn unwatch(&self) {
        (**self).unwatch();
    }
}

impl<T: Shareable + Sync> Shared<T> {
    /// A word inside the value, with what it takes for it to stay.
    fn keep(&self, word: &AtomicU32) -> Option<KeptWord> {
        let offset = std::ptr::from_ref(word).addr().checked_sub(self.value.addr().get())?;
        if offset + size_of::<AtomicU32>() > size_of::<T>() {
            return None;
        }
        Some(KeptWord::new(self.clone(), move |this| {
            // SAFETY: the offset lies inside the value.
            let at = unsafe { this.value.byte_add(offset) };
            // SAFETY: the value lent this very word to who had a `&T`, and by V2 there is never anything but that; it is
            // mapped for as long as `this` (W1).
            unsafe { at.cast::<AtomicU32>().as_ref() }
        }))
    }
}

impl<T: Shareable + Sync + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&**self).finish()
    }
}

/// Works inside a channel only.
impl<T: Shareable + Sync> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let index = transfer::attach(HANDLE, self.window.backing().descriptor())
            .and_then(|index| transfer::need_family(HANDLE).map(|()| index))
            .map_err(S::Error::custom)?;
        index.serialize(serializer)
    }
}

/// Works inside a channel only, from a process that is trusted.
impl<'de, T: Shareable + Sync> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u32::deserialize(deserializer)?;
        transfer::received(Self::receive(index)).map_err(D::Error::custom)
    }
}
