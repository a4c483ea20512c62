//! The end of a queue at which items are got, without their type.

use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};

use procession_shm::family::Member;
use procession_shm::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use procession_sync::parts::Limit;

use super::control::{CLAIMS_MAX, Control, Place};
use super::ends::Ends;
use super::frame::{HEADER_LEN, Header, Kind, TAG_LEN, frame_len};
use super::gather::Most;
use super::holders::{self, Debt};
use super::store::Bytes;
use super::{Corrupt, RecvError, claims, packets};

/// Items that were got, as bytes.
#[derive(Debug, Default)]
pub(super) struct Haul {
    /// Their frames.
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// Of the only item, if it has any.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Where the body of an item lies in a haul, and how it is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    start: usize,
    end: usize,
    pub(super) kind: Kind,
}

impl Haul {
    pub(super) fn body(&self, item: Item) -> &[u8] {
        &self.bytes[item.start..item.end]
    }

    /// How many bytes of memory it takes for the next items, about.
    #[cfg(not(procession_loom))]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.items.capacity() * size_of::<Item>()
    }

    /// An item whose frame is to begin at `offset`.
    #[inline]
    pub(super) fn expect(&mut self, offset: usize, header: Header) {
        let tag_len = if header.has_tag() { TAG_LEN } else { 0 };
        let (start, end) = (offset + HEADER_LEN + tag_len, offset + HEADER_LEN + header.len());
        self.items.push(Item { start, end, kind: header.kind });
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.descriptors.clear();
    }
}

/// What an attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Items,
    /// None now.
    Nothing,
    /// Nobody knows: another one was in the middle of an operation for too long.
    Busy,
    /// None, ever.
    TheEnd,
}

/// An item that is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    index: u32,
    place: Place,
}

/// What is not done of all that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Owed(Debt),
    Some,
    Nothing,
}

impl<C: Deref<Target = Control>, B: Bytes> Ends<C, B> {
    /// Gets the items that there are, up to the most: no more once that is reached, and at least one if there is one.
    pub(super) fn get(
        &self,
        me: Member,
        haul: &mut Haul,
        most: Most,
        socket: BorrowedFd<'_>,
        limit: impl Into<Limit>,
    ) -> Result<Found, RecvError> {
        haul.clear();
        let Some(_hold) = self.hold_get(me, limit)? else { return Ok(Found::Busy) };
        if let Some((index, place)) = self.offered() {
            self.read_one(place, haul, socket)?;
            claims::take_offered(&self.control, index, me);
            self.settle_head();
            return Ok(Found::Items);
        }
        let start = Place(self.control.get.cursor.load(Relaxed));
        let (at, descriptors) = self.gather(start, haul, most)?;
        if at == start {
            return Ok(self.nothing());
        }
        if descriptors > 0 {
            haul.descriptors = peek(haul, descriptors, socket)?;
        }
        self.commit_take(me, start, at);
        if !haul.descriptors.is_empty() {
            packets::discard(socket)?;
        }
        Ok(Found::Items)
    }

    /// Claims the next item.
    pub(super) fn claim(
        &self,
        me: Member,
        haul: &mut Haul,
        socket: BorrowedFd<'_>,
        limit: impl Into<Limit>,
    ) -> Result<Result<Ticket, Found>, RecvError> {
        haul.clear();
        let Some(_hold) = self.hold_get(me, limit)? else { return Ok(Err(Found::Busy)) };
        if let Some((index, place)) = self.offered() {
            self.read_one(place, haul, socket)?;
            claims::claim_offered(&self.control, index, me);
            return Ok(Ok(Ticket { index, place }));
        }
        let place = Place(self.control.get.cursor.load(Relaxed));
        let Some((header, _)) = self.next_header(place)? else { return Ok(Err(self.nothing())) };
        if header.has_tag() {
            return Err(RecvError::NotClaimable { descriptors: header.descriptors });
        }
        haul.expect(0, header);
        self.read(place, frame_len(header.len()), 0, haul, socket)?;
        let index = claims::prepare(&self.control, me, place);
        let index = index.ok_or(RecvError::TooManyClaims { limit: CLAIMS_MAX as usize })?;
        let next = place.after(frame_len(header.len()), 1);
        self.control.get.cursor.store(next.0, Release); // Q4, the commit point of a claim
        self.control.get.counted.store(next.items(), Release);
        self.settle_head();
        Ok(Ok(Ticket { index, place }))
    }

    /// Ends a claim, for good or by offering the item again. False if the claim is not there any more.
    pub(super) fn end_claim(&self, me: Member, ticket: Ticket, is_done: bool) -> bool {
        let Ok(Some(_hold)) = self.hold_get(me, Limit::NEVER) else { return false };
        let ended = claims::end(&self.control, ticket.index, me, ticket.place, is_done);
        self.settle_head();
        ended
    }

    /// Counts one item that `me` got as done. How many of its items are left, or `None` if there was none.
    pub(super) fn task_done(&self, me: Member) -> Option<u32> {
        let Ok(Some(_hold)) = self.hold_get(me, Limit::NEVER) else { return None };
        holders::done(&self.control, me)
    }

    /// Looks for what is not done.
    pub(super) fn rest(&self, me: Member, limit: impl Into<Limit>) -> Result<Rest, Corrupt> {
        let Some(_hold) = self.hold_get(me, limit)? else { return Ok(Rest::Some) };
        if let Some(debt) = holders::take_debt(&self.control) {
            return Ok(Rest::Owed(debt));
        }
        let waiting = self.len_held();
        Ok(if waiting == 0 && holders::total(&self.control) == 0 {
            Rest::Nothing
        } else {
            Rest::Some
        })
    }

    /// How many items were put and neither got nor claimed and done. `None` when somebody else had the lock for too long.
    #[cfg(not(procession_loom))]
    pub(super) fn len(&self, me: Member, limit: impl Into<Limit>) -> Result<Option<u32>, Corrupt> {
        Ok(self.hold_get(me, limit)?.map(|_hold| self.len_held()))
    }

    /// Whether a get would go on at once. An error is for the get, which finds it again. What another one is in the middle of for too
    /// long is not waited for: nobody tells when it ends.
    #[cfg(not(procession_loom))]
    pub(super) fn is_ready_to_get(&self, me: Member, limit: impl Into<Limit>) -> bool {
        let look = || {
            let Some(_hold) = self.hold_get(me, limit)? else {
                return Ok(self.looks_ready_to_get());
            };
            let next = self.next_header(Place(self.control.get.cursor.load(Relaxed)))?;
            let is_there = self.offered().is_some() || next.is_some();
            Ok::<_, Corrupt>(is_there || self.nothing() == Found::TheEnd)
        };
        look().unwrap_or(true)
    }

    /// Sets right what a death has left; the head may lag behind, and hide room.
    pub(super) fn refresh(&self, me: Member) -> Result<(), Corrupt> {
        self.hold_get(me, Limit::Try).map(drop)
    }

    /// Whether something can be got, as far as can be seen without the lock.
    #[cfg(not(procession_loom))]
    #[inline]
    pub(super) fn looks_ready_to_get(&self) -> bool {
        let control = &*self.control;
        control.put.tail.load(Acquire) != control.get.cursor.load(Relaxed)
            || !claims::is_empty(control)
            || control.state.closed.load(Relaxed) != 0
    }

    fn len_held(&self) -> u32 {
        let tail = Place(self.control.put.tail.load(Acquire)); // E1
        tail.items_since(Place(self.control.get.head.load(Relaxed)))
    }

    /// An item that is offered again, be it that its claimer is dead.
    fn offered(&self) -> Option<(u32, Place)> {
        if claims::is_empty(&self.control) {
            return None;
        }
        claims::bury(&self.control, claims::is_dead);
        claims::oldest_offered(&self.control)
    }

    /// Reads an item of which only the place is known.
    fn read_one(
        &self,
        at: Place,
        haul: &mut Haul,
        socket: BorrowedFd<'_>,
    ) -> Result<(), RecvError> {
        let ring = self.ring()?;
        let header = Header::parse(ring.header(at), ring.window())?;
        haul.expect(0, header);
        self.read(at, frame_len(header.len()), header.descriptors, haul, socket)
    }

    /// Copies the frames of the items that are expected. The descriptors of the first, if it has any, stay in the socket as well.
    #[inline]
    fn read(
        &self,
        at: Place,
        len: usize,
        descriptors: u16,
        haul: &mut Haul,
        socket: BorrowedFd<'_>,
    ) -> Result<(), RecvError> {
        self.ring()?.read(at, len, &mut haul.bytes);
        if descriptors > 0 {
            haul.descriptors = peek(haul, descriptors, socket)?;
        }
        Ok(())
    }

    /// What there is when there is nothing to give out.
    fn nothing(&self) -> Found {
        let control = &*self.control;
        let is_closed = control.state.closed.load(Acquire) != 0; // E2
        let tail = Place(control.put.tail.load(Acquire));
        let is_drained = tail.0 == control.get.cursor.load(Relaxed) && claims::is_empty(control);
        if is_closed && is_drained { Found::TheEnd } else { Found::Nothing }
    }

    fn commit_take(&self, me: Member, from: Place, to: Place) {
        let get = &self.control.get;
        if get.taker.load(Relaxed) != me.to_bits() {
            get.taker.store(me.to_bits(), Release);
        }
        get.cursor.store(to.0, Release); // Q2, the commit point of a get
        self.settle_head();
        holders::add(&self.control, me, to.items_since(from), to.items());
        get.counted.store(to.items(), Release);
    }

    /// Lets those who put write over what is not needed any more.
    #[inline]
    fn settle_head(&self) {
        let cursor = Place(self.control.get.cursor.load(Relaxed));
        let head = if claims::is_empty(&self.control) {
            cursor
        } else {
            claims::head(&self.control, cursor)
        };
        self.control.get.head.store(head.0, Release); // E3
    }

    /// Finishes what somebody who died with the lock had made real, and undoes what he had not.
    #[cold]
    pub(super) fn repair(&self) {
        let get = &self.control.get;
        let cursor = Place(get.cursor.load(Relaxed));
        let counted = get.counted.load(Relaxed);
        let was_claimed = claims::repair(&self.control, cursor, counted);
        let missing = cursor.items().wrapping_sub(counted);
        let taker = Member::from_bits(get.taker.load(Relaxed));
        let untold = |taker: &Member| !holders::is_counted(&self.control, *taker, cursor.items());
        let is_take = missing > 0 && !was_claimed;
        if procession_shm::seeded!("counted-before-told") {
            get.counted.store(cursor.items(), Release);
        }
        if let Some(taker) = taker.filter(|taker| is_take && untold(taker)) {
            holders::add(&self.control, taker, missing, cursor.items());
        }
        get.counted.store(cursor.items(), Release);
        self.settle_head();
        // Who waits for room has heard of the death, and may have looked before there was any.
        self.control.not_full.wake_all();
    }
}

/// The descriptors of the first item of a haul, which stay in the socket as well.
#[cold]
fn peek(haul: &Haul, count: u16, socket: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, RecvError> {
    let tag = &haul.bytes[HEADER_LEN..HEADER_LEN + TAG_LEN];
    packets::peek(socket, tag, usize::from(count))
}
