//! Where a process leaves its result: memory that its parent made, and reads after the process has ended.
//!
//! This module is public for the tests that kill a process in it. It is not part of the crate's interface.
//!
//! A pipe was rejected. Its reader must read while the writer writes, so that a large result would wait for somebody to join,
//! and a result that is never joined would keep its process from ending. Into memory a process writes at once and leaves.
//!
//! | offset | field |
//! |---|---|
//! | 0 | 0: nothing yet; 1: the function is about to be called; tag + 2: the result is complete. u64 |
//! | 8 | length of the result in bytes: u64 |
//! | 16 | the result |
//!
//! The memory has the size of the largest result from the start, or of the longest explanation of why there is none if that is
//! longer, but is sparse: only what is written takes memory. Its size is sealed, so a process cannot make it larger. It is written
//! through a mapping, which RLIMIT_FSIZE does not bound and a write(2) would die of, and read by pread(2), which copies and so
//! needs no trust in whoever may still write.
//!
//! Invariants:
//!
//! * **B1** The word at 0 is stored last, with release ordering. A process killed before that has sent nothing; one killed
//!   after it has sent all. Its reader looks after the process has ended, which the kernel orders behind every store. That it
//!   was 1 before tells a process that ended in its function from one that never came so far, a helper program for instance.
//! * **B2** The reader believes neither word: the length is compared with the size, and that of a value with its limit; and bytes
//!   that are not a value are an error of the codec.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use procession_shm::limit;
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fstat, ftruncate,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::Resource;

use crate::answer::TROUBLE_LEN_MAX;
use crate::launcher::memfd;

const HEADER_LEN: usize = 16;
/// What is mapped before the length of the result is known: most results fit.
const FIRST_LEN: usize = 4096;
const BEGUN: u64 = 1;
/// What the tag 0 is stored as.
const TAG_0: u64 = 2;

/// The reader's end.
#[derive(Debug)]
pub struct Outbox {
    file: File,
    /// Of a value.
    len_max: usize,
    /// Of anything.
    room: usize,
}

/// What lies in an outbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// The process ended before it called the function.
    NotBegun,
    /// The process ended before its result was complete.
    Nothing,
    /// A tag, and the encoded bytes.
    Answer(u8, Vec<u8>),
    /// No honest process leaves this.
    Nonsense,
}

impl Outbox {
    /// An empty outbox for results of up to `len_max` bytes.
    ///
    /// # Errors
    ///
    /// Those of the kernel: no descriptor or no memory left.
    pub fn new(len_max: usize) -> io::Result<Self> {
        // No file is longer, and growing beyond the limit would not only fail but also kill by SIGXFSZ.
        let limit = limit::soft(Resource::Fsize).unwrap_or(u64::MAX).min(i64::MAX.cast_unsigned());
        let longest = len_max.max(TROUBLE_LEN_MAX) as u64;
        let len = (HEADER_LEN as u64).saturating_add(longest).min(limit);
        let room = len.checked_sub(HEADER_LEN as u64).ok_or(Errno::FBIG)?;
        let memory = memfd("procession-result", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::io::retry_on_intr(|| ftruncate(&memory, len))?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let room = usize::try_from(room).unwrap_or(len_max);
        Ok(Self { file: File::from(memory), len_max: len_max.min(room), room })
    }

    /// The largest value that there may be, in bytes.
    pub fn len_max(&self) -> usize {
        self.len_max
    }

    /// The end for the process.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn writer(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// What the process has left, once it has ended.
    ///
    /// # Errors
    ///
    /// No memory is left for it, or the kernel does not give it.
    pub fn open(self) -> io::Result<Content> {
        let mut header = [0; HEADER_LEN];
        self.file.read_exact_at(&mut header, 0)?;
        let word =
            |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
        let (state, len) = (word(0), word(8));
        match state {
            0 => return Ok(Content::NotBegun),
            BEGUN => return Ok(Content::Nothing),
            _ => {}
        }
        let tag = u8::try_from(state - TAG_0);
        let len = usize::try_from(len).ok().filter(|len| *len <= self.room);
        let (Ok(tag), Some(len)) = (tag, len) else { return Ok(Content::Nonsense) };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len)?;
        bytes.resize(len, 0);
        self.file.read_exact_at(&mut bytes, HEADER_LEN as u64)?;
        Ok(Content::Answer(tag, bytes))
    }
}

/// Notes that the function is about to be called, whose result is then left in what this gives.
///
/// # Errors
///
/// There is no memory for the note.
pub fn begin(outbox: &OwnedFd) -> io::Result<Writing<'_>> {
    let size = usize::try_from(fstat(outbox)?.st_size).unwrap_or(HEADER_LEN);
    let writing = Writing::new(outbox, FIRST_LEN.min(size))?;
    writing.word(0).store(BEGUN.to_le(), Ordering::Release);
    Ok(writing)
}

/// The first bytes of an outbox, mapped by the process that writes it.
#[derive(Debug)]
pub struct Writing<'a> {
    outbox: &'a OwnedFd,
    base: *mut u8,
    len: usize,
}

impl Writing<'_> {
    /// Leaves a result.
    ///
    /// # Errors
    ///
    /// There is no memory for it; then nothing was left.
    pub fn leave(&self, tag: u8, answer: &[u8]) -> io::Result<()> {
        let len = HEADER_LEN + answer.len();
        if len > self.len {
            return Writing::new(self.outbox, len)?.leave(tag, answer);
        }
        let body = self.base.wrapping_add(HEADER_LEN);
        if procession_shm::seeded!("answer-before-bytes") {
            self.word(0).store((u64::from(tag) + TAG_0).to_le(), Ordering::Release);
        }
        // SAFETY: the mapping has room for header and answer, and nothing else in this process knows it.
        unsafe { ptr::copy_nonoverlapping(answer.as_ptr(), body, answer.len()) };
        self.word(1).store((answer.len() as u64).to_le(), Ordering::Relaxed);
        // B1.
        self.word(0).store((u64::from(tag) + TAG_0).to_le(), Ordering::Release);
        Ok(())
    }

    /// Leaves the memory mapped in a process that is about to end, which unmaps it with all other.
    pub fn stay_mapped(self) {
        let _mapped = ManuallyDrop::new(self);
    }
}

impl<'a> Writing<'a> {
    /// Takes the pages, too, so that a full machine is an error here and not a SIGBUS later.
    fn new(outbox: &'a OwnedFd, len: usize) -> io::Result<Self> {
        rustix::io::retry_on_intr(|| fallocate(outbox, FallocateFlags::KEEP_SIZE, 0, len as u64))?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address the kernel chooses.
        let base = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, outbox, 0) }?;
        Ok(Self { outbox, base: base.cast(), len })
    }

    /// One of the two words in front.
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!((index + 1) * 8 <= HEADER_LEN.min(self.len), "a word of the header");
        // SAFETY: the header is mapped as long as `self` is borrowed, aligned because `base` is, and its words are only
        // accessed as atomics.
        unsafe { AtomicU64::from_ptr(self.base.wrapping_add(8 * index).cast()) }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and no reference to it is left.
        let unmapped = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(len_max: usize) -> (Outbox, OwnedFd) {
        let outbox = Outbox::new(len_max).unwrap();
        let writer = outbox.writer().unwrap();
        (outbox, writer)
    }

    #[test]
    fn what_is_left_is_found() {
        for len in [0, 1, 4080, 4081, 1 << 20] {
            let (outbox, writer) = outbox(1 << 20);
            let answer = vec![7; len];
            begin(&writer).unwrap().leave(3, &answer).unwrap();
            assert_eq!(outbox.open().unwrap(), Content::Answer(3, answer));
        }
    }

    #[test]
    fn nothing_is_left_by_a_writer_that_ends() {
        let (never, writer) = outbox(100);
        drop(writer);
        assert_eq!(never.open().unwrap(), Content::NotBegun);
        let (begun, writer) = outbox(100);
        drop(begin(&writer).unwrap());
        drop(writer);
        assert_eq!(begun.open().unwrap(), Content::Nothing);
    }

    #[test]
    fn more_than_the_limit_is_refused_and_leaves_nothing() {
        let (outbox, writer) = outbox(70_000);
        assert!(begin(&writer).unwrap().leave(0, &[1; 70_001]).is_err());
        assert_eq!(outbox.open().unwrap(), Content::Nothing);
    }

    #[test]
    fn words_that_cannot_be_are_nonsense() {
        let too_long = TROUBLE_LEN_MAX as u64 + 1;
        for (state, len) in [(2, too_long), (2, u64::MAX), (258, 0), (u64::MAX, 0)] {
            let (outbox, writer) = outbox(100);
            let writer = File::from(writer);
            writer.write_all_at(&u64::to_le_bytes(state), 0).unwrap();
            writer.write_all_at(&len.to_le_bytes(), 8).unwrap();
            assert_eq!(outbox.open().unwrap(), Content::Nonsense, "{state} {len}");
        }
    }

    #[test]
    fn its_size_cannot_be_changed() {
        let (_outbox, writer) = outbox(100);
        assert_eq!(ftruncate(&writer, 1 << 30), Err(Errno::PERM));
        assert_eq!(ftruncate(&writer, 0), Err(Errno::PERM));
    }
}
