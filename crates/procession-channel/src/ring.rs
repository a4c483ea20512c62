//! A ring of bytes between one producer and one consumer in different processes.
//!
//! ```
//! use procession_channel::ring::{Consumer, Producer, Ring};
//!
//! let (here, segment) = Ring::new(4096)?;
//! let there = Ring::over(&segment)?;                    // as another process would
//! let (mut producer, mut consumer) = (Producer::new(here), Consumer::new(there));
//! producer.write(b"hello")?;
//! assert_eq!(consumer.available()?, 0);
//! producer.publish();                                   // the commit point
//! let (len, mut bytes) = (consumer.available()?, Vec::new());
//! consumer.read(len, &mut bytes);
//! consumer.release();                                   // the room is the producer's again
//! assert_eq!((bytes.as_slice(), producer.free()?), (&b"hello"[..], 4096));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Algorithm
//!
//! Two counters, `tail` (bytes ever published) and `head` (bytes ever released), each written by one side only. Each side
//! keeps its own counter privately and only *publishes* it; the shared copy is never read back, so nobody else can move it.
//! The bytes lie in a mirrored mapping: what wraps around at the end is contiguous all the same.
//!
//! Rejected: slots of a fixed size (messages have no fixed size), per-slot sequence stamps as in many-producer rings (a
//! producer killed between claiming and stamping blocks the ring for ever), and indices modulo the capacity (they cannot
//! tell full from empty without a wasted byte, and a peer that moves them backwards goes unnoticed).
//!
//! # Layout of the head page
//!
//! | offset | word | written by |
//! |---|---|---|
//! | 0 | `tail`: u64, bytes ever published | producer |
//! | 8..64 | hints of the producer ([`Ring::hint_u64`]), read by the consumer with the tail in one cache line, among them the newest frame once more (`latest`) | producer |
//! | 128 | `head`: u64, bytes ever released | consumer |
//! | 256 | reader's [`Bell`] | both |
//! | 384 | writer's [`Bell`] | both |
//! | 512.. | words of the protocol on top ([`Ring::word_u64`]) | its own rules |
//!
//! Every word has 128 bytes for itself, because processors fetch cache lines in pairs.
//!
//! # Invariants
//!
//! * **R1** `head <= tail <= head + capacity`, as counters that never wrap in practice (2^64 bytes).
//! * **R2** The bytes `head .. tail` belong to the consumer, all others to the producer.
//! * **R3** Everything read from the other side's counter is fetched once, checked against R1 with the private counter, and
//!   only the checked copy is used. A counter that breaks R1 or runs backwards is [`Corrupt`].
//!
//! # Ordering
//!
//! * **E1** `Producer::publish` (release store of `tail`) pairs with `Consumer::available` (acquire load): the bytes before
//!   the counter.
//! * **E2** `Consumer::release` (release store of `head`) pairs with `Producer::free` (acquire load): the reads of the old
//!   bytes before the writes of the new.
//!
//! # Crash points
//!
//! The producer's one commit point is the store of `tail`, the consumer's the store of `head`. A producer killed before it
//! has sent nothing, whatever it has written; a consumer killed before it has taken nothing. Neither can leave a state that
//! needs repair.
//!
//! # Not guaranteed
//!
//! A peer that may be hostile can write any bytes at any time. The consumer copies before it looks; what it copies may be
//! garbage and is checked by whoever decodes it.

mod latest;

use std::sync::Arc;

use procession_shm::sync::atomic::{AtomicU64, Ordering};
use procession_shm::{KeptWord, Mapping, Segment, SegmentError, page_size};

use crate::bell::Bell;
pub use latest::{LATEST_LEN_MAX, LATEST_WORDS_MAX};

const TAIL: usize = 0;
const HEAD: usize = 128;
const READER_BELL: usize = 256;
const WRITER_BELL: usize = 384;
/// Where the words of the protocol on top of the ring begin, in bytes.
const PROTOCOL: usize = 512;

/// No page is smaller.
const HEAD_LEN_MIN: usize = 4096;

/// The largest position at which a side may be taken over: far beyond what can be sent, and far from where a counter wraps.
const POSITION_MAX: u64 = 1 << 62;

/// The other side broke the rules of the ring: a counter that cannot be.
///
/// Nothing of it has been used. The ring is of no use any more and its peer cannot be trusted.
///
/// ```
/// use procession_channel::pipe::{Corrupt, RecvError, Violation};
///
/// /// Whether the process at the other end has written a position that cannot be.
/// fn is_position(error: &RecvError) -> bool {
///     matches!(error, RecvError::Corrupt(Violation::Position(Corrupt { .. })))
/// }
///
/// assert!(!is_position(&RecvError::Closed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the peer wrote an impossible position ({published}, private position {private}) into a shared ring"
)]
pub struct Corrupt {
    published: u64,
    private: u64,
}

/// Where the words and bytes of a ring lie: in a mapping, or on the heap of a model.
pub trait Memory {
    /// The published end of what was written.
    fn tail(&self) -> &AtomicU64;
    /// The published end of what was read.
    fn head(&self) -> &AtomicU64;
    /// How many bytes the ring holds.
    fn capacity(&self) -> usize;
    /// Copies `bytes` to the position `at`, which counts from the beginning of time.
    fn write(&self, at: u64, bytes: &[u8]);
    /// Appends `len` bytes from position `at` on to `out`.
    fn read(&self, at: u64, len: usize, out: &mut Vec<u8>);
    /// Copies the bytes from position `at` on to all of `out`.
    fn read_to(&self, at: u64, out: &mut [u8]);
    /// Copies words, little endian, to the position `at`.
    #[inline]
    fn write_words<const N: usize>(&self, at: u64, words: [u64; N]) {
        self.write(at, words.map(u64::to_le_bytes).as_flattened());
    }
    /// Copies words, little endian, from position `at` on to all of `out`.
    #[inline]
    fn read_words(&self, at: u64, out: &mut [u64]) {
        for (at, word) in (at..).step_by(8).zip(out) {
            let mut bytes = [0; 8];
            self.read_to(at, &mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
    }
    /// A word in the cache line of the tail, 0 to 6.
    fn hint(&self, index: usize) -> &AtomicU64;
}

/// The memory of a ring: made by one process, taken over by the other, mapped by both.
#[derive(Debug, Clone)]
pub struct Ring {
    mapping: Arc<Mapping>,
    capacity: usize,
    /// Where the bytes begin: behind the head page.
    start: usize,
}

impl Ring {
    /// Makes a ring that holds at least `capacity` bytes, and the segment through which another process takes it over.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::new`] and [`Segment::map_mirrored`].
    pub fn new(capacity: usize) -> Result<(Self, Segment), SegmentError> {
        let capacity = capacity.checked_next_power_of_two().unwrap_or(usize::MAX);
        let segment = Segment::new(page_size().saturating_add(capacity))?;
        Ok((Self::over(&segment)?, segment))
    }

    /// Maps the ring in a segment that another process made.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::map_mirrored`]; [`SegmentError::Foreign`] when the segment has no room for a ring.
    pub fn over(segment: &Segment) -> Result<Self, SegmentError> {
        let start = page_size();
        let capacity = segment.len() - start;
        if !capacity.is_power_of_two() {
            let reason = format!("a ring cannot hold {capacity} bytes");
            return Err(SegmentError::Foreign { reason });
        }
        Ok(Self { mapping: Arc::new(segment.map_mirrored(start)?), capacity, start })
    }

    /// The bell on which the consumer sleeps.
    #[inline]
    pub fn reader_bell(&self) -> Bell<'_> {
        Bell::new(self.mapping.atomic_u32(READER_BELL))
    }

    /// The bell on which the producer sleeps.
    #[inline]
    pub fn writer_bell(&self) -> Bell<'_> {
        Bell::new(self.mapping.atomic_u32(WRITER_BELL))
    }

    /// The word of the [`reader_bell`](Self::reader_bell), which keeps the ring mapped.
    pub fn reader_bell_word(&self) -> KeptWord {
        KeptWord::new(Arc::clone(&self.mapping), |mapping| mapping.atomic_u32(READER_BELL))
    }

    /// The word of the [`writer_bell`](Self::writer_bell), which keeps the ring mapped.
    pub fn writer_bell_word(&self) -> KeptWord {
        KeptWord::new(Arc::clone(&self.mapping), |mapping| mapping.atomic_u32(WRITER_BELL))
    }

    /// A 64-bit word for the protocol on top of the ring; `index` counts cache line pairs.
    ///
    /// # Panics
    ///
    /// When the head page has no such word.
    #[inline]
    pub fn word_u64(&self, index: usize) -> &AtomicU64 {
        self.mapping.atomic_u64(Self::word_offset(index))
    }

    /// A word in the cache line of the tail, for what the producer wants to tell the consumer along with it.
    ///
    /// # Panics
    ///
    /// When `index` is over 6.
    #[inline]
    pub fn hint_u64(&self, index: usize) -> &AtomicU64 {
        assert!(index < 7, "the tail's cache line has room for 7 hints");
        self.mapping.atomic_u64(TAIL + 8 * (index + 1))
    }

    #[inline]
    fn word_offset(index: usize) -> usize {
        let offset = PROTOCOL + index * 128;
        assert!(offset < HEAD_LEN_MIN, "the head page has no word {index}");
        offset
    }

    #[inline]
    fn offset(&self, at: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the capacity, a usize")]
        let within = (at as usize) & (self.capacity - 1);
        self.start + within
    }

    /// The address of position `at`; the `capacity` bytes from there on are contiguous.
    pub(crate) fn address(&self, at: u64) -> *const u8 {
        self.mapping.as_ptr().wrapping_add(self.offset(at))
    }
}

impl Memory for Ring {
    #[inline]
    fn tail(&self) -> &AtomicU64 {
        self.mapping.atomic_u64(TAIL)
    }

    #[inline]
    fn head(&self) -> &AtomicU64 {
        self.mapping.atomic_u64(HEAD)
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    fn write(&self, at: u64, bytes: &[u8]) {
        self.mapping.write(self.offset(at), bytes);
    }

    #[inline]
    fn read(&self, at: u64, len: usize, out: &mut Vec<u8>) {
        self.mapping.read(self.offset(at), len, out);
    }

    #[inline]
    fn read_to(&self, at: u64, out: &mut [u8]) {
        self.mapping.read_to(self.offset(at), out);
    }

    #[inline(always)]
    fn write_words<const N: usize>(&self, at: u64, words: [u64; N]) {
        self.mapping.write_words(self.offset(at), words.map(u64::to_le));
    }

    #[inline]
    fn read_words(&self, at: u64, out: &mut [u64]) {
        self.mapping.read_words(self.offset(at), out);
        out.iter_mut().for_each(|word| *word = u64::from_le(*word));
    }

    #[inline]
    fn hint(&self, index: usize) -> &AtomicU64 {
        self.hint_u64(index)
    }
}

/// The writing side. There is one in the world for each ring.
#[derive(Debug)]
pub struct Producer<M = Ring> {
    memory: M,
    /// End of what has been written, published or not.
    written: u64,
    /// The last value of `head` that passed the check; the ring is at least this empty.
    released: u64,
}

impl<M: Memory> Producer<M> {
    /// The writing side of a ring that nobody has written to yet.
    pub fn new(memory: M) -> Self {
        Self { memory, written: 0, released: 0 }
    }

    /// The writing side of a ring that another process has written to before: [`position`](Self::position) and
    /// [`released`](Self::released) as they were there. `None` when they break R1, or are so large that a counter could wrap.
    pub fn resume(memory: M, written: u64, released: u64) -> Option<Self> {
        let held = written.checked_sub(released)?;
        let sound = written <= POSITION_MAX && held <= memory.capacity() as u64;
        sound.then_some(Self { memory, written, released })
    }

    /// How many bytes can be written now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the consumer's position cannot be.
    #[inline]
    pub fn free(&mut self) -> Result<usize, Corrupt> {
        let published = self.memory.head().load(Ordering::Acquire); // E2
        let held = self.written.wrapping_sub(published);
        if held > self.written.wrapping_sub(self.released) {
            return Err(Corrupt { published, private: self.written });
        }
        self.released = published;
        #[expect(clippy::cast_possible_truncation, reason = "by R1 at most the capacity, a usize")]
        let held = held as usize;
        Ok(self.memory.capacity() - held)
    }

    /// Writes as much of `bytes` as there is room for and returns how much that was. Nobody sees it before
    /// [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the consumer's position cannot be.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let mut room = self.room_seen();
        if room < bytes.len() {
            room = self.free()?;
        }
        let len = room.min(bytes.len());
        if procession_shm::seeded!("published-before-written") {
            self.memory.tail().store(self.written + len as u64, Ordering::Release);
        }
        self.memory.write(self.written, &bytes[..len]);
        self.written += len as u64;
        Ok(len)
    }

    /// As [`write`](Self::write), but words of 8 bytes, and all of them.
    ///
    /// It is part of its caller: an array that is handed over in memory is loaded wider than it was stored, and such a load waits
    /// until the stores before it are in the cache.
    ///
    /// # Panics
    ///
    /// When there is less [`room`](Self::room) for them as far as the last look showed.
    #[inline(always)]
    pub fn write_words<const N: usize>(&mut self, words: [u64; N]) {
        assert!(8 * N <= self.room_seen(), "writing beyond what is free");
        self.memory.write_words(self.written, words);
        self.written += 8 * N as u64;
    }

    /// As [`write`](Self::write), but all of `bytes`, and zeros up to a position that is a multiple of 8.
    ///
    /// # Panics
    ///
    /// When there is less [`room`](Self::room) for them as far as the last look showed.
    #[inline]
    pub fn write_padded(&mut self, bytes: &[u8]) {
        let end = (self.written + bytes.len() as u64).next_multiple_of(8);
        assert!(end - self.written <= self.room_seen() as u64, "writing beyond what is free");
        if !bytes.len().is_multiple_of(8) {
            self.memory.write_words(end - 8, [0]);
        }
        self.memory.write(self.written, bytes);
        self.written = end;
    }

    /// How many bytes can be written now, if it is enough for the caller at the last look; otherwise after another look.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the consumer's position cannot be.
    #[inline]
    pub fn room(&mut self, wanted: usize) -> Result<usize, Corrupt> {
        let seen = self.room_seen();
        if seen >= wanted { Ok(seen) } else { self.free() }
    }

    /// Publishes all that was written: the commit point.
    #[inline]
    pub fn publish(&mut self) {
        self.memory.tail().store(self.written, Ordering::Release); // E1
    }

    /// How many bytes were ever written.
    pub fn position(&self) -> u64 {
        self.written
    }

    /// How many bytes the consumer had ever released at the last look.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// The ring.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    #[inline]
    fn room_seen(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "by R1 at most the capacity, a usize")]
        let held = self.written.wrapping_sub(self.released) as usize;
        self.memory.capacity() - held
    }
}

/// The reading side. There is one in the world for each ring.
#[derive(Debug)]
pub struct Consumer<M = Ring> {
    memory: M,
    /// End of what has been read, released or not.
    read: u64,
    /// The last value of `tail` that passed the check.
    published: u64,
}

impl<M: Memory> Consumer<M> {
    /// The reading side of a ring that nobody has read from yet.
    pub fn new(memory: M) -> Self {
        Self { memory, read: 0, published: 0 }
    }

    /// The reading side of a ring that another process has read from before: [`position`](Self::position) as it was there.
    /// `None` when it is so large that a counter could wrap.
    pub fn resume(memory: M, read: u64) -> Option<Self> {
        (read <= POSITION_MAX).then_some(Self { memory, read, published: read })
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the producer's position cannot be.
    #[inline]
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        let published = self.memory.tail().load(Ordering::Acquire); // E1
        let unread = published.wrapping_sub(self.read);
        let known = self.published.wrapping_sub(self.read);
        let is_sound = unread <= self.memory.capacity() as u64 && unread >= known;
        if !is_sound && !procession_shm::seeded!("peer-not-checked") {
            return Err(Corrupt { published, private: self.read });
        }
        self.published = published;
        #[expect(clippy::cast_possible_truncation, reason = "by R1 at most the capacity, a usize")]
        Ok(unread as usize)
    }

    /// How many bytes can be read as far as the last look showed.
    #[inline]
    pub fn available_seen(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "by R1 at most the capacity, a usize")]
        let unread = self.published.wrapping_sub(self.read) as usize;
        unread
    }

    /// Appends the next `len` bytes to `out`. They stay in the ring until [`release`](Self::release).
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    #[inline]
    pub fn read(&mut self, len: usize, out: &mut Vec<u8>) {
        assert!(len <= self.available_seen(), "reading beyond what was published");
        self.memory.read(self.read, len, out);
        self.read += len as u64;
        if procession_shm::seeded!("released-while-reading") {
            self.release();
        }
    }

    /// A copy of the next `N` bytes, which stay in the ring.
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    #[inline]
    pub fn peek_array<const N: usize>(&self) -> [u8; N] {
        let mut copy = [0; N];
        self.peek(0, &mut copy);
        copy
    }

    /// A copy of the bytes that follow `offset` bytes further on, which stay in the ring.
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    #[inline]
    pub fn peek(&self, offset: usize, out: &mut [u8]) {
        assert!(offset + out.len() <= self.available_seen(), "reading beyond what was published");
        self.memory.read_to(self.read + offset as u64, out);
    }

    /// As [`peek`](Self::peek), but words of 8 bytes, little endian.
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    #[inline]
    pub fn peek_words(&self, offset: usize, out: &mut [u64]) {
        assert!(
            offset + 8 * out.len() <= self.available_seen(),
            "reading beyond what was published"
        );
        self.memory.read_words(self.read + offset as u64, out);
    }

    /// Passes over the next `len` bytes, which somebody has looked at in place.
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    #[inline]
    pub fn skip(&mut self, len: usize) {
        assert!(len <= self.available_seen(), "skipping beyond what was published");
        self.read += len as u64;
    }

    /// Gives the room of all that was read back to the producer: the commit point.
    #[inline]
    pub fn release(&mut self) {
        self.memory.head().store(self.read, Ordering::Release); // E2
    }

    /// How many bytes were ever read.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// The ring.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

/// How many bytes a waiting consumer looks ahead: what lies in one cache line, or begins in one and ends in the next.
#[cfg(target_arch = "x86_64")]
const AHEAD_LEN: usize = 64;

impl Consumer<Ring> {
    /// Asks for the cache lines in which the next short message will lie. Whoever does it with each look at the tail has them come over
    /// together with the tail's line, and not after it. A hint: nothing is read, and where it is not known how to ask, nothing happens.
    #[inline]
    pub fn look_ahead(&self) {
        #[cfg(target_arch = "x86_64")]
        for offset in [0, AHEAD_LEN - 8] {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            let at = self.memory.address(self.read).wrapping_add(offset);
            // SAFETY: a prefetch reads nothing that the program could see, and faults at no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
    }

    /// The next `len` bytes in place, for a reader who trusts the producer.
    ///
    /// # Safety
    ///
    /// The producer must be a process that follows the protocol of this module: it does not write to the bytes
    /// `head .. tail` (R2).
    ///
    /// # Panics
    ///
    /// When fewer are [available](Self::available_seen).
    pub unsafe fn view(&self, len: usize) -> &[u8] {
        assert!(len <= self.available_seen(), "viewing beyond what was published");
        let at = self.memory.address(self.read);
        // SAFETY: the mapping is mirrored, so `capacity >= len` bytes from `at` on are mapped and contiguous; by the
        // caller's promise nobody writes to them until `release`, which needs `&mut self` and so ends this borrow.
        unsafe { std::slice::from_raw_parts(at, len) }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
