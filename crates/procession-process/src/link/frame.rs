//! What a parent sends to a worker: frames.
//!
//! | offset | field |
//! |---|---|
//! | 0 | kind: u16 (1 call, 2 resume, 3 context, 4 forget, 5 quit, 6 join) |
//! | 2 | number of descriptors that went beside it: u16 |
//! | 4 | number of items: u32 (calls only, else 0) |
//! | 8 | length of the body in bytes: u64 |
//! | 16 | id of the call: u64 (of a join: the member to become) |
//! | 24 | entry and target of the [`Function`]: two u64 (calls only, else 0) |
//! | 40 | body, padded with zeros so that every frame is a multiple of 8 bytes |
//!
//! The body of a call is its items, one after the other: length u32, then that many bytes. The body of a context is its
//! encoded value. All numbers are little endian. Both ends run the same program, so there is no version in it.
//!
//! An item with handles is alone in its frame, because the descriptors of a frame go beside it in one packet, and because what
//! is moved to a worker must not wait behind something else, from where it would have to be taken back.

use std::os::fd::OwnedFd;

use procession_shm::family::Invitation;

use super::handles::Handles;
use crate::function::Function;

pub(crate) const HEADER_LEN: usize = 40;
/// Room for a small argument, so that most frames of one item are one allocation.
const CAPACITY: usize = 128;
const ITEM_HEADER_LEN: usize = 4;

const CALL: u16 = 1;
const RESUME: u16 = 2;
const CONTEXT: u16 = 3;
const FORGET: u16 = 4;
const QUIT: u16 = 5;
const JOIN: u16 = 6;

/// The largest encoded argument, in bytes: what an item's length field holds.
pub const ITEM_LEN_MAX: usize = u32::MAX as usize;

/// A message from a parent to a worker, kept by the parent until all of its items have come back.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Vec<u8>,
    count: u32,
    handles: Handles,
}

/// What all items of a call share, encoded.
#[derive(Debug, Clone, Default)]
pub struct SharedValue {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The handles in it.
    pub handles: Handles,
}

/// An encoded argument is longer than [`ITEM_LEN_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an argument of {len} bytes is over the limit of {ITEM_LEN_MAX} bytes: send it in parts, or through a file"
)]
pub struct ItemTooLarge {
    /// Its length in bytes.
    pub len: usize,
}

impl Frame {
    /// A call of `function` without items yet. Items of one `call` share a context.
    pub fn call(function: Function, call: u64) -> Self {
        let mut frame = Self::empty(CALL, call);
        for (at, word) in [24, 32].into_iter().zip(function.to_words()) {
            frame.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        frame
    }

    /// Tells the worker that everything before this frame which it has not started was taken back.
    pub fn resume() -> Self {
        Self::empty(RESUME, 0).sealed()
    }

    /// Gives the worker what all items of `call` share.
    pub fn context(call: u64, value: &SharedValue) -> Self {
        let mut frame = Self::empty(CONTEXT, call);
        frame.bytes.extend_from_slice(&value.bytes);
        frame.handles = value.handles.clone();
        frame.sealed()
    }

    /// Makes the worker a member of the family of this process, as the receiver of a handle that
    /// [needs it](Handles::needs_family) must be. A worker that cannot join exits.
    pub fn join(invitation: Invitation) -> Self {
        let (member, descriptors) = invitation.into_fds();
        let mut frame = Self::empty(JOIN, member.to_bits());
        frame.handles = Handles::of(descriptors);
        frame.sealed()
    }

    /// Tells the worker that `call` is over and its context is not needed any more.
    pub fn forget(call: u64) -> Self {
        Self::empty(FORGET, call).sealed()
    }

    /// Tells the worker to return from [`ChildLink::serve`](super::ChildLink::serve).
    pub fn quit() -> Self {
        Self::empty(QUIT, 0).sealed()
    }

    fn empty(kind: u16, call: u64) -> Self {
        let mut bytes = Vec::with_capacity(CAPACITY);
        bytes.resize(HEADER_LEN, 0);
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[16..24].copy_from_slice(&call.to_le_bytes());
        Self { bytes, count: 0, handles: Handles::default() }
    }

    /// Adds an item, whose bytes `encode` appends. When it fails or panics, the frame is as it was.
    ///
    /// An item with handles is not added but returned, as a sealed frame of its own.
    ///
    /// # Errors
    ///
    /// What `encode` returns, and [`ItemTooLarge`].
    #[inline]
    pub fn push<E: From<ItemTooLarge>>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Handles, E>,
    ) -> Result<Option<Self>, E> {
        let mut item = Item { start: self.bytes.len(), frame: self, is_whole: false };
        item.frame.bytes.extend_from_slice(&[0; ITEM_HEADER_LEN]);
        let handles = encode(&mut item.frame.bytes)?;
        let len = item.frame.bytes.len() - item.start - ITEM_HEADER_LEN;
        let word = u32::try_from(len).map_err(|_| ItemTooLarge { len })?.to_le_bytes();
        item.frame.bytes[item.start..item.start + ITEM_HEADER_LEN].copy_from_slice(&word);
        if handles.is_empty() {
            item.is_whole = true;
            return Ok(None);
        }
        Ok(Some(item.alone(handles)))
    }

    /// Completes the header. A frame can be sent after this and takes no more items.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        let body = (self.bytes.len() - HEADER_LEN) as u64;
        #[expect(clippy::cast_possible_truncation, reason = "at most DESCRIPTORS_MAX")]
        let descriptors = self.handles.count() as u16;
        self.bytes[2..4].copy_from_slice(&descriptors.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&body.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self
    }

    /// How many items it has.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The encoded arguments of its items, one by one.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        Items::new(&self.bytes[HEADER_LEN..], self.count)
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a frame always has a header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What goes beside it.
    #[inline]
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Closes the descriptors of its handles in this process. It can still be sent, its handles cannot.
    pub fn let_go_of_handles(&mut self) {
        self.handles.let_go();
    }

    /// Has the descriptors again that it has [let go of](Self::let_go_of_handles).
    pub fn regain_handles(&mut self, descriptors: Vec<OwnedFd>) {
        self.handles.regain(descriptors);
    }

    /// The items `from .. to` of a sealed call as a frame of their own.
    ///
    /// # Panics
    ///
    /// When the frame has no such items.
    #[must_use]
    pub fn part(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.count(), "no items {from}..{to} in this frame");
        let (header, body) = self.bytes.split_at(HEADER_LEN);
        let mut items = Items::new(body, self.count);
        items.by_ref().take(from).for_each(drop);
        let rest = items.body;
        items.by_ref().take(to - from).for_each(drop);
        let taken = rest.len() - items.body.len();
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&rest[..taken]);
        #[expect(clippy::cast_possible_truncation, reason = "at most self.count, a u32")]
        let count = (to - from) as u32;
        // Who has handles is alone in his frame: he is in the part or the part is empty.
        let handles = if from < to { self.handles.clone() } else { Handles::default() };
        Self { bytes, count, handles }.sealed()
    }
}

/// An item that is being added. Unless it becomes whole, be it for an error or a panic, nothing of it remains.
struct Item<'a> {
    frame: &'a mut Frame,
    start: usize,
    is_whole: bool,
}

impl Item<'_> {
    /// The item as a frame of its own; the frame that it was added to is as before.
    fn alone(self, handles: Handles) -> Frame {
        let mut bytes = self.frame.bytes[..HEADER_LEN].to_vec();
        bytes.extend_from_slice(&self.frame.bytes[self.start..]);
        Frame { bytes, count: 1, handles }.sealed()
    }
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        if self.is_whole {
            self.frame.count += 1;
        } else {
            self.frame.bytes.truncate(self.start);
        }
    }
}

/// A frame's header, as the worker reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    kind: u16,
    descriptors: u16,
    count: u32,
    body: u64,
    call: u64,
    words: [u64; 2],
}

/// What a frame asks for.
pub(crate) enum Kind {
    Call { function: Function, count: u32 },
    Resume,
    Context,
    Forget,
    Quit,
    Join,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let (pair, words) = bytes.split_at(8);
        let (kind, count) = pair.split_at(4);
        let word = |index: usize| u64_at(words, index * 8);
        Self {
            kind: u16_at(kind, 0),
            descriptors: u16_at(kind, 2),
            count: u32_at(count, 0),
            body: word(0),
            call: word(1),
            words: [word(2), word(3)],
        }
    }

    /// # Safety
    ///
    /// The header must come from a parent's link, through memory that only the parent's link writes.
    pub(crate) unsafe fn kind(&self) -> Option<Kind> {
        match self.kind {
            CALL => {
                // SAFETY: by the caller's promise these words were written from a `Function`.
                let function = unsafe { Function::from_words(self.words) };
                Some(Kind::Call { function, count: self.count })
            }
            RESUME => Some(Kind::Resume),
            CONTEXT => Some(Kind::Context),
            FORGET => Some(Kind::Forget),
            QUIT => Some(Kind::Quit),
            JOIN => Some(Kind::Join),
            _ => None,
        }
    }

    /// Whether descriptors went beside it.
    pub(crate) fn has_descriptors(&self) -> bool {
        self.descriptors > 0
    }

    pub(crate) fn call(&self) -> u64 {
        self.call
    }

    /// Length of the body without its padding.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "usize is 64 bits wide where this crate builds"
    )]
    pub(crate) fn body_len(&self) -> usize {
        self.body as usize
    }

    /// Length of the body with its padding.
    pub(crate) fn padded_len(&self) -> usize {
        self.body_len().next_multiple_of(8)
    }
}

/// The items in the body of a call.
#[derive(Debug, Clone)]
pub(crate) struct Items<'a> {
    body: &'a [u8],
    left: u32,
}

impl<'a> Items<'a> {
    pub(crate) fn new(body: &'a [u8], count: u32) -> Self {
        Self { body, left: count }
    }

    /// How many there are.
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.body.split_at_checked(ITEM_HEADER_LEN)?;
        let (item, rest) = rest.split_at_checked(u32_at(head, 0) as usize)?;
        self.body = rest;
        Some(item)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Task, Work};

    struct Nothing;

    impl Task<fn(u8)> for Nothing {
        fn run(_: fn(u8), _: &mut Work<'_>) -> u8 {
            0
        }
    }

    fn call(items: &[&[u8]]) -> Frame {
        let mut frame = Frame::call(Function::unary::<Nothing, u8, ()>(|_| ()).unwrap(), 9);
        for item in items {
            let pushed: Result<_, ItemTooLarge> = frame.push(|out| {
                out.extend_from_slice(item);
                Ok(Handles::default())
            });
            assert!(pushed.unwrap().is_none());
        }
        frame.sealed()
    }

    fn items(frame: &Frame) -> Vec<Vec<u8>> {
        let header = Header::parse(frame.bytes()[..HEADER_LEN].try_into().unwrap());
        assert_eq!(frame.len(), HEADER_LEN + header.padded_len());
        let body = &frame.bytes()[HEADER_LEN..][..header.body_len()];
        Items::new(body, header.count).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn items_come_back_as_they_went_in() {
        let frame = call(&[b"one", b"", b"three"]);
        assert_eq!(items(&frame), [&b"one"[..], b"", b"three"]);
        assert_eq!(frame.count(), 3);
    }

    #[test]
    fn a_part_has_just_its_items_and_the_same_function() {
        let frame = call(&[b"one", b"", b"three", b"4"]);
        assert_eq!(items(&frame.part(1, 3)), [&b""[..], b"three"]);
        assert_eq!(items(&frame.part(0, 4)), items(&frame));
        assert!(items(&frame.part(4, 4)).is_empty());
        assert_eq!(frame.part(1, 2).bytes()[16..HEADER_LEN], frame.bytes()[16..HEADER_LEN]);
    }

    #[test]
    fn an_item_that_fails_to_encode_leaves_no_trace() {
        let mut frame = Frame::resume();
        let before = frame.bytes.clone();
        let failed = frame.push(|out| {
            out.extend_from_slice(b"half");
            Err(ItemTooLarge { len: 0 })
        });
        assert!(failed.is_err());
        assert_eq!(frame.bytes, before);
    }

    #[test]
    fn an_item_with_handles_is_alone_in_its_frame() {
        let mut frame = Frame::call(Function::unary::<Nothing, u8, ()>(|_| ()).unwrap(), 9);
        let mut push = |item: &[u8], handles: Handles| {
            let pushed: Result<_, ItemTooLarge> = frame.push(|out| {
                out.extend_from_slice(item);
                Ok(handles)
            });
            pushed.unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        assert!(push(b"one", Handles::default()).is_none());
        let alone = push(b"two", Handles::of([reader.into(), writer.into()])).unwrap();
        assert!(push(b"three", Handles::default()).is_none());
        assert_eq!(items(&frame.sealed()), [&b"one"[..], b"three"]);
        for frame in [&alone, &alone.part(0, 1)] {
            assert_eq!(items(frame), [b"two"]);
            assert_eq!(frame.handles().count(), 2);
            assert_eq!(u16_at(frame.bytes(), 2), 2);
        }
        assert_eq!(u16_at(alone.part(1, 1).bytes(), 2), 0);
    }

    #[test]
    fn a_body_cut_short_ends_the_items() {
        assert_eq!(Items::new(&[9, 0, 0, 0, 1], 5).count(), 0);
        assert_eq!(Items::new(&[], 5).count(), 0);
    }
}
