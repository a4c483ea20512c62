//! A peer that writes into all memory that it shares with us, and sends descriptors that nobody asked for, while we send and
//! receive.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession_channel::Fd;
use procession_channel::pipe::{self, Connection, RecvError, SendErrorKind};
use procession_shm::SharedSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::stage::{Other, play};

const LEN_MAX: usize = 1 << 20;

/// So much may the process grow over all rounds, in bytes: far over what the limit of messages allows, and far below what a length
/// that is believed costs.
const GROWTH_MAX: usize = 512 << 20;

const PATIENCE: Duration = Duration::from_millis(2);

type Message = (u64, Vec<u8>, Option<Fd<fs::File>>, Option<SharedSlice<u64>>);
type End = Connection<Message, Message>;

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The words of all memory that this process shares and can write.
fn shared_words() -> Vec<&'static AtomicU64> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let is_shared = |line: &&str| line.contains(" rw-s ") && line.contains("memfd:");
    let range = |line: &str| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(start)?..address(end)?)
    };
    let words = maps.lines().filter(is_shared).filter_map(range).flat_map(|map| map.step_by(8));
    // SAFETY: these mappings stay for as long as the process lives, and all that is in them is written by atomics here.
    words
        .map(|at| unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(at)) })
        .collect()
}

/// Sends packets with descriptors of the wrong kind, or with wrong tags, through every socket of this process.
fn send_packets(random: &mut Random) {
    let null = fs::File::open("/dev/null").unwrap();
    for number in 3..40 {
        // SAFETY: whatever it is, it is only lent to a system call, which says if it is no socket.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        let tag = (random.next() % 4).to_le_bytes();
        let count = usize::try_from(random.next() % 3).unwrap();
        let fds = vec![null.as_fd(); count];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let bytes = [std::io::IoSlice::new(&tag[..usize::from(count != 1) * 7 + 1])];
        // Most of them are no sockets, or full.
        let _refused = sendmsg(socket, &bytes, &mut control, flags);
    }
}

/// Whether honest messages go to and fro first, so many that both sides are in a stream.
fn has_stream(seed: u64) -> bool {
    seed % 5 == 4
}

/// What comes before an attack, of either side.
fn stream(end: &End) {
    for n in 0..5000 {
        end.send((n, Vec::new(), None, None)).unwrap();
        assert_eq!(end.recv().unwrap().0, n);
    }
}

/// Uses its end a little, as others do, then overwrites what it can, by rules that differ from seed to seed.
fn attack(end: &End, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    if has_stream(seed) {
        stream(end);
        // Not before the other side has all of it.
        end.recv().unwrap();
    }
    for n in 0..seed % 4 {
        let _sent = end.try_send((n, vec![1; 100], None, None));
        let _received = end.try_recv();
    }
    let words = shared_words();
    assert!(!words.is_empty());
    // Those of a ring: where it is read and written, its bells, whether it is closed.
    let heads: Vec<&AtomicU64> = words.iter().copied().step_by(16).take(5).collect();
    loop {
        let among = if seed.is_multiple_of(3) { &heads } else { &words };
        let word = among[usize::try_from(random.next()).unwrap() % among.len()];
        match random.next() % 5 {
            // A bell that says it is in a stream, among others.
            4 => word.store(u64::from(u32::MAX), Ordering::Relaxed),
            0 => word.store(random.next(), Ordering::Relaxed),
            1 => word.store(random.next() % 5000, Ordering::Relaxed),
            2 => drop(word.fetch_xor(1 << (random.next() % 64), Ordering::Relaxed)),
            _ => drop(word.fetch_add(random.next() % 64, Ordering::Relaxed)),
        }
        if random.next().is_multiple_of(256) {
            send_packets(&mut random);
        }
    }
}

/// Sends and receives until the pipe is closed or enough was tried: every failure is one that is documented.
fn use_it(end: &End) -> bool {
    for n in 0..60 {
        let file = (n % 3 == 0).then(|| Fd::new(fs::File::open("/dev/null").unwrap()));
        let slice = (n % 5 == 0).then(|| SharedSlice::from_slice(&[n]).unwrap());
        let bytes = vec![7; [0, 100, 5000, 40_000][usize::try_from(n % 4).unwrap()]];
        if let Err(error) = end.send_timeout((n, bytes, file, slice), PATIENCE) {
            match error.kind {
                SendErrorKind::Closed | SendErrorKind::Corrupt(_) => return true,
                SendErrorKind::TimedOut | SendErrorKind::TooManyInFlight => {}
                other => panic!("{other}"),
            }
        }
        match end.recv_timeout(PATIENCE) {
            Ok(received) => drop(received),
            Err(RecvError::Decode(_) | RecvError::Untrusted(_)) => {}
            Err(RecvError::Closed | RecvError::Died { .. } | RecvError::Corrupt(_)) => return true,
            Err(other) => panic!("{other}"),
        }
    }
    false
}

fn memory_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * procession_shm::page_size()
}

#[test]
fn a_peer_that_overwrites_everything_costs_its_pipe_and_nothing_else() {
    const TEST: &str = "hostile::a_peer_that_overwrites_everything_costs_its_pipe_and_nothing_else";
    play(TEST, |(end, seed): (End, u64)| attack(&end, seed));
    let before = memory_bytes();
    let mut closed = 0;
    for seed in 1..=30 {
        let builder = pipe::builder().capacity(8192).max_message(LEN_MAX);
        let (here, there) = builder.duplex::<Message, Message>().unwrap();
        let peer = Other::start(TEST, (there, seed));
        if has_stream(seed) {
            stream(&here);
            here.send((0, Vec::new(), None, None)).unwrap();
        }
        // Once it is there it overwrites: its first message, or the end of our patience.
        here.poll(Duration::from_millis(30));
        closed += u32::from(use_it(&here));
        peer.kill();
    }
    assert!(closed > 0, "what was overwritten was noticed at times");
    assert!(memory_bytes() < before + GROWTH_MAX);
}
