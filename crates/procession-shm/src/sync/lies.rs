//! What a process that is not trusted could have written, in place of what is there: the seam of `--cfg procession_hostile`.
//!
//! A parent must not be hurt by whatever its peer writes at any time. A peer that really writes is as quick as it happens to be;
//! this one is always quick enough. Every word that is loaded from a ring, and every byte that is copied out of one, passes
//! through this module, which may say something else. A word that is loaded twice has two values, so whoever checks one
//! fetch and uses another is found out.
//!
//! # Who is lied to
//!
//! Code that maps a ring, and only where it was asked for: a thread ([`to_this_thread`]), or all threads about some rings
//! ([`to_this_process`]). Words that a process keeps for itself, and memory that only trusting handles share, are
//! what they are. Another process is not lied to: a pool's parent can be, while its workers are honest.
//!
//! # What is said
//!
//! Choices come from a generator or from the bytes of a fuzzer, one byte for each load: the truth, the truth and a little more or
//! less, nothing, everything, any number, one bit turned, or what some word was before. When the bytes have come to
//! their end all is true. The same choices and the same loads give the same lies.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// How many values of words are kept, to be told again.
const EARLIER_MAX: usize = 16;

/// The rings of this process, each with its number.
static RINGS: RwLock<Vec<(Range<usize>, usize)>> = RwLock::new(Vec::new());

/// How many rings were ever mapped.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// What all threads are told, and about which rings; no seed is no lie.
static PROCESS_SEED: AtomicU64 = AtomicU64::new(0);
static FIRST_RING: AtomicUsize = AtomicUsize::new(0);
static RINGS_END: AtomicUsize = AtomicUsize::new(0);

/// How many lies were told in this process.
static TOLD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LIAR: RefCell<Option<Liar>> = const { RefCell::new(None) };
    /// This thread's part in what all threads are told, with the seed that it began with.
    static PUBLIC_LIAR: RefCell<Option<(u64, Liar)>> = const { RefCell::new(None) };
}

/// Who decides what is said.
#[derive(Debug)]
pub struct Liar {
    choices: Choices,
    earlier: VecDeque<u64>,
}

#[derive(Debug)]
enum Choices {
    /// A generator, and in how many loads there is one lie.
    Random { state: u64, one_in: u64 },
    /// Bytes, and how many of them are used up.
    Script { bytes: Vec<u8>, used: usize },
}

impl Liar {
    /// Lies by chance. How often it lies, always or in one of up to 512 loads, is also up to the seed.
    pub fn from_seed(seed: u64) -> Self {
        let state = (seed ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut choices = Choices::Random { state, one_in: 1 };
        let often = choices.random() % 10;
        if let Choices::Random { one_in, .. } = &mut choices {
            *one_in = 1 << often;
        }
        Self { choices, earlier: VecDeque::new() }
    }

    /// Lies by the bytes of somebody else.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let choices = Choices::Script { bytes: bytes.to_vec(), used: 0 };
        Self { choices, earlier: VecDeque::new() }
    }

    #[cfg(test)]
    fn always_lies(&self) -> bool {
        matches!(self.choices, Choices::Random { one_in: 1, .. })
    }

    fn word(&mut self, truth: u64) -> u64 {
        let choice = self.choices.byte();
        let amount = u64::from(choice >> 3);
        let said = match choice % 8 {
            0 => truth,
            1 => truth.wrapping_add(step(amount)),
            2 => truth.wrapping_sub(step(amount)),
            3 => 0,
            4 => u64::MAX,
            5 => self.choices.random() >> (2 * amount),
            6 => truth ^ 1 << (self.choices.byte() % 64),
            _ => self.earlier(amount).unwrap_or(truth),
        };
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back(truth);
        said
    }

    fn bytes(&mut self, copy: &mut [u8]) {
        let choice = self.choices.byte();
        let amount = u64::from(choice >> 3);
        match choice % 8 {
            0 => {}
            1 => copy.fill(0),
            2 => copy.fill(u8::MAX),
            3 => {
                let at = self.choices.random();
                self.put(copy, at, &[1 << (amount % 8)]);
            }
            4 => {
                let (at, word) = (self.choices.random() & !7, self.choices.random());
                self.put(copy, at, &(word >> (2 * amount)).to_le_bytes());
            }
            5 => {
                let (at, word) = (self.choices.random() & !7, self.earlier(amount).unwrap_or(0));
                self.put(copy, at, &word.to_le_bytes());
            }
            6 => copy.iter_mut().for_each(|byte| *byte = self.choices.byte()),
            // As if the ring had been written to by more than this.
            _ => copy.rotate_left(usize::from(choice >> 3) % copy.len()),
        }
    }

    /// Turns the bits of `mask` at position `at`, as far as they lie in the copy.
    fn put(&self, copy: &mut [u8], at: u64, mask: &[u8]) {
        let at = usize::try_from(at % copy.len() as u64).unwrap_or(0);
        copy[at..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }

    fn earlier(&self, index: u64) -> Option<u64> {
        let len = self.earlier.len() as u64;
        let index = usize::try_from(index.checked_rem(len)?).ok()?;
        self.earlier.get(index).copied()
    }
}

/// Small numbers, and multiples of what frames are aligned to.
fn step(amount: u64) -> u64 {
    if amount < 8 { amount + 1 } else { 8 * (amount - 7) }
}

impl Choices {
    fn byte(&mut self) -> u8 {
        match self {
            Self::Random { one_in, .. } => {
                let one_in = *one_in;
                let number = self.random();
                if number.is_multiple_of(one_in) { (number >> 32).to_le_bytes()[0] } else { 0 }
            }
            Self::Script { bytes, used } => {
                let byte = bytes.get(*used).copied().unwrap_or(0);
                *used += 1;
                byte
            }
        }
    }

    fn random(&mut self) -> u64 {
        match self {
            Self::Random { state, .. } => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *state
            }
            Self::Script { .. } => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }
}

/// Lies to the calling thread for as long as this is there.
#[derive(Debug)]
#[must_use = "without it all is true"]
pub struct ToThread(());

/// Lies to the calling thread, about all rings.
pub fn to_this_thread(liar: Liar) -> ToThread {
    LIAR.set(Some(liar));
    ToThread(())
}

impl Drop for ToThread {
    fn drop(&mut self) {
        LIAR.set(None);
    }
}

/// Lies to all threads for as long as this is there.
#[derive(Debug)]
#[must_use = "without it all is true"]
pub struct ToProcess(());

/// Lies to all threads of this process about the rings with these numbers, see [`rings_mapped`]; others are as they are. Each thread
/// has choices of its own, which begin with `seed`. There may be one such at a time.
pub fn to_this_process(seed: u64, rings: Range<usize>) -> ToProcess {
    FIRST_RING.store(rings.start, Ordering::SeqCst);
    RINGS_END.store(rings.end, Ordering::SeqCst);
    PROCESS_SEED.store(seed | 1 << 63, Ordering::SeqCst);
    ToProcess(())
}

/// How many rings were ever mapped in this process, which is the number of the next one.
pub fn rings_mapped() -> usize {
    MAPPED.load(Ordering::SeqCst)
}

impl Drop for ToProcess {
    fn drop(&mut self) {
        PROCESS_SEED.store(0, Ordering::SeqCst);
    }
}

/// How many loads and copies were answered with something else than what was there, by all threads since the process started.
pub fn told() -> u64 {
    TOLD.load(Ordering::Relaxed)
}

/// A ring was mapped.
pub(crate) fn mapped(range: Range<usize>) {
    let number = MAPPED.fetch_add(1, Ordering::SeqCst);
    RINGS.write().unwrap_or_else(PoisonError::into_inner).push((range, number));
}

/// What begins at `start` is mapped no more.
pub(crate) fn unmapped(start: usize) {
    let mut rings = RINGS.write().unwrap_or_else(PoisonError::into_inner);
    rings.retain(|(range, _)| range.start != start);
}

/// What is said of the word at `address`, in which there is `truth`.
pub(crate) fn word(address: usize, truth: u64) -> u64 {
    let said = ask(address, |liar| liar.word(truth)).unwrap_or(truth);
    TOLD.fetch_add(u64::from(said != truth), Ordering::Relaxed);
    said
}

/// [`word`], for one of 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "a lie may be cut off, the truth fits")]
pub(crate) fn half_word(address: usize, truth: u32) -> u32 {
    word(address, truth.into()) as u32
}

/// Changes a copy of what lies at `address`.
pub(crate) fn bytes(address: usize, copy: &mut [u8]) {
    if copy.is_empty() {
        return;
    }
    let truth = copy.to_vec();
    ask(address, |liar| liar.bytes(copy));
    TOLD.fetch_add(u64::from(copy != truth), Ordering::Relaxed);
}

/// Asks whoever lies to this thread about that address.
fn ask<T>(address: usize, question: impl FnOnce(&mut Liar) -> T) -> Option<T> {
    let seed = PROCESS_SEED.load(Ordering::SeqCst);
    let is_lied_to = LIAR.with_borrow(Option::is_some);
    if seed == 0 && !is_lied_to {
        return None;
    }
    let number = number_of_ring(address)?;
    if is_lied_to {
        return LIAR.with_borrow_mut(|liar| liar.as_mut().map(question));
    }
    if !(FIRST_RING.load(Ordering::SeqCst)..RINGS_END.load(Ordering::SeqCst)).contains(&number) {
        return None;
    }
    PUBLIC_LIAR.with_borrow_mut(|liar| {
        if liar.as_ref().is_none_or(|(begun, _)| *begun != seed) {
            *liar = Some((seed, Liar::from_seed(seed)));
        }
        liar.as_mut().map(|(_, liar)| question(liar))
    })
}

fn number_of_ring(address: usize) -> Option<usize> {
    let rings = RINGS.read().unwrap_or_else(PoisonError::into_inner);
    rings.iter().find(|(range, _)| range.contains(&address)).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use crate::sync::atomic::Ordering::SeqCst;
    use crate::{Mapping, Segment, page_size};

    use super::*;

    fn ring() -> Mapping {
        Segment::new(2 * page_size()).unwrap().map_mirrored(page_size()).unwrap()
    }

    fn loads(mapping: &Mapping) -> Vec<u64> {
        (0..100).map(|_| mapping.atomic_u64(0).load(SeqCst)).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_lies() {
        let ring = ring();
        ring.atomic_u64(0).store(77, SeqCst);
        let told = |seed| {
            let _lies = to_this_thread(Liar::from_seed(seed));
            loads(&ring)
        };
        assert_eq!(told(1), told(1));
        assert!((0..20).any(|seed| told(seed) != [77; 100]));
        assert_eq!(loads(&ring), [77; 100]);
    }

    #[test]
    fn a_script_says_each_word_and_then_all_is_true() {
        let ring = ring();
        ring.atomic_u64(8).store(100, SeqCst);
        let script = [0, 1, 2 + (8 << 3), 3, 4, 6, 3, 7];
        let _lies = to_this_thread(Liar::from_bytes(&script));
        let said: Vec<u64> = (0..8).map(|_| ring.atomic_u64(8).load(SeqCst)).collect();
        assert_eq!(said, [100, 101, 92, 0, u64::MAX, 100 ^ 1 << 3, 100, 100]);
    }

    fn first_four(ring: &Mapping) -> [u8; 4] {
        let mut copy = [0; 4];
        ring.read_to(page_size(), &mut copy);
        copy
    }

    #[test]
    fn copies_are_false_too_and_the_memory_is_not() {
        let ring = ring();
        ring.write(page_size(), &[1, 2, 3, 4]);
        let mut copy = vec![9];
        {
            let _lies = to_this_thread(Liar::from_bytes(&[2, 1]));
            ring.read(page_size(), 4, &mut copy);
            assert_eq!(first_four(&ring), [0; 4]);
        }
        assert_eq!(copy, [9, 255, 255, 255, 255]);
        assert_eq!(first_four(&ring), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_no_ring_is_what_it_is() {
        let plain = Segment::new(page_size()).unwrap().map().unwrap();
        let _lies = to_this_thread(Liar::from_bytes(&[4; 1000]));
        assert_eq!(loads(&plain), [0; 100]);
    }

    #[test]
    fn all_threads_are_lied_to_about_those_rings_only() {
        let is_lied_to = |ring: &Mapping| {
            std::thread::scope(|scope| scope.spawn(|| loads(ring) != [0; 100]).join().unwrap())
        };
        let always = (0..).find(|seed| Liar::from_seed(*seed | 1 << 63).always_lies()).unwrap();
        let before = ring();
        // Other tests map rings, too.
        let lies = to_this_process(always, rings_mapped()..usize::MAX);
        let next = ring();
        assert!(!is_lied_to(&before) && is_lied_to(&next));
        drop(lies);
        assert!(!is_lied_to(&next));
        let _lies = to_this_process(always, 0..rings_mapped());
        assert!(!is_lied_to(&ring()) && is_lied_to(&before));
    }
}
