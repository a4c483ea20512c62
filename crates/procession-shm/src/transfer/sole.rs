//! What can have only one owner and is used by one thread at a time: [`Unique`](super::Unique) without a lock.
//!
//! An end of a pipe is used for every message, and a lock costs two atomic read-modify-writes each time. The handle cannot be
//! shared by threads, so the only other party is a message on its way, which another thread may commit or undo. A state says
//! which of the two may touch the thing, and is handed back and forth by plain stores.
//!
//! | state | who may touch the thing | next |
//! |---|---|---|
//! | `HERE` | the handle | `BUSY` by being used, `LEAVING` by being encoded |
//! | `BUSY` | whoever called [`Sole::with`] | `HERE` when that returns |
//! | `LEAVING` | the message | `GONE` by `commit`, `HERE` by `undo` |
//! | `GONE` | nobody | |
//!
//! * **S1** Out of `HERE` and `BUSY` leads only what the handle does, and a handle is on one thread.
//! * **S2** Out of `LEAVING` leads only what the message does, and there is at most one, because only `HERE` can leave.
//! * **S3** Edge: the release store by which a party gives the thing up pairs with the acquire load by which the other sees that.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::unique::Leaving;
use super::{Moved, TransferError, send};
use crate::sync::atomic::{AtomicU32, Ordering};

const HERE: u32 = 0;
const BUSY: u32 = 1;
const LEAVING: u32 = 2;
const GONE: u32 = 3;

/// Something that can have only one owner, may travel, and is used by one thread at a time.
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<procession_shm::transfer::Sole<u8>>();
/// ```
pub struct Sole<R> {
    place: Arc<Place<R>>,
    _not_sync: PhantomData<Cell<()>>,
}

struct Place<R> {
    state: AtomicU32,
    thing: UnsafeCell<Option<R>>,
}

// SAFETY: by S1 and S2 one party at a time touches the thing, which may change threads; the state is atomic.
unsafe impl<R: Send> Sync for Place<R> {}

impl<R: Send + 'static> Sole<R> {
    /// Makes this handle the owner.
    ///
    /// ```
    /// use procession_shm::transfer::Sole;
    ///
    /// assert_eq!(Sole::new(7).with(|n| *n), Ok(7));
    /// ```
    pub fn new(thing: R) -> Self {
        let place = Place { state: AtomicU32::new(HERE), thing: UnsafeCell::new(Some(thing)) };
        Self { place: Arc::new(place), _not_sync: PhantomData }
    }

    /// Uses the thing.
    ///
    /// # Errors
    ///
    /// [`Moved`] when it has left.
    ///
    /// # Panics
    ///
    /// When it is being used already: `work` must not come back to its own handle.
    ///
    /// ```
    /// use procession_shm::transfer::Sole;
    ///
    /// let sole = Sole::new(vec![1]);
    /// sole.with(|numbers| numbers.push(2)).unwrap();
    /// assert_eq!(sole.with(|numbers| numbers.len()), Ok(2));
    /// ```
    #[inline(always)]
    pub fn with<T>(&self, work: impl FnOnce(&mut R) -> T) -> Result<T, Moved> {
        let use_of = self.begin().ok_or(Moved)?;
        // SAFETY: by S1 the state `BUSY`, which `begin` has set and which lasts until `use_of` is dropped, gives the thing to
        // this call alone.
        let thing = unsafe { &mut *self.place.thing.get() };
        let done = thing.as_mut().map(work);
        drop(use_of);
        done.ok_or(Moved)
    }

    /// Puts the thing into the message that is being encoded. `write` attaches its descriptors. If it is sent, `depart` has the thing
    /// for a last time before it is dropped here, on the thread that sends.
    ///
    /// # Errors
    ///
    /// [`NotSending`](TransferError::NotSending) outside of a [`send_scope`](super::send_scope),
    /// [`Moved`](TransferError::Moved) when it has left before, and those of `write`, after which it is still here.
    ///
    /// # Panics
    ///
    /// When it is being used.
    ///
    /// ```
    /// use procession_shm::transfer::{Moved, Sole, send_scope};
    ///
    /// let sole = Sole::new(7);
    /// let (number, outgoing) = send_scope(|| sole.leave("key", |n| Ok(*n), |_| ())).unwrap();
    /// outgoing.commit();                                    // it is gone with the message
    /// assert_eq!(number, 7);
    /// assert_eq!(sole.with(|n| *n), Err(Moved));
    /// ```
    pub fn leave<T>(
        &self,
        handle: &'static str,
        write: impl FnOnce(&mut R) -> Result<T, TransferError>,
        depart: fn(&mut R),
    ) -> Result<T, TransferError> {
        send::record(self.try_leave(handle, write, depart))
    }

    fn try_leave<T>(
        &self,
        handle: &'static str,
        write: impl FnOnce(&mut R) -> Result<T, TransferError>,
        depart: fn(&mut R),
    ) -> Result<T, TransferError> {
        if !send::is_open() {
            return Err(TransferError::NotSending { handle });
        }
        let written = self.with(write).map_err(|Moved| TransferError::Moved { handle })??;
        // Before the message knows of it, so that nobody takes it for lost if it does not get there.
        self.place.state.store(LEAVING, Ordering::Release); // S3
        let departure = Departure { place: Arc::clone(&self.place), depart };
        send::push_leaving(handle, Box::new(departure))
            .inspect_err(|_| self.place.state.store(HERE, Ordering::Release))?;
        Ok(written)
    }

    #[inline]
    fn begin(&self) -> Option<Busy<'_>> {
        let state = &self.place.state;
        match state.load(Ordering::Acquire) {
            HERE => {
                // Nobody but this thread leaves `HERE` or looks for `BUSY` (S1).
                state.store(BUSY, Ordering::Relaxed);
                Some(Busy(state))
            }
            BUSY => panic!("an end that is being used cannot be used by what uses it"),
            _ => None,
        }
    }
}

/// Gives the thing back to the handle, also when its use ends in a panic.
struct Busy<'a>(&'a AtomicU32);

impl Drop for Busy<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(HERE, Ordering::Release); // S3
    }
}

/// The thing in a message that may still fail.
struct Departure<R> {
    place: Arc<Place<R>>,
    depart: fn(&mut R),
}

impl<R: Send + 'static> Leaving for Departure<R> {
    fn commit(&self) {
        let state = &self.place.state;
        if state.load(Ordering::Acquire) != LEAVING {
            return; // S3
        }
        // SAFETY: by S2 the state `LEAVING` gives the thing to the message, which is this.
        let mut left = unsafe { &mut *self.place.thing.get() }.take();
        state.store(GONE, Ordering::Release);
        // After it is gone for its handle: dropping it may be more than a store.
        left.iter_mut().for_each(self.depart);
        drop(left);
    }

    fn undo(&self) {
        let state = &self.place.state;
        if state.load(Ordering::Acquire) == LEAVING {
            state.store(HERE, Ordering::Release); // S3
        }
    }
}

impl<R> fmt::Debug for Sole<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sole").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use super::super::send_scope;
    use super::*;

    fn leave(sole: &Sole<String>) -> Result<(), TransferError> {
        sole.leave("String", |_| Ok(()), |thing| thing.push('?'))
    }

    #[test]
    fn it_is_used_until_it_leaves_and_is_dropped_once() {
        let sole = Sole::new("here".to_owned());
        assert_eq!(sole.with(|thing| thing.push('!')), Ok(()));
        let ((), outgoing) = send_scope(|| leave(&sole)).unwrap();
        assert_eq!(sole.with(|_| ()), Err(Moved));
        std::thread::spawn(|| outgoing.commit()).join().unwrap();
        assert_eq!(sole.with(|_| ()), Err(Moved));
        assert!(matches!(send_scope(|| leave(&sole)), Err(unsent) if unsent.failure.is_some()));
    }

    #[test]
    fn a_message_that_fails_leaves_it_as_it_was() {
        let sole = Sole::new("here".to_owned());
        let ((), outgoing) = send_scope(|| leave(&sole)).unwrap();
        std::thread::spawn(|| drop(outgoing)).join().unwrap();
        assert_eq!(sole.with(|thing| thing.len()), Ok(4));
        assert!(matches!(leave(&sole), Err(TransferError::NotSending { .. })));
        assert_eq!(sole.with(|thing| thing.len()), Ok(4));
    }

    #[test]
    fn a_panic_in_its_use_leaves_it_usable() {
        let sole = Sole::new(0);
        let used = std::panic::AssertUnwindSafe(|| sole.with(|_| panic!("on purpose")));
        assert!(std::panic::catch_unwind(used).is_err());
        assert_eq!(sole.with(|thing| *thing), Ok(0));
    }

    #[test]
    #[should_panic(expected = "cannot be used by what uses it")]
    fn its_use_does_not_come_back_to_it() {
        let sole = Sole::new(0);
        let _used = sole.with(|_| sole.with(|_| ()));
    }
}
