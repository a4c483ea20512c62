//! Messages as frames in a ring, without a wait and without a system call.
//!
//! # Invariants
//!
//! * **P1** Outside of [`FrameWriter::abort`] the writer leaves [`RESERVE`] bytes of the ring free, so that a message which was
//!   begun can be aborted at any time, whether or not anybody reads.
//! * **P2** A message is real with the frame that is its last. The reader gives out nothing before it has that.
//! * **P3** The reader copies a header once, and a body once, into its own memory, and looks at nothing but the copies. What it
//!   holds of a message never exceeds the limit, and grows with the bytes that come, not with those announced.

mod place;

pub(super) use place::Place;

use super::Violation;
use super::frame::{self, HEADER_LEN, HEADER_WORDS, Header, Kind, Last, frame_len, padding};
use crate::codec::{KEPT_BYTES_MAX, SHORT_BYTES_MAX};
use crate::ring::{Consumer, Corrupt, LATEST_WORDS_MAX, Memory, Producer, Ring};

/// Room for the frame that aborts a message (P1).
pub(super) const RESERVE: usize = HEADER_LEN;

/// A reader that found less than this at a look is close behind the writer, in bytes. The lines that it takes from the writer by a
/// look cost both about half a microsecond, in which some twenty short messages could be sent, and this has room for 300.
const CLOSE_BYTES_MAX: usize = 8 << 10;

/// Room for a message that is taken without a buffer on the heap, in words of 8 bytes: loads that are as wide as the stores
/// before them do not wait for the cache. Its [`bytes_of`] are those of the message.
pub(super) type Short = [u64; SHORT_BYTES_MAX / 8];

/// The first word of `bytes`, little endian, with zeros for what is missing.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    let few = || bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    bytes.first_chunk().map_or_else(few, |whole| u64::from_le_bytes(*whole))
}

/// The bytes of a message that was taken.
#[inline]
pub(super) fn bytes_of(short: &Short) -> &[u8] {
    bytemuck::cast_slice(short)
}

/// The writing side.
#[derive(Debug)]
pub(super) struct FrameWriter<M> {
    producer: Producer<M>,
    /// The number of the message that is being written, or of the next one.
    sequence: u64,
    /// Whether a part of it is in the ring.
    is_open: bool,
}

impl<M: Memory> FrameWriter<M> {
    pub(super) fn new(producer: Producer<M>, sequence: u64) -> Self {
        Self { producer, sequence, is_open: false }
    }

    /// Whether a frame with a body of `len` bytes fits now.
    #[inline]
    pub(super) fn has_room(&mut self, len: usize) -> Result<bool, Corrupt> {
        let wanted = frame_len(len) + RESERVE;
        Ok(self.producer.room(wanted)? >= wanted)
    }

    /// The longest body of a frame that the empty ring has room for.
    pub(super) fn body_max(&self) -> usize {
        self.producer.memory().capacity() - RESERVE - HEADER_LEN
    }

    /// Publishes a part of a message.
    ///
    /// # Panics
    ///
    /// When [`has_room`](Self::has_room) has not said yes to it.
    pub(super) fn put_part(&mut self, body: &[u8]) {
        self.put(Kind::More, body);
        self.is_open = true;
    }

    /// Publishes the last or only part of a message: the commit point (P2).
    ///
    /// # Panics
    ///
    /// When [`has_room`](Self::has_room) has not said yes to it.
    #[inline(always)]
    pub(super) fn put_last(&mut self, last: Last, body: &[u8]) {
        self.put(Kind::Last(last), body);
        self.end_message();
    }

    /// Takes back what was sent of a message (P1), if anything was, and says whether it was.
    pub(super) fn abort(&mut self) -> bool {
        let was_open = self.is_open;
        if was_open {
            self.put(Kind::Abort, &[]);
            self.end_message();
        }
        was_open
    }

    /// Whether a part of a message is in the ring.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    #[inline]
    fn end_message(&mut self) {
        self.is_open = false;
        self.sequence += 1;
    }

    /// A frame that has room beside the tail is put together in words, of which the number is known where they are stored: what is
    /// put together in smaller pieces must be in the cache before it can be loaded, and copies of any length are calls.
    #[inline(always)]
    fn put(&mut self, kind: Kind, body: &[u8]) {
        let len = u32::try_from(body.len()).expect("a frame is shorter than its ring");
        let [head, sequence] = Header { len, kind, sequence: self.sequence }.to_words();
        let word = |index: usize| word_of(body.get(8 * index..).unwrap_or_default());
        match body.len().div_ceil(8) {
            0 => self.put_words(kind, [head, sequence]),
            1 => self.put_words(kind, [head, sequence, word(0)]),
            2 => self.put_words(kind, [head, sequence, word(0), word(1)]),
            3 => self.put_words(kind, [head, sequence, word(0), word(1), word(2)]),
            _ => {
                self.producer.write_words([head, sequence]);
                self.producer.write_padded(body);
            }
        }
        self.producer.publish();
    }

    /// Writes a frame that has room beside the tail there, too.
    #[inline(always)]
    fn put_words<const N: usize>(&mut self, kind: Kind, frame: [u64; N]) {
        self.producer.write_words(frame);
        if N <= LATEST_WORDS_MAX && matches!(kind, Kind::Last(_)) {
            self.producer.show_latest(&frame);
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn producer(&self) -> &Producer<M> {
        &self.producer
    }

    /// Looks how far the reader has come.
    pub(super) fn released(&mut self) -> Result<u64, Corrupt> {
        self.producer.free()?;
        Ok(self.producer.released())
    }
}

/// What the reader found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing that was not there before.
    Nothing,
    /// A part of a message, whose room in the ring is free again.
    Part,
    /// The message is complete.
    Whole,
    /// The message is complete: so many bytes, which are still in the ring.
    Here(usize),
    /// A message of so many bytes was complete, and has been taken.
    Taken(usize),
}

/// The reading side, with what it has of the current message.
#[derive(Debug)]
pub(super) struct FrameReader<M> {
    consumer: Consumer<M>,
    state: Gathered,
    len_max: usize,
    /// How far it was at the last look: the position in the ring, and the number of the message.
    looked_at: (u64, u64),
    /// What the writer did, after which nothing that it writes is looked at.
    violation: Option<Violation>,
}

/// What a reader has of the current message. It travels with the end.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The number of the message.
    pub(super) sequence: u64,
    /// The bytes that have come.
    pub(super) body: Vec<u8>,
    /// Whether a part of it has come.
    pub(super) is_open: bool,
    /// Once all of it has come: what it is.
    pub(super) whole: Option<Last>,
}

/// `len` if it is what is known to come.
#[inline]
fn if_fixed(len: usize, fixed: Option<usize>) -> Option<usize> {
    // The known length, and not the one that is equal to it, so that the compiler goes by it.
    match fixed {
        Some(fixed) if len != fixed => None,
        Some(fixed) => Some(fixed),
        None => Some(len),
    }
}

impl<M: Memory> FrameReader<M> {
    pub(super) fn new(consumer: Consumer<M>, state: Gathered, len_max: usize) -> Self {
        let looked_at = (consumer.position(), state.sequence);
        Self { consumer, state, len_max, looked_at, violation: None }
    }

    /// Takes at most one frame out of the ring.
    #[inline]
    pub(super) fn look(&mut self) -> Result<Look, Violation> {
        self.look_by(Self::read_body)
    }

    /// As [`look`](Self::look), with the bytes of the frame where `read_body` puts them.
    #[inline]
    fn look_by(
        &mut self,
        read_body: impl FnOnce(&mut Self, &Header) -> Result<(), Violation>,
    ) -> Result<Look, Violation> {
        if self.state.whole.is_some() {
            return Ok(Look::Whole);
        }
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        self.look_on(read_body).inspect_err(|&violation| self.violation = Some(violation))
    }

    #[inline]
    fn look_on(
        &mut self,
        read_body: impl FnOnce(&mut Self, &Header) -> Result<(), Violation>,
    ) -> Result<Look, Violation> {
        if self.is_caught_up()? {
            return Ok(Look::Nothing);
        }
        let header = self.read_header()?;
        read_body(self, &header)?;
        match header.kind {
            Kind::Last(last) => {
                self.state.whole = Some(last);
                Ok(Look::Whole)
            }
            Kind::More => {
                self.state.is_open = true;
                self.consumer.release();
                Ok(Look::Part)
            }
            Kind::Abort => self.forget_message(),
        }
    }

    /// As [`look`](Self::look), but a short message without handles is taken at once, by a copy to the front of `short`.
    #[inline]
    pub(super) fn look_and_take(&mut self, short: &mut Short) -> Result<Look, Violation> {
        if !self.is_between() {
            return self.look();
        }
        // One look for news, and not another by `look`: what comes between the two would be taken by the longer way.
        if self.is_caught_up()? {
            return Ok(Look::Nothing);
        }
        self.take_next(short, None).map_or_else(|| self.look(), |len| Ok(Look::Taken(len)))
    }

    /// Takes a short message without handles if it comes next, by a copy to the front of `short`, and says how long it is.
    /// Otherwise nothing has happened, and whatever is wrong [`look`](Self::look) finds again.
    pub(super) fn take_at_once(&mut self, short: &mut Short) -> Option<usize> {
        if self.has_next()? { self.take_next(short, None) } else { None }
    }

    /// As [`take_at_once`](Self::take_at_once), a message of `len` bytes: part of its caller, where that is a number, and so are all
    /// that follows from it.
    #[inline(always)]
    pub(super) fn take_fixed_at_once(&mut self, short: &mut Short, len: usize) -> Option<usize> {
        if self.has_next()? { self.take_next(short, Some(len)) } else { None }
    }

    /// As [`take_at_once`](Self::take_at_once), a message of any length in one frame, by a copy to a vector of its own.
    #[inline]
    pub(super) fn take_vector_at_once(&mut self) -> Option<Vec<u8>> {
        if !self.has_next()? {
            return None;
        }
        let mut short = Short::default();
        if let Some(len) = self.peek_latest(&mut short, None) {
            self.pass(len);
            return Some(bytes_of(&short)[..len].to_vec());
        }
        let len = self.peek_len()?;
        let mut body = Vec::with_capacity(len);
        self.consumer.skip(HEADER_LEN);
        self.consumer.read(len, &mut body);
        self.consumer.skip(padding(len));
        self.end_message();
        Some(body)
    }

    /// Whether there is a frame that begins a message; `None` if that cannot be said.
    #[inline(always)]
    fn has_next(&mut self) -> Option<bool> {
        Some(self.is_between() && !self.is_caught_up().ok()?)
    }

    #[inline(always)]
    fn take_next(&mut self, short: &mut Short, fixed: Option<usize>) -> Option<usize> {
        let len = match self.peek_latest(short, fixed) {
            Some(len) => len,
            None => self.peek_short(short, fixed)?,
        };
        self.pass(len);
        Some(len)
    }

    /// Copies the message that is the newest one, if it is also the next one, from beside the tail to the front of `short`.
    #[inline(always)]
    fn peek_latest(&self, short: &mut Short, fixed: Option<usize>) -> Option<usize> {
        let mut frame = [0; LATEST_WORDS_MAX];
        if !self.consumer.latest(&mut frame) {
            return None;
        }
        let (head, words) = frame.split_first_chunk()?;
        let len = if_fixed(self.short_len(*head)?, fixed)?;
        if frame_len(len) != self.consumer.available_seen() {
            return None;
        }
        for (word, found) in short.iter_mut().zip(words) {
            *word = found.to_le();
        }
        Some(len)
    }

    /// Copies the next message from the ring to the front of `short`.
    #[inline(always)]
    fn peek_short(&self, short: &mut Short, fixed: Option<usize>) -> Option<usize> {
        let len = if_fixed(self.peek_len()?, fixed)?;
        if let Some(len) = fixed {
            // As wide as it is loaded from there.
            let bytes = bytemuck::cast_slice_mut::<u64, u8>(short);
            self.consumer.peek(HEADER_LEN, bytes.get_mut(..len)?);
            return Some(len);
        }
        let words = short.get_mut(..len.div_ceil(8))?;
        self.consumer.peek_words(HEADER_LEN, words);
        for word in words {
            *word = word.to_le();
        }
        Some(len)
    }

    /// How long the next message is, if it is a value without handles and lies in the ring in one frame.
    #[inline(always)]
    fn peek_len(&self) -> Option<usize> {
        if self.consumer.available_seen() < HEADER_LEN {
            return None;
        }
        let mut head = [0; HEADER_WORDS];
        self.consumer.peek_words(0, &mut head);
        let len = self.short_len(head)?;
        if frame_len(len) <= self.consumer.available_seen() { Some(len) } else { None }
    }

    /// How long the next message is, if this is the head of its only frame and it is a value without handles.
    #[inline]
    fn short_len(&self, head: [u64; HEADER_WORDS]) -> Option<usize> {
        let len = frame::plain_len(head, self.state.sequence)?;
        if len <= self.len_max { Some(len) } else { None }
    }

    /// Whether everything that was published has been read: by the last look, or if so by another one.
    #[inline]
    fn is_caught_up(&mut self) -> Result<bool, Corrupt> {
        if self.consumer.available_seen() > 0 {
            return Ok(false);
        }
        self.looked_at = (self.consumer.position(), self.state.sequence);
        Ok(self.consumer.available()? == 0)
    }

    /// Whether this is a stream that the reader is close behind: the next thing to do is to look for news, and the last look found more
    /// than one message, but only a few bytes.
    #[inline]
    pub(super) fn is_close_behind(&self) -> bool {
        self.consumer.available_seen() == 0 && self.was_short_look()
    }

    fn was_short_look(&self) -> bool {
        let (position, sequence) = self.looked_at;
        // A ring of which an eighth was full may be full now, and its writer waiting.
        let enough = CLOSE_BYTES_MAX.min(self.consumer.memory().capacity() / 8);
        let is_short = self.consumer.position() - position < enough as u64;
        is_short && self.state.sequence - sequence > 1
    }

    /// Whether what comes next is the first frame of a message, and would be looked at.
    #[inline]
    fn is_between(&self) -> bool {
        self.state.whole.is_none() && !self.state.is_open && self.violation.is_none()
    }

    /// As [`look`](Self::look), but a message of bytes that lies in one frame stays in the ring, and with it the frames behind it.
    pub(super) fn look_in_place(&mut self) -> Result<Look, Violation> {
        if !self.is_between() || self.consumer.available()? == 0 {
            return self.look();
        }
        let last = Last { is_bytes: true, descriptors: 0 };
        match self.peek_header() {
            Ok(header) if header.kind == Kind::Last(last) && header.body_len() <= self.len_max => {
                Ok(Look::Here(header.body_len()))
            }
            _ => self.look(),
        }
    }

    /// Passes over the message that was left in the ring: the commit point of receiving it.
    #[inline]
    pub(super) fn pass(&mut self, len: usize) {
        self.consumer.skip(frame_len(len));
        self.end_message();
    }

    #[inline]
    fn end_message(&mut self) {
        self.state.sequence += 1;
        self.consumer.release();
    }

    fn forget_message(&mut self) -> Result<Look, Violation> {
        if !self.state.is_open {
            return Err(Violation::Frame("it aborts a message that was not begun"));
        }
        let next = self.state.sequence + 1;
        self.state = Gathered { sequence: next, ..Gathered::default() };
        self.consumer.release();
        Ok(Look::Part)
    }

    #[inline]
    fn read_header(&mut self) -> Result<Header, Violation> {
        let header = self.peek_header()?;
        self.consumer.skip(HEADER_LEN);
        Ok(header)
    }

    /// A frame is published whole, so all of it is there as soon as any of it is.
    #[inline]
    fn peek_header(&self) -> Result<Header, Violation> {
        let seen = self.consumer.available_seen();
        if seen < HEADER_LEN {
            return Err(Violation::Frame("a part of it was published"));
        }
        self.check_header(self.consumer.peek_array::<HEADER_LEN>())
    }

    #[inline]
    fn check_header(&self, header: [u8; HEADER_LEN]) -> Result<Header, Violation> {
        let header = Header::parse(header)?;
        if frame_len(header.body_len()) > self.consumer.available_seen() {
            return Err(Violation::Frame("a part of it was published"));
        }
        if header.sequence != self.state.sequence {
            return Err(Violation::Frame("its sequence number is not the next one"));
        }
        Ok(header)
    }

    /// Whether the message is within the limit with this frame, if `placed` bytes of it are not here.
    #[inline]
    fn check_len(&self, placed: usize, header: &Header) -> Result<(), Violation> {
        let (len, limit) = (placed + self.state.body.len() + header.body_len(), self.len_max);
        if len > limit { Err(Violation::TooLarge { len, limit }) } else { Ok(()) }
    }

    #[inline]
    fn read_body(&mut self, header: &Header) -> Result<(), Violation> {
        self.check_len(0, header)?;
        self.consumer.read(header.body_len(), &mut self.state.body);
        self.consumer.skip(padding(header.body_len()));
        Ok(())
    }

    /// Gives out the message that is complete, and its room in the ring: the commit point of receiving.
    ///
    /// # Panics
    ///
    /// When [`look`](Self::look) has not said that it is.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<u8> {
        assert!(self.state.whole.take().is_some(), "the message is complete");
        self.state.is_open = false;
        self.state.sequence += 1;
        self.consumer.release();
        std::mem::take(&mut self.state.body)
    }

    /// Takes a buffer back for the next message.
    #[inline]
    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES_MAX && self.state.body.capacity() == 0 {
            buffer.clear();
            self.state.body = buffer;
        }
    }

    pub(super) fn gathered(&self) -> &Gathered {
        &self.state
    }

    pub(super) fn consumer(&self) -> &Consumer<M> {
        &self.consumer
    }

    pub(super) fn len_max(&self) -> usize {
        self.len_max
    }
}

impl FrameReader<Ring> {
    /// The bytes of the message that [`look_in_place`](Self::look_in_place) found.
    ///
    /// # Safety
    ///
    /// As for [`Consumer::view`].
    pub(super) unsafe fn view(&self, len: usize) -> &[u8] {
        // SAFETY: the caller's promise is the one that is asked for.
        let frame = unsafe { self.consumer.view(HEADER_LEN + len) };
        &frame[HEADER_LEN..]
    }
}
