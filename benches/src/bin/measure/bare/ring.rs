//! A ring of a few lines: bytes are copied in on one processor and copied out on another, and two counters say how far each is.
//! Each side looks at the other's only when it has come to where that was at the last look.

use std::cell::Cell;
use std::ffi::c_void;
use std::hint::{black_box, spin_loop};
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use procession_bench_harness::payload::{source, touch};
use procession_bench_harness::twin::fork;
use procession_bench_harness::words::Words;
use procession_bench_harness::{Effort, Outcome, cpu, throughput};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::line::next;

/// As many bytes as a pipe holds by default.
const CAPACITY: usize = 256 << 10;

/// What a long message is cut into: both sides copy at the same time, one the next piece, one the last.
pub(crate) const PIECE: usize = 64 << 10;

/// What ends the other side.
const END: u64 = u64::MAX;

/// Memory that a process and its twin both see.
///
/// * **B1** `start .. start + CAPACITY` is mapped from `new` to `drop`.
struct Bytes {
    start: NonNull<c_void>,
}

impl Bytes {
    fn new() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so the kernel gives one that nothing uses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), CAPACITY, access, MapFlags::SHARED) }?;
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("mapped at nothing"))?;
        Ok(Self { start })
    }

    /// Where the piece at `position` lies, which is a multiple of its length.
    fn piece(&self, position: u64) -> *mut u8 {
        let offset = position % CAPACITY as u64;
        self.start.as_ptr().cast::<u8>().wrapping_add(usize::try_from(offset).unwrap_or(0))
    }

    #[inline]
    fn write<const LEN: usize>(&self, position: u64, piece: &[u8; LEN]) {
        // SAFETY: B1; the counters keep the other side away from these bytes, and the source is private.
        unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), self.piece(position), LEN) };
    }

    #[inline]
    fn read<const LEN: usize>(&self, position: u64, piece: &mut [u8; LEN]) {
        // SAFETY: as in `write`.
        unsafe { ptr::copy_nonoverlapping(self.piece(position), piece.as_mut_ptr(), LEN) };
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: B1; nothing but `piece` knows the address, and its callers borrow this.
        let unmapped = unsafe { munmap(self.start.as_ptr(), CAPACITY) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

/// Messages of `len` bytes, a multiple of `LEN`, in pieces of that many bytes, of which the capacity is a multiple.
pub(crate) fn copied<const LEN: usize>(effort: Effort, len: usize) -> Outcome {
    let [here, there] = cpu::two()?;
    let (words, bytes) = (Words::new()?, Bytes::new()?);
    let (tail, head) = (words.u64(0), words.u64(1));
    let twin = fork(|| {
        cpu::pin(there)?;
        black_box(drain::<LEN>(tail, head, &bytes, len));
        Ok(())
    })?;
    cpu::pin(here)?;
    let (source, written, mut seen) = (source(len), Cell::new(0), 0);
    let (pieces, _) = source.as_chunks::<LEN>();
    let send = || {
        for piece in pieces {
            let end = written.get() + LEN as u64;
            if end > seen + CAPACITY as u64 {
                until(|| {
                    seen = head.load(Ordering::Acquire);
                    end <= seen + CAPACITY as u64
                });
            }
            bytes.write(written.get(), piece);
            written.set(end);
            tail.store(end, Ordering::Release);
        }
        Ok(())
    };
    let finish = || {
        until(|| head.load(Ordering::Acquire) == written.get());
        Ok(())
    };
    let figures = throughput::of_messages(effort, len, send, finish)?;
    tail.store(END, Ordering::Release);
    twin.join()?;
    Ok(figures)
}

/// Takes all messages and touches them, as somebody would who uses them.
fn drain<const LEN: usize>(tail: &AtomicU64, head: &AtomicU64, bytes: &Bytes, len: usize) -> u64 {
    let (mut message, mut read, mut seen, mut sum) = (vec![0; len], 0, 0, 0);
    loop {
        let (pieces, _) = message.as_chunks_mut::<LEN>();
        for piece in pieces {
            if seen == read {
                seen = next(tail, read);
            }
            if seen == END {
                return sum;
            }
            bytes.read(read, piece);
            read += LEN as u64;
            head.store(read, Ordering::Release);
        }
        sum += touch(black_box(&message));
    }
}

fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        spin_loop();
    }
}
