//! The end of a queue at which items are put, without their type.
//!
//! Several frames are written behind the tail and become real by one store of it. The descriptors of an item are sent before
//! that, with a tag that its frame repeats.

use std::ops::Deref;
use std::os::fd::BorrowedFd;

use procession_shm::family::Member;
use procession_shm::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use procession_shm::transfer::Outgoing;
use procession_sync::parts::Limit;

use super::SendErrorKind;
use super::control::{Control, GRANULE, Place};
use super::ends::{Ends, Hold};
use super::frame::{HEADER_LEN, TAG_LEN};
use super::store::{Bytes, Ring};
use super::{Corrupt, packets};

/// Room for many items: this part of the ring, but no more than so many bytes and items.
#[cfg(not(procession_loom))]
const ROOMY_SHARE: usize = 8;
#[cfg(not(procession_loom))]
const ROOMY_BYTES: usize = 16 << 10;
#[cfg(not(procession_loom))]
const ROOMY_ITEMS: usize = 64;

/// Frames to put.
pub(super) struct Load<'a> {
    /// One frame behind the other.
    pub(super) bytes: &'a mut [u8],
    /// Where each frame ends.
    pub(super) ends: &'a [usize],
    /// What goes beside the first frame, which then is the only one. It is empty when that has gone.
    pub(super) handles: &'a mut Vec<Outgoing>,
    pub(super) socket: BorrowedFd<'a>,
    pub(super) growth: Growth,
}

/// What becomes of a ring that has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// It grows, if it may.
    Now,
    /// It stays as it is: whoever puts waits for a moment first, and those who get make room. A ring that has grown does not lie in
    /// the caches any more, and its pages cost a fault in each process.
    Later,
}

/// How much can be put.
struct Room {
    bytes: usize,
    items: usize,
}

impl<C: Deref<Target = Control>, B: Bytes> Ends<C, B> {
    /// Puts as many frames as there is room for, and says how many. `None` when another one was in the middle of an operation for
    /// too long.
    pub(super) fn put(
        &self,
        me: Member,
        load: Load<'_>,
        limit: impl Into<Limit> + Copy,
    ) -> Result<Option<usize>, SendErrorKind> {
        let Load { bytes, ends, handles, socket, growth } = load;
        let Some(_hold) = self.hold_put(me, limit) else { return Ok(None) };
        let control = &*self.control;
        if control.state.closed.load(Relaxed) != 0 {
            return Err(SendErrorKind::Closed);
        }
        let tail = Place(control.put.tail.load(Relaxed));
        let mut count = self.fitting(tail, ends)?;
        if count == 0 && growth == Growth::Now && !self.is_full_of_items(tail) {
            if !self.grow(me, tail, ends[0], limit)? {
                return Ok(None);
            }
            count = self.fitting(tail, ends)?;
        }
        if count == 0 {
            return Ok(Some(0));
        }
        if !handles.is_empty() && !send_handles(packets::tag(me, tail), bytes, handles, socket)? {
            return Ok(Some(0));
        }
        let len = ends[count - 1];
        self.ring()?.write(tail, &bytes[..len]);
        #[expect(clippy::cast_possible_truncation, reason = "a frame has at least 8 bytes")]
        control.put.tail.store(tail.after(len, count as u32).0, Release); // Q1, the commit point
        Ok(Some(count))
    }

    /// Whether there is room for many items, or for none ever again, as far as can be seen without the lock. Who finds the ring
    /// full spins for that, and not for the first room there is: he would be back for more with each item that is got, and take
    /// the lines of those who get from them each time. If it takes too long he attempts it anyway.
    #[cfg(not(procession_loom))]
    pub(super) fn looks_roomy(&self) -> bool {
        let control = &*self.control;
        let window = usize::try_from(control.state.window.load(Relaxed)).unwrap_or(0);
        let tail = Place(control.put.tail.load(Relaxed));
        let head = Place(control.get.head.load(Acquire));
        let items = (self.settings.items_max as usize / ROOMY_SHARE).clamp(1, ROOMY_ITEMS);
        let bytes = (window / ROOMY_SHARE).min(ROOMY_BYTES);
        let is_roomy = |room: Room| room.bytes >= bytes && room.items >= items;
        control.state.closed.load(Relaxed) != 0 || self.room(tail, head, window).is_ok_and(is_roomy)
    }

    /// Closes the queue: no put commits after that.
    pub(super) fn close(&self, me: Member) {
        if let Some(_hold) = self.hold_put(me, Limit::NEVER) {
            self.control.state.closed.store(1, Release); // E2
        }
    }

    #[cfg(not(procession_loom))]
    pub(super) fn is_closed(&self) -> bool {
        self.control.state.closed.load(Acquire) != 0
    }

    /// Whether a frame with a small body could be put. What another one is in the middle of for too long is not waited for: nobody
    /// tells when it ends.
    #[cfg(not(procession_loom))]
    pub(super) fn has_room(&self, me: Member, limit: impl Into<Limit> + Copy) -> bool {
        let smallest = super::frame::frame_len(1);
        let Some(_hold) = self.hold_put(me, limit) else { return self.looks_to_have(smallest) };
        let tail = Place(self.control.put.tail.load(Relaxed));
        let fits = || matches!(self.fitting(tail, &[smallest]), Ok(1));
        if fits() || self.is_full_of_items(tail) {
            return fits();
        }
        match self.grow(me, tail, smallest, limit) {
            Ok(true) => fits(),
            Ok(false) => self.looks_to_have(smallest),
            Err(_) => false,
        }
    }

    /// Whether there is room for a frame of `len` bytes once the ring has grown, as far as can be seen without the lock.
    #[cfg(not(procession_loom))]
    fn looks_to_have(&self, len: usize) -> bool {
        let control = &*self.control;
        let capacity = usize::try_from(self.settings.capacity).unwrap_or(usize::MAX);
        let tail = Place(control.put.tail.load(Relaxed));
        let head = Place(control.get.head.load(Acquire));
        let is_enough = |room: Room| room.bytes >= len && room.items > 0;
        self.room(tail, head, capacity).is_ok_and(is_enough)
    }

    /// How many of the frames fit into the window, as it is.
    fn fitting(&self, tail: Place, ends: &[usize]) -> Result<usize, Corrupt> {
        let window = self.ring()?.window();
        let seen = Place(self.control.put.head_seen.load(Relaxed));
        let room = self.room(tail, seen, window)?;
        if room.items >= ends.len() && ends[ends.len() - 1] <= room.bytes {
            return Ok(ends.len());
        }
        let head = Place(self.control.get.head.load(Acquire)); // E3
        self.control.put.head_seen.store(head.0, Release);
        let room = self.room(tail, head, window)?;
        Ok(ends.iter().take(room.items).take_while(|end| **end <= room.bytes).count())
    }

    fn room(&self, tail: Place, head: Place, window: usize) -> Result<Room, Corrupt> {
        let used = tail.bytes_since(head);
        let bytes = window.checked_sub(used).ok_or(Corrupt("more was put than there is room"))?;
        let items_max = self.settings.items_max;
        let items = items_max.saturating_sub(tail.items_since(head)) as usize;
        Ok(Room { bytes, items })
    }

    /// Whether it is items and not bytes of which there are too many.
    fn is_full_of_items(&self, tail: Place) -> bool {
        let head = Place(self.control.put.head_seen.load(Relaxed));
        tail.items_since(head) >= self.settings.items_max
    }

    /// Doubles the window until there is room for a frame of `len` bytes, if it may. False when another one was in the middle of an
    /// operation for too long, and it was not tried.
    fn grow(
        &self,
        me: Member,
        tail: Place,
        len: usize,
        limit: impl Into<Limit> + Copy,
    ) -> Result<bool, SendErrorKind> {
        let control = &*self.control;
        if self.ring()?.window() as u64 >= self.settings.capacity {
            return Ok(true);
        }
        let Some(_hold) = self.hold_get(me, limit)? else { return Ok(false) };
        let head = Place(control.get.head.load(Relaxed));
        control.put.head_seen.store(head.0, Release);
        loop {
            let ring = self.ring()?;
            let is_largest = ring.window() as u64 >= self.settings.capacity;
            if is_largest || self.room(tail, head, ring.window())?.bytes >= len {
                return Ok(true);
            }
            ring.spread(head, tail).map_err(std::io::Error::from)?;
            control.state.window.store(2 * ring.window() as u64, Release); // Q3
        }
    }

    /// The ring as it is while the caller has one of the locks.
    #[inline]
    pub(super) fn ring(&self) -> Result<Ring<'_, B>, Corrupt> {
        let window = self.control.state.window.load(Relaxed);
        let is_sound = (GRANULE as u64..=self.settings.capacity).contains(&window);
        if !window.is_power_of_two() || !is_sound {
            return Err(Corrupt("the ring has no such size"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most the capacity, a usize")]
        Ok(Ring::new(&self.bytes, window as usize))
    }

    fn hold_put(&self, me: Member, limit: impl Into<Limit>) -> Option<Hold<'_>> {
        Hold::take(&self.control.put.lock, me, false, limit).map(|(hold, _)| hold)
    }
}

/// Sends the descriptors of the frame that begins `bytes`, and lets go of the handles: nothing can fail after that. False when
/// there is no room for them now.
#[cold]
fn send_handles(
    tag: u64,
    bytes: &mut [u8],
    handles: &mut Vec<Outgoing>,
    socket: BorrowedFd<'_>,
) -> Result<bool, SendErrorKind> {
    bytes[HEADER_LEN..HEADER_LEN + TAG_LEN].copy_from_slice(&tag.to_le_bytes());
    let descriptors: Vec<_> = handles.iter().flat_map(Outgoing::descriptors).collect();
    let is_sent = packets::send(socket, tag, &descriptors)?;
    drop(descriptors);
    if is_sent {
        handles.drain(..).for_each(Outgoing::commit);
    }
    Ok(is_sent)
}
