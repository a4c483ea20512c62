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
//! A call may be several *messages*, each with a header of its own, one after the other: the parent keeps and sends them as one
//! frame, the worker takes one after the other. So messages of one item each cost the parent no allocation and no entry in its
//! books for each, and the worker still sees, runs and answers them one by one.
//!
//! An item with handles is alone in its frame, because the descriptors of a frame go beside it in one packet, and because what
//! is moved to a worker must not wait behind something else, from where it would have to be taken back.

mod fixed;

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use procession_shm::family::Invitation;

use super::handles::Handles;
use crate::function::Function;

pub(crate) const HEADER_LEN: usize = 40;
const ITEM_HEADER_LEN: usize = 4;
/// From how many bytes on an item is left where it is, if it can be.
const LONG: usize = 16 << 10;
/// Room for a small argument, so that most frames of one item are one allocation.
const CAPACITY: usize = 128;

/// No body is longer: it would have no place in memory with its padding.
const BODY_LEN_MAX: u64 = (isize::MAX - 7) as u64;

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
    /// Where its last message begins, and how many items that has.
    last: Message,
    /// The most items in a message.
    message_items_max: u32,
    /// The bytes of its only item, if these are many and lie where the caller had them.
    long: Option<Arc<Vec<u8>>>,
    handles: Handles,
}

/// A message that is being filled.
#[derive(Debug, Clone, Copy, Default)]
struct Message {
    start: usize,
    count: u32,
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

/// Without it a frame as long as the one before grows once more, to twice its length.
const SPARE_LEN: usize = 64;

impl Frame {
    /// A call of `function` without items yet. Items of one `call` share a context.
    pub fn call(function: Function, call: u64) -> Self {
        let mut frame = Self::empty(CALL, call);
        for (at, word) in [24, 32].into_iter().zip(function.to_words()) {
            frame.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        frame
    }

    /// The same with at most `items` items in a message, of which there may be any number.
    #[must_use]
    pub fn in_messages_of(mut self, items: usize) -> Self {
        self.message_items_max = u32::try_from(items).unwrap_or(u32::MAX).max(1);
        self
    }

    /// The same with room for `len` bytes, and for those that an encoder wants to have left when it is done; in `memory`, whatever
    /// was in there.
    #[must_use]
    pub fn with_room_for(mut self, len: usize, mut memory: Vec<u8>) -> Self {
        if memory.capacity() > self.bytes.capacity() {
            memory.clear();
            memory.extend_from_slice(&self.bytes);
            self.bytes = memory;
        }
        self.bytes.reserve((len + SPARE_LEN).saturating_sub(self.bytes.len()));
        self
    }

    /// Makes it one of `call`, if it is a call of one message, sealed or not.
    ///
    /// # Panics
    ///
    /// When it has several messages, each of which says where it belongs.
    #[inline]
    pub fn belong_to(&mut self, call: u64) {
        assert_eq!(self.last.start, 0, "it has one message");
        self.bytes[16..24].copy_from_slice(&call.to_le_bytes());
    }

    /// Its memory, which another one can have: that of its long item, if it has one.
    pub fn into_memory(self) -> Vec<u8> {
        self.long.and_then(Arc::into_inner).unwrap_or(self.bytes)
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
        Self {
            bytes,
            count: 0,
            last: Message::default(),
            message_items_max: u32::MAX,
            long: None,
            handles: Handles::default(),
        }
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
        let mut item = Item::begin(self);
        let handles = encode(&mut item.frame.bytes)?;
        item.close()?;
        if handles.is_empty() {
            item.is_whole = true;
            return Ok(None);
        }
        Ok(Some(item.alone(handles)))
    }

    /// [`push`](Self::push) for what cannot have handles.
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn push_plain<E: From<ItemTooLarge>>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut item = Item::begin(self);
        encode(&mut item.frame.bytes)?;
        item.close()?;
        item.is_whole = true;
        Ok(())
    }

    /// Whether an item of so many bytes is better left where it is, in a frame of its own.
    #[inline]
    pub fn is_long(len: usize) -> bool {
        len >= LONG
    }

    /// An item that was encoded already, as a sealed frame of its own, which does not copy it. This frame is as it was.
    ///
    /// # Errors
    ///
    /// [`ItemTooLarge`].
    pub fn alone(&self, encoded: Vec<u8>) -> Result<Self, ItemTooLarge> {
        let len = encoded.len();
        let word = u32::try_from(len).map_err(|_| ItemTooLarge { len })?;
        let mut bytes = self.header().to_vec();
        bytes.extend_from_slice(&word.to_le_bytes());
        let last = Message { start: 0, count: 1 };
        let (long, handles) = (Some(Arc::new(encoded)), Handles::default());
        Ok(Self { bytes, count: 1, last, long, handles, ..*self }.sealed())
    }

    /// The header of its first message, which the others have with another length and count.
    #[inline]
    fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(&self.bytes[..HEADER_LEN]);
        header
    }

    /// Completes the last header. A frame can be sent after this and takes no more items.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.close_message();
        #[expect(clippy::cast_possible_truncation, reason = "at most DESCRIPTORS_MAX")]
        let descriptors = self.handles.count() as u16;
        self.bytes[2..4].copy_from_slice(&descriptors.to_le_bytes());
        self
    }

    /// Completes the header of the last message.
    #[inline]
    fn close_message(&mut self) {
        let Message { start, count } = self.last;
        let body = (self.bytes.len() - start - HEADER_LEN + self.long().len()) as u64;
        self.bytes[start + 4..start + 8].copy_from_slice(&count.to_le_bytes());
        self.bytes[start + 8..start + 16].copy_from_slice(&body.to_le_bytes());
        if self.long.is_none() {
            let padding = self.bytes.len().next_multiple_of(8) - self.bytes.len();
            self.bytes.extend_from_slice(&[0; 8][..padding]);
        }
    }

    #[inline]
    fn long(&self) -> &[u8] {
        self.long.as_ref().map_or(&[], |long| long)
    }

    /// Begins another message, which is like the first one but for its items. Apart from what is done for each item.
    #[inline(never)]
    fn begin_message(&mut self) {
        self.close_message();
        let header = self.header();
        self.last = Message { start: self.bytes.len(), count: 0 };
        self.bytes.extend_from_slice(&header);
    }

    /// How many items it has.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The items that travel in one message with this one.
    pub fn message_of(&self, item: usize) -> Range<usize> {
        let max = self.message_items_max as usize;
        let start = item / max * max;
        start..self.count().min(start.saturating_add(max))
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a frame always has a header")]
    pub fn len(&self) -> usize {
        (self.bytes.len() + self.long().len()).next_multiple_of(8)
    }

    /// Its bytes, in pieces that follow each other.
    #[inline]
    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        let padding = self.len() - self.bytes.len() - self.long().len();
        [&self.bytes, self.long(), &[0; 8][..padding]]
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
        if self.long.is_some() && from < to {
            return self.clone();
        }
        // Who has handles is alone in his frame: he is in the part or the part is empty.
        let handles = if from < to { self.handles.clone() } else { Handles::default() };
        let bytes = self.header().to_vec();
        let last = Message::default();
        let mut part = Self { bytes, count: 0, last, long: None, handles, ..*self };
        if from < to {
            self.arguments().skip(from).take(to - from).for_each(|item| part.push_encoded(item));
        }
        part.sealed()
    }

    /// The encoded arguments of the items of a sealed call, one by one.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        let long = self.long.iter().map(|long| &long[..]);
        let mut rest = if self.long.is_some() { &[] } else { &self.bytes[..] };
        let messages = std::iter::from_fn(move || {
            let (header, behind) = rest.split_first_chunk::<HEADER_LEN>()?;
            let header = Header::parse(header);
            let (body, behind) = behind.split_at(header.padded_len());
            rest = behind;
            Some(Items::new(&body[..header.body_len()], header.count))
        });
        long.chain(messages.flatten())
    }

    fn push_encoded(&mut self, encoded: &[u8]) {
        let pushed: Result<(), ItemTooLarge> = self.push_plain(|out| {
            out.extend_from_slice(encoded);
            Ok(())
        });
        pushed.expect("it was an item before");
    }
}

/// An item that is being added. Unless it becomes whole, be it for an error or a panic, nothing of it remains.
struct Item<'a> {
    frame: &'a mut Frame,
    /// Where it begins.
    start: usize,
    /// What the frame was before: its length and its last message.
    before: (usize, Message),
    is_whole: bool,
}

impl<'a> Item<'a> {
    /// Room for its length, in a new message if the last one is full.
    #[inline]
    fn begin(frame: &'a mut Frame) -> Self {
        let before = (frame.bytes.len(), frame.last);
        if frame.last.count >= frame.message_items_max {
            frame.begin_message();
        }
        let start = frame.bytes.len();
        frame.bytes.extend_from_slice(&[0; ITEM_HEADER_LEN]);
        Self { frame, start, before, is_whole: false }
    }

    /// Writes down how long it is.
    #[inline]
    fn close(&mut self) -> Result<(), ItemTooLarge> {
        let body = self.start + ITEM_HEADER_LEN;
        let len = self.frame.bytes.len() - body;
        let word = u32::try_from(len).map_err(|_| ItemTooLarge { len })?;
        self.frame.bytes[self.start..body].copy_from_slice(&word.to_le_bytes());
        Ok(())
    }

    /// The item as a frame of its own; the frame that it was added to is as before.
    fn alone(self, handles: Handles) -> Frame {
        let mut bytes = self.frame.header().to_vec();
        bytes.extend_from_slice(&self.frame.bytes[self.start..]);
        let last = Message { start: 0, count: 1 };
        Frame { bytes, count: 1, last, long: None, handles, ..*self.frame }.sealed()
    }
}

impl Drop for Item<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_whole {
            self.frame.count += 1;
            self.frame.last.count += 1;
        } else {
            let (len, last) = self.before;
            self.frame.bytes.truncate(len);
            self.frame.last = last;
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

    /// Whether it may be the header of a frame with a long body: only calls and contexts have any, and none is longer than memory.
    pub(crate) fn can_be_long(&self) -> bool {
        matches!(self.kind, CALL | CONTEXT) && self.body <= BODY_LEN_MAX
    }

    /// What kind of frame it says it is, and how long its body.
    pub(crate) fn claim(&self) -> (u16, u64) {
        (self.kind, self.body)
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
        call_of(items, usize::MAX)
    }

    /// With at most `max` items in a message.
    fn call_of(items: &[&[u8]], max: usize) -> Frame {
        let function = Function::unary::<Nothing, u8, ()>(|_| ()).unwrap();
        let mut frame = Frame::call(function, 9).in_messages_of(max);
        for item in items {
            let pushed: Result<_, ItemTooLarge> = frame.push(|out| {
                out.extend_from_slice(item);
                Ok(Handles::default())
            });
            assert!(pushed.unwrap().is_none());
        }
        frame.sealed()
    }

    fn bytes(frame: &Frame) -> Vec<u8> {
        let bytes = frame.pieces().concat();
        assert_eq!(bytes.len(), frame.len());
        bytes
    }

    /// What a worker finds in each message of a frame.
    fn messages(frame: &Frame) -> Vec<Vec<Vec<u8>>> {
        let bytes = bytes(frame);
        let (mut messages, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((header, behind)) = rest.split_first_chunk() {
            let header = Header::parse(header);
            let items = Items::new(&behind[..header.body_len()], header.count);
            messages.push(items.map(<[u8]>::to_vec).collect());
            rest = &behind[header.padded_len()..];
        }
        messages
    }

    fn items(frame: &Frame) -> Vec<Vec<u8>> {
        let [items] = &messages(frame)[..] else { panic!("a frame of one message") };
        items.clone()
    }

    #[test]
    fn items_come_back_as_they_went_in() {
        let frame = call(&[b"one", b"", b"three"]);
        assert_eq!(items(&frame), [&b"one"[..], b"", b"three"]);
        assert_eq!(frame.count(), 3);
    }

    #[test]
    fn a_frame_can_be_made_one_of_another_call() {
        let mut frame = call(&[b"one"]);
        frame.belong_to(0x0102_0304_0506_0708);
        let [bytes, ..] = frame.pieces();
        let header = Header::parse(bytes.first_chunk().unwrap());
        assert_eq!(header.call(), 0x0102_0304_0506_0708);
        assert_eq!(items(&frame), [b"one"]);
    }

    #[test]
    #[should_panic = "it has one message"]
    fn a_frame_of_several_messages_stays_with_its_call() {
        call_of(&[b"one", b"two"], 1).belong_to(7);
    }

    #[test]
    fn a_part_has_just_its_items_and_the_same_function() {
        let frame = call(&[b"one", b"", b"three", b"4"]);
        assert_eq!(items(&frame.part(1, 3)), [&b""[..], b"three"]);
        assert_eq!(items(&frame.part(0, 4)), items(&frame));
        assert!(items(&frame.part(4, 4)).is_empty());
        assert_eq!(frame.part(1, 2).bytes[16..HEADER_LEN], frame.bytes[16..HEADER_LEN]);
    }

    #[test]
    fn messages_have_no_more_items_than_they_may() {
        let all: Vec<[u8; 1]> = (0..7).map(|n| [n]).collect();
        let all: Vec<&[u8]> = all.iter().map(<[u8; 1]>::as_slice).collect();
        let whole = call_of(&all, 3);
        assert_eq!(whole.count(), 7);
        for (from, to) in [(0, 7), (0, 3), (2, 6), (6, 7), (7, 7)] {
            let part = whole.part(from, to);
            let found = messages(&part);
            assert_eq!(found.concat(), all[from..to], "{from}..{to}");
            assert!(found.len() == 1 || found.iter().all(|items| (1..=3).contains(&items.len())));
            assert_eq!(found.len(), (to - from).div_ceil(3).max(1));
            assert_eq!(part.count(), to - from);
            assert_eq!(part.arguments().collect::<Vec<_>>(), all[from..to], "{from}..{to}");
            let mut start = 0;
            for message in found.iter().filter(|message| !message.is_empty()) {
                let range = start..start + message.len();
                assert!(range.clone().all(|item| part.message_of(item) == range), "{from}..{to}");
                start = range.end;
            }
        }
    }

    #[test]
    fn an_item_that_fails_to_encode_does_not_begin_a_message() {
        let mut frame = call_of(&[], 1);
        let mut push = |item: Result<&[u8], ItemTooLarge>| {
            frame.push(|out| {
                out.extend_from_slice(b"half");
                out.extend_from_slice(item?);
                Ok::<_, ItemTooLarge>(Handles::default())
            })
        };
        assert!(push(Ok(b"one")).unwrap().is_none());
        assert!(push(Err(ItemTooLarge { len: 0 })).is_err());
        assert!(push(Ok(b"two")).unwrap().is_none());
        let expected = [vec![b"halfone".to_vec()], vec![b"halftwo".to_vec()]];
        assert_eq!(messages(&frame.sealed()), expected);
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
            assert_eq!(u16_at(&frame.bytes, 2), 2);
        }
        assert_eq!(u16_at(&alone.part(1, 1).bytes, 2), 0);
    }

    #[test]
    fn a_long_item_is_sent_from_where_it_lies() {
        let open = call(&[b"other"]);
        for len in [LONG, LONG + 3] {
            let item: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
            let alone = open.alone(item.clone()).unwrap();
            for frame in [&alone, &alone.part(0, 1)] {
                assert_eq!(items(frame), [&item[..]]);
                assert_eq!(frame.count(), 1);
                assert!(frame.len().is_multiple_of(8));
            }
            assert!(items(&alone.part(1, 1)).is_empty());
        }
        assert_eq!(items(&open), [b"other"]);
    }

    #[test]
    fn a_body_cut_short_ends_the_items() {
        assert_eq!(Items::new(&[9, 0, 0, 0, 1], 5).count(), 0);
        assert_eq!(Items::new(&[], 5).count(), 0);
    }
}
