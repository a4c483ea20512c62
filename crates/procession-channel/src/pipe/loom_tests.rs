//! Models of messages in parts, of abort, of close, and of a writer that dies at any step.
//!
//! The frames, the bell and what the lookout does are the source that ships. `Line` lives in a mapping, which a model has not,
//! and asks the kernel about hang-ups, which a model has not either: `wait` below is its loop without the check-ups, so that a
//! sleeper whom nobody wakes is a deadlock.

use std::sync::Arc;

use loom::thread;
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::sync::mortal::live_for;
use procession_shm::sync::stage::{play, play_every_death};
use procession_shm::{Deadline, Wake, wait as sleep};

use super::frame::Last;
use super::lookout::tell;
use super::stream::{FrameReader, FrameWriter, Gathered, Look, bytes_of};
use crate::bell::{AT_REST, Bell};
use crate::codec::SHORT_BYTES_MAX;
use crate::loom_ring::RingOnHeap;
use crate::ring::{Consumer, Producer};

/// Room for two frames of 8 bytes and the reserve.
const CAPACITY: usize = 64;
const PART: usize = 8;
const VALUE: Last = Last { is_bytes: false, descriptors: 0 };

struct Heap {
    ring: RingOnHeap,
    reader: AtomicU32,
    writer: AtomicU32,
    closed: AtomicU64,
    gone: AtomicU32,
}

impl Heap {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ring: RingOnHeap::new(CAPACITY),
            reader: AtomicU32::new(0),
            writer: AtomicU32::new(0),
            closed: AtomicU64::new(0),
            gone: AtomicU32::new(0),
        })
    }

    fn frames_in(&self) -> FrameWriter<&RingOnHeap> {
        FrameWriter::new(Producer::new(&self.ring), 0)
    }

    fn frames_out(&self) -> FrameReader<&RingOnHeap> {
        FrameReader::new(Consumer::new(&self.ring), Gathered::default(), 1 << 10)
    }

    /// As `Line::close`.
    fn close(&self) {
        self.closed.store(1, Ordering::Release);
        Bell::new(&self.reader).ring(AT_REST);
    }

    /// What the lookout does for the dead, which may have silenced the bell without waking anybody.
    fn hang_up(&self) {
        tell(&self.gone, Bell::new(&self.reader));
    }
}

/// As `Line::wait`; false when the other side has closed or is dead and nothing is left.
fn wait(word: &AtomicU32, is_over: impl Fn() -> bool, mut look: impl FnMut() -> bool) -> bool {
    let bell = Bell::new(word);
    loop {
        if look() {
            return true;
        }
        if is_over() {
            return look();
        }
        bell.announce(AT_REST);
        let found = look();
        if !found && !is_over() {
            assert_eq!(sleep(&[bell.watch(AT_REST)], &Deadline::NEVER), Wake::Woken);
        }
        bell.retract();
        if found {
            return true;
        }
    }
}

fn await_room(heap: &Heap, frames: &mut FrameWriter<&RingOnHeap>) {
    assert!(wait(&heap.writer, || false, || frames.has_room(PART).unwrap()));
}

fn put(heap: &Heap, frames: &mut FrameWriter<&RingOnHeap>, byte: u8, is_last: bool) {
    await_room(heap, frames);
    if is_last {
        frames.put_last(VALUE, &[byte; PART]);
    } else {
        frames.put_part(&[byte; PART]);
    }
    Bell::new(&heap.reader).ring(AT_REST);
}

/// The next message, or `None` at the end of the stream.
fn next(heap: &Heap, frames: &mut FrameReader<&RingOnHeap>) -> Option<Vec<u8>> {
    let mut short = [0; SHORT_BYTES_MAX / 8];
    let mut taken = None;
    let look = || loop {
        match frames.look_and_take(&mut short).unwrap() {
            Look::Taken(len) => {
                taken = Some(len);
                return true;
            }
            Look::Whole | Look::Here(_) => return true,
            Look::Part => Bell::new(&heap.writer).ring(AT_REST),
            Look::Nothing => return false,
        }
    };
    let is_over =
        || heap.closed.load(Ordering::Acquire) == 1 || heap.gone.load(Ordering::Acquire) == 1;
    if !wait(&heap.reader, is_over, look) {
        return None;
    }
    let message = taken.map_or_else(|| frames.take(), |len| bytes_of(&short)[..len].to_vec());
    Bell::new(&heap.writer).ring(AT_REST);
    Some(message)
}

fn writer<R: 'static>(
    heap: &Arc<Heap>,
    write: impl FnOnce(&Heap) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let heap = Arc::clone(heap);
    thread::spawn(move || write(&heap))
}

/// The reader may look at the frame beside the tail while the next one is being written there.
#[test]
fn loom_pipe_a_frame_beside_the_tail_is_the_one_that_is_next() {
    play(|| {
        let heap = Heap::new();
        let writer = writer(&heap, |heap| put_two(heap, || {}));
        let (mut frames, mut taken) = (heap.frames_out(), Vec::new());
        take_what_is_there(&mut frames, &mut taken);
        take_what_is_there(&mut frames, &mut taken);
        writer.join().unwrap();
        take_what_is_there(&mut frames, &mut taken);
        take_what_is_there(&mut frames, &mut taken);
        assert_eq!(taken, [1, 2]);
    });
}

/// Writes two short messages, and does something behind each.
fn put_two(heap: &Heap, behind: impl Fn()) {
    let mut frames = heap.frames_in();
    for byte in [1, 2] {
        assert!(frames.has_room(PART).unwrap());
        frames.put_last(VALUE, &[byte; PART]);
        behind();
    }
}

fn take_what_is_there(frames: &mut FrameReader<&RingOnHeap>, taken: &mut Vec<u8>) {
    let mut short = [0; SHORT_BYTES_MAX / 8];
    if frames.look_and_take(&mut short) == Ok(Look::Taken(PART)) {
        let bytes = bytes_of(&short);
        assert_eq!(bytes[..PART], [bytes[0]; PART], "bytes of one frame");
        taken.push(bytes[0]);
    }
}

#[test]
fn loom_pipe_a_message_longer_than_the_ring_streams_and_nobody_sleeps_on_news() {
    play(|| {
        let heap = Heap::new();
        let writer = writer(&heap, |heap| {
            let mut frames = heap.frames_in();
            put(heap, &mut frames, 1, false);
            put(heap, &mut frames, 2, false);
            put(heap, &mut frames, 3, true);
        });
        let message = next(&heap, &mut heap.frames_out()).unwrap();
        writer.join().unwrap();
        assert_eq!(message, [[1; PART], [2; PART], [3; PART]].concat());
    });
}

/// A reader that said it was in a stream announces that it sleeps after all, while the writer sees one or the other.
#[test]
fn loom_pipe_a_stream_that_ends_leaves_nobody_asleep_on_news() {
    play(|| {
        let heap = Heap::new();
        let ring = |heap: &Heap| Bell::new(&heap.reader).ring_in_stream(AT_REST);
        let writer = writer(&heap, move |heap| put_two(heap, || ring(heap)));
        let (mut frames, mut taken) = (heap.frames_out(), Vec::new());
        let bell = Bell::new(&heap.reader);
        while taken.len() < 2 {
            bell.stream();
            take_what_is_there(&mut frames, &mut taken);
            let before = taken.len();
            assert!(bell.announce_after_stream(AT_REST));
            take_what_is_there(&mut frames, &mut taken);
            if taken.len() == before && before < 2 {
                assert_eq!(sleep(&[bell.watch(AT_REST)], &Deadline::NEVER), Wake::Woken);
            }
        }
        writer.join().unwrap();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn loom_pipe_an_aborted_message_was_never_sent() {
    play(|| {
        let heap = Heap::new();
        let writer = writer(&heap, |heap| {
            let mut frames = heap.frames_in();
            put(heap, &mut frames, 1, false);
            // There is always room for it, whether or not the reader has come this far.
            frames.abort();
            Bell::new(&heap.reader).ring(AT_REST);
            put(heap, &mut frames, 2, true);
            heap.close();
        });
        let mut frames = heap.frames_out();
        assert_eq!(next(&heap, &mut frames).unwrap(), [2; PART]);
        assert_eq!(next(&heap, &mut frames), None);
        writer.join().unwrap();
    });
}

#[test]
fn loom_pipe_a_close_comes_after_what_was_sent() {
    play(|| {
        let heap = Heap::new();
        let writer = writer(&heap, |heap| {
            put(heap, &mut heap.frames_in(), 1, true);
            heap.close();
        });
        let mut frames = heap.frames_out();
        assert_eq!(next(&heap, &mut frames).unwrap(), [1; PART]);
        assert_eq!(next(&heap, &mut frames), None);
        writer.join().unwrap();
    });
}

/// The control: who does not look again after he has seen the close misses what was sent before it.
#[test]
#[should_panic(expected = "missed")]
fn loom_pipe_a_close_without_a_last_look_misses_a_message() {
    play(|| {
        let heap = Heap::new();
        let writer = writer(&heap, |heap| {
            put(heap, &mut heap.frames_in(), 1, true);
            heap.close();
        });
        let found = heap.frames_out().look().unwrap() == Look::Whole;
        let is_closed = heap.closed.load(Ordering::Acquire) == 1;
        writer.join().unwrap();
        assert!(found || !is_closed, "missed");
    });
}

/// Two messages, the first in two parts, by a writer that dies before each of its steps in turn.
#[test]
fn loom_pipe_a_dead_writer_has_sent_whole_messages_only() {
    play_every_death(|steps| {
        let heap = Heap::new();
        let writer = writer(&heap, move |heap| {
            let end = live_for(steps, || {
                let mut frames = heap.frames_in();
                put(heap, &mut frames, 1, false);
                put(heap, &mut frames, 2, true);
            });
            heap.hang_up();
            end
        });
        let mut frames = heap.frames_out();
        let message = next(&heap, &mut frames);
        if let Some(message) = &message {
            assert_eq!(*message, [[1; PART], [2; PART]].concat());
            assert_eq!(next(&heap, &mut frames), None);
        }
        let died = writer.join().unwrap().is_none();
        let published = heap.ring.published();
        assert_eq!(message.is_some(), published == 48, "its last frame is its commit");
        assert_eq!(frames.gathered().is_open, published == 24, "and half of it is known as such");
        died
    });
}

/// The control: a lookout that leaves a silenced bell alone, as those do who have news, lets the sleeper of a dead ringer sleep.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_pipe_a_lookout_that_trusts_the_bell_of_the_dead_wakes_nobody() {
    play_every_death(|steps| {
        let heap = Heap::new();
        let writer = writer(&heap, move |heap| {
            let end = live_for(steps, || put(heap, &mut heap.frames_in(), 1, true));
            heap.gone.store(1, Ordering::Release);
            Bell::new(&heap.reader).ring(AT_REST);
            end
        });
        next(&heap, &mut heap.frames_out());
        writer.join().unwrap().is_none()
    });
}
