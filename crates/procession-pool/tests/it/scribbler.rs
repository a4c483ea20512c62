//! What a hostile worker can do to the memory that it shares with its parent: it finds the mappings and writes into them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::trap::raise;

/// Where the words of a ring lie in its head page, and how long that is.
const TAIL: usize = 0;
const SAID: usize = 8;
const HEAD: usize = 128;
const READER_BELL: usize = 256;
const WRITER_BELL: usize = 384;
const RULING: usize = 512;
const STARTED: usize = 768;
const PAGE: usize = 4096;
const HELLO: u64 = 255;
const SPENT: u64 = 254;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sabotage {
    RandomEverywhere,
    RandomWords,
    RandomData,
    TailHuge,
    TailBackwards,
    TailJustTooFar,
    HeadHuge,
    HeadBackwards,
    FlipBells,
    FlipGate,
    GateHuge,
    GateZero,
    GateStaysRevoked,
    LongResult,
    EndlessResult,
    UnknownTag,
    FalseFailure,
    Unsolicited,
    Hello,
    PunchHoles,
    RewindAndDie,
    HandlesWithoutPacket,
    FalsePackets,
    ShutSockets,
    EndlessTime,
    TimeTwice,
    Replay,
    Truncate,
    Stop,
}

pub(crate) const ALL: [Sabotage; 29] = [
    Sabotage::RandomEverywhere,
    Sabotage::RandomWords,
    Sabotage::RandomData,
    Sabotage::TailHuge,
    Sabotage::TailBackwards,
    Sabotage::TailJustTooFar,
    Sabotage::HeadHuge,
    Sabotage::HeadBackwards,
    Sabotage::FlipBells,
    Sabotage::FlipGate,
    Sabotage::GateHuge,
    Sabotage::GateZero,
    Sabotage::GateStaysRevoked,
    Sabotage::LongResult,
    Sabotage::EndlessResult,
    Sabotage::UnknownTag,
    Sabotage::FalseFailure,
    Sabotage::Unsolicited,
    Sabotage::Hello,
    Sabotage::PunchHoles,
    Sabotage::RewindAndDie,
    Sabotage::HandlesWithoutPacket,
    Sabotage::FalsePackets,
    Sabotage::ShutSockets,
    Sabotage::EndlessTime,
    Sabotage::TimeTwice,
    Sabotage::Replay,
    Sabotage::Truncate,
    Sabotage::Stop,
];

/// A ring as the worker sees it: head page and data. The bytes of the data are mapped a second time behind it.
#[derive(Debug, Clone, Copy)]
struct Ring {
    start: usize,
    len: usize,
}

impl Ring {
    fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.len);
        // SAFETY: it lies in a mapping of this process that is never unmapped, and words in there are written atomically.
        unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(self.start + at)) }
    }

    fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.len);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(self.start + at)) }
    }

    fn capacity(&self) -> u64 {
        (self.len - PAGE) as u64
    }

    /// Appends a word to the data and publishes it.
    fn append(&self, word: u64) {
        let tail = self.u64(TAIL).load(Ordering::SeqCst);
        let at = PAGE + usize::try_from(tail % self.capacity()).unwrap();
        self.u64(at).store(word, Ordering::SeqCst);
        self.u64(TAIL).store(tail + 8, Ordering::SeqCst);
    }

    fn set_gate(&self, word: u64) {
        [STARTED, RULING].iter().for_each(|&at| self.u64(at).store(word, Ordering::SeqCst));
    }

    fn ring_bell(&self, at: usize) {
        self.u32(at).store(0, Ordering::SeqCst);
        self.wake(at);
    }

    fn wake(&self, at: usize) {
        // SAFETY: a wake-up of whoever sleeps on a word of this process' memory; no pointer is kept.
        unsafe { libc::syscall(libc::SYS_futex, self.start + at, libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Takes a few bytes each time that whoever has more of them is about to sleep, for as long as he should not put up with.
    fn sip(&self) {
        for _ in 0..10_000 {
            while self.u32(WRITER_BELL).load(Ordering::SeqCst) == 0 {
                std::hint::spin_loop();
            }
            let (head, tail) = (self.u64(HEAD), self.u64(TAIL).load(Ordering::SeqCst));
            head.store(tail.min(head.load(Ordering::SeqCst) + 64), Ordering::SeqCst);
            self.ring_bell(WRITER_BELL);
        }
    }

    fn scribble(&self, words: std::ops::Range<usize>, random: &mut Random) {
        for at in words {
            self.u64(at * 8).store(random.next(), Ordering::SeqCst);
        }
    }

    /// All that is in it.
    fn words(&self) -> Vec<u64> {
        (0..self.len / 8).map(|at| self.u64(at * 8).load(Ordering::SeqCst)).collect()
    }

    /// Makes it what it was, and wakes whoever sleeps on it.
    fn restore(&self, words: &[u64]) {
        (0..).zip(words).for_each(|(at, word)| self.u64(at * 8).store(*word, Ordering::SeqCst));
        [READER_BELL, WRITER_BELL].into_iter().for_each(|bell| self.wake(bell));
    }

    /// Tries to take the memory away from under its users. Where the file can be opened at all, its size is sealed.
    fn truncate(&self) {
        let path = format!("/proc/self/map_files/{:x}-{:x}", self.start, self.start + self.len);
        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(path) {
            assert!(file.set_len(0).is_err() && file.set_len(1 << 40).is_err());
        }
    }

    fn punch(&self) {
        // SAFETY: removes the pages of a shared mapping, which then read as zeros; nothing here relies on their content.
        let result = unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(self.start),
                self.len,
                libc::MADV_REMOVE,
            )
        };
        assert_eq!(result, 0);
    }
}

/// The ring of tasks and the ring of results: made in this order, so the younger inode is that of the results.
fn rings() -> (Ring, Ring) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut found: Vec<(u64, Ring)> = maps
        .lines()
        .filter(|line| line.contains("memfd:procession") && line.contains(" rw-s 00000000 "))
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = fields[0].split_once('-').unwrap();
            let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).unwrap());
            (fields[4].parse().unwrap(), Ring { start, len: end - start })
        })
        .collect();
    found.sort_unstable_by_key(|(inode, _)| *inode);
    let [(_, tasks), (_, results)] = found[..] else { panic!("two rings in {maps}") };
    (tasks, results)
}

/// Wakes the parent, which may sleep, so that it looks at what was done.
pub(crate) fn ring_parent() {
    rings().1.ring_bell(READER_BELL);
}

/// How a worker wakes its parent that has nothing to say.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Alarm {
    Ring,
    /// With a value that no bell has.
    Flip,
    /// Without any change.
    Wake,
    /// With the claim that something was said beside results.
    Say,
    /// With room for a few bytes of what it is owed.
    Sip,
}

impl Alarm {
    /// Goes on for ever, on both words on which the parent may sleep.
    pub(crate) fn sound(self) {
        let (tasks, results) = rings();
        if matches!(self, Self::Sip) {
            tasks.sip();
        }
        for (ring, bell) in [(results, READER_BELL), (tasks, WRITER_BELL)].into_iter().cycle() {
            match self {
                Self::Ring => ring.ring_bell(bell),
                Self::Flip => {
                    ring.u32(bell).store(77, Ordering::SeqCst);
                    ring.wake(bell);
                }
                Self::Wake | Self::Sip => ring.wake(bell),
                Self::Say => {
                    results.u64(SAID).fetch_add(1, Ordering::SeqCst);
                    ring.ring_bell(bell);
                }
            }
        }
    }
}

/// What choices by chance begin with. `PROCESSION_SEED` gives another number, so that a run can be unlike others, and repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("PROCESSION_SEED").ok();
    let given = given.map(|seed| seed.parse::<u64>().expect("PROCESSION_SEED is a number"));
    given.unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d
}

/// A generator of numbers that are the same in each run with the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// How long what is done again and again is done.
const ROUNDS: usize = 300;

fn again_and_again(mut act: impl FnMut()) {
    for _ in 0..ROUNDS {
        act();
        sleep(Duration::from_micros(100));
    }
}

fn replay(rings: [Ring; 2]) {
    let states = rings.map(|ring| (ring, ring.words()));
    again_and_again(|| states.iter().for_each(|(ring, words)| ring.restore(words)));
}

impl Sabotage {
    /// Does it. May not return.
    pub(crate) fn commit(self) {
        let (tasks, results) = rings();
        let random = &mut Random(seed() ^ u64::from(std::process::id()));
        match self {
            Self::RandomEverywhere => {
                results.scribble(0..results.len / 8, random);
                tasks.scribble(0..tasks.len / 8, random);
                results.ring_bell(READER_BELL);
            }
            Self::RandomWords => again_and_again(|| {
                results.scribble(0..PAGE / 8, random);
                tasks.scribble(0..PAGE / 8, random);
            }),
            Self::RandomData => again_and_again(|| {
                results.scribble(PAGE / 8..results.len / 8, random);
                results.u64(TAIL).fetch_add(random.next() % 4096, Ordering::SeqCst);
                results.ring_bell(READER_BELL);
            }),
            Self::TailHuge => results.u64(TAIL).store(u64::MAX - 7, Ordering::SeqCst),
            Self::TailBackwards => {
                results.u64(TAIL).fetch_sub(8, Ordering::SeqCst);
            }
            Self::TailJustTooFar => {
                results.u64(TAIL).fetch_add(results.capacity() + 8, Ordering::SeqCst);
            }
            Self::HeadHuge => tasks.u64(HEAD).store(u64::MAX - 7, Ordering::SeqCst),
            Self::HeadBackwards => {
                tasks.u64(HEAD).fetch_sub(8, Ordering::SeqCst);
            }
            Self::FlipBells => again_and_again(|| {
                results.ring_bell(READER_BELL);
                tasks.ring_bell(WRITER_BELL);
            }),
            Self::FlipGate => again_and_again(|| {
                results.set_gate(random.next());
                results.ring_bell(READER_BELL);
            }),
            Self::GateHuge => results.set_gate(u64::MAX),
            Self::GateZero => results.set_gate(0),
            Self::GateStaysRevoked => {
                results.u64(RULING).fetch_or(1, Ordering::SeqCst);
            }
            Self::LongResult => results.append(1 << 58),
            Self::EndlessResult => {
                results.append((1 << 29) << 8);
                again_and_again(|| (0..50).for_each(|_| results.append(7)));
            }
            Self::UnknownTag => results.append(77),
            Self::FalseFailure => results.append(1),
            Self::Unsolicited => (0..1000).for_each(|_| results.append(0)),
            Self::Hello => results.append(HELLO),
            Self::PunchHoles => [results, tasks].iter().for_each(Ring::punch),
            Self::RewindAndDie => {
                results.set_gate(0);
                raise(Signal::KILL);
            }
            Self::HandlesWithoutPacket => results.append(5),
            Self::FalsePackets => {
                sockets().into_iter().for_each(flood);
                results.append(5);
            }
            Self::ShutSockets => {
                sockets().into_iter().for_each(shut);
                results.append(5);
            }
            Self::EndlessTime => lie_about_time(&results, 1),
            Self::TimeTwice => lie_about_time(&results, 2),
            Self::Replay => replay([tasks, results]),
            Self::Truncate => [tasks, results].iter().for_each(Ring::truncate),
            Self::Stop => raise(Signal::STOP),
        }
    }
}

/// Notes of more time than there is, and the value of the item, which is (), behind the back of whoever writes results here, and
/// must not do so again.
fn lie_about_time(results: &Ring, notes: usize) {
    for _ in 0..notes {
        results.append(8 << 8 | SPENT);
        results.append(u64::MAX);
    }
    results.append(0);
    results.ring_bell(READER_BELL);
    sleep(Duration::from_secs(600));
}

/// The sockets of this process, of which one goes to the pool.
fn sockets() -> Vec<i32> {
    let is_socket = |fd: &i32| {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        target.to_string_lossy().starts_with("socket:")
    };
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(is_socket).collect()
}

fn shut(socket: i32) {
    // SAFETY: ends what can be sent over a socket of this process; no memory is involved.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// Sends as many packets as the socket takes.
fn flood(socket: i32) {
    let rubbish = [7_u8; 100];
    // SAFETY: sends from a buffer that outlives the call.
    let send = || unsafe {
        libc::send(
            socket,
            rubbish.as_ptr().cast(),
            rubbish.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    while send() > 0 {}
}
