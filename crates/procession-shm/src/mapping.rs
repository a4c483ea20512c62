//! A piece of this process' address space that shows a segment.
//!
//! # Safety
//!
//! The bytes of a mapping may change at any time, written by another process. So a mapping never gives out a reference to
//! plain bytes: only atomic words, raw pointers, and copies.
//!
//! * **M1** `base .. base + len` is mapped readable and writable from construction to drop, and nothing else unmaps it.
//! * **M2** The memory behind it never shrinks (segment invariant S1), so touching it is never a fault.
//! * **M3** `base` is page aligned.
//! * **M4** `len` is at least [`LEN_MIN`], so that a word in front of that needs no check where its offset is a constant.
//!
//! Mappings are not inherited by `fork` (`MADV_DONTFORK`: a forked process is not a party to any protocol in here), so that a
//! copy of a `Mapping` in a forked process shows nothing: dropping it does nothing, and whoever could use it there must ask
//! [`fork::is_current`](crate::fork::is_current) first. They are left out of core dumps, where they would be written once for every process that maps them.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::fork;
use crate::segment::{self, SegmentError};
use crate::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(procession_hostile)]
use crate::sync::lies;

/// What every mapping has at least, in bytes: no page is smaller.
const LEN_MIN: usize = 4096;

/// A segment in this process' address space, unmapped on drop. See [`Segment::map`](crate::Segment::map).
///
/// Other processes may write to it at any time: what it gives out are atomic words, pointers and copies.
///
/// ```
/// use procession_shm::{Mapping, Segment};
///
/// let segment = Segment::new(4096)?;
/// let (here, there): (Mapping, Mapping) = (segment.map()?, segment.map()?);
/// here.write(100, b"hello");
/// let mut bytes = Vec::new();
/// there.read(100, 5, &mut bytes);
/// assert_eq!(bytes, b"hello");
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// The process that made it. In a fork of it the range is not this mapping's: something else may lie there.
    generation: u64,
}

// SAFETY: a mapping is an address and a length; what lies there is shared between processes, and all access to it goes
// through atomics or raw pointers, whose users answer for their own synchronisation.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; `&Mapping` gives no access that is not atomic or raw.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn plain(fd: BorrowedFd<'_>, len: usize) -> Result<Self, SegmentError> {
        let this = Self::reserve(len)?;
        this.place(fd, 0, 0, len)?;
        this.keep_private();
        this.populate();
        Ok(this)
    }

    /// Without touching a page.
    pub(crate) fn sparse(fd: BorrowedFd<'_>, len: usize) -> Result<Self, SegmentError> {
        let this = Self::reserve(len)?;
        this.place(fd, 0, 0, len)?;
        this.keep_private();
        Ok(this)
    }

    /// `head` bytes once, then the `body` bytes that follow them in the file twice.
    ///
    /// What is used a little at a time is not populated: that took 0.1 ms for a ring of 256 KiB, on each of its two sides, and most
    /// of what few messages pass through is never touched.
    pub(crate) fn mirrored(
        fd: BorrowedFd<'_>,
        head: usize,
        body: usize,
    ) -> Result<Self, SegmentError> {
        let this = Self::reserve(head + 2 * body)?;
        this.place(fd, 0, 0, head + body)?;
        this.place(fd, head + body, head, body)?;
        #[cfg(procession_hostile)]
        lies::mapped(this.base.addr().get()..this.base.addr().get() + this.len);
        this.keep_private();
        Ok(this)
    }

    /// Address space with nothing behind it yet, so that several pieces can be placed side by side.
    fn reserve(len: usize) -> Result<Self, SegmentError> {
        assert!(len >= LEN_MIN, "a mapping is whole pages"); // M4
        let generation = segment::maker()?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without MAP_FIXED the kernel picks addresses at which nothing is mapped.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) };
        let base = base.map_err(|errno| SegmentError::from_errno("mmap", len, errno))?;
        let base = NonNull::new(base.cast()).ok_or(SegmentError::OutOfMemory { len })?;
        Ok(Self { base, len, generation })
    }

    /// Shows `len` bytes of the file from `file_offset` on at `offset` of the reserved space.
    fn place(
        &self,
        fd: BorrowedFd<'_>,
        offset: usize,
        file_offset: usize,
        len: usize,
    ) -> Result<(), SegmentError> {
        assert!(offset + len <= self.len, "inside the reserved space");
        let at = self.base.as_ptr().wrapping_add(offset).cast();
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: at .. at + len lies in the space that `reserve` took for this mapping alone, so nothing is overmapped.
        let placed = unsafe { rustix::mm::mmap(at, len, prot, flags, fd, file_offset as u64) };
        placed.map(drop).map_err(|errno| SegmentError::from_errno("mmap", len, errno))
    }

    /// Advice is about what others see of the mapping; a kernel without it is no reason to fail, except for fork, for which
    /// users of the protocol check who they are by themselves.
    fn keep_private(&self) {
        self.advise(Advice::LinuxDontFork);
        self.advise(Advice::LinuxDontDump);
    }

    /// Only for speed: where the kernel does not do it now, the first touch does.
    fn populate(&self) {
        self.advise(Advice::LinuxPopulateWrite);
    }

    fn advise(&self, advice: Advice) {
        // SAFETY: by M1 the range is this mapping's own; no advice that is given here changes what is stored in it.
        let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, advice) };
    }

    /// The first byte, page aligned.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(1)?.map()?;
    /// assert!(mapping.as_ptr().addr().is_multiple_of(procession_shm::page_size()));
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The length in bytes; of a mirrored mapping, with the mirror image.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(1)?.map()?;
    /// assert_eq!(mapping.len(), procession_shm::page_size());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The 32-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// When the word does not lie inside the mapping or `offset` is no multiple of 4.
    ///
    /// ```
    /// use std::sync::atomic::Ordering;
    ///
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.atomic_u32(64).store(7, Ordering::Release);
    /// assert_eq!(mapping.atomic_u32(64).load(Ordering::Acquire), 7);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[cfg(not(procession_loom))]
    #[inline]
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        let at = self.checked(offset, size_of::<AtomicU32>());
        // SAFETY: the word is mapped for as long as `self` is borrowed (M1, M2), aligned (M3 and `checked`), and only
        // ever accessed as an atomic or by a process outside of this program's memory model.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }

    /// The 64-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// When the word does not lie inside the mapping or `offset` is no multiple of 8.
    ///
    /// ```
    /// use std::sync::atomic::Ordering;
    ///
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// assert_eq!(mapping.atomic_u64(128).fetch_add(7, Ordering::AcqRel), 0);
    /// assert_eq!(mapping.atomic_u64(128).load(Ordering::Acquire), 7);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[cfg(not(procession_loom))]
    #[inline]
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        let at = self.checked(offset, size_of::<AtomicU64>());
        // SAFETY: as in `atomic_u32`.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    /// Under loom no word lives in a mapping: its atomics are not integers.
    #[cfg(procession_loom)]
    pub fn atomic_u32(&self, _offset: usize) -> &AtomicU32 {
        unreachable!("models place their words on the heap")
    }

    /// Under loom no word lives in a mapping: its atomics are not integers.
    #[cfg(procession_loom)]
    pub fn atomic_u64(&self, _offset: usize) -> &AtomicU64 {
        unreachable!("models place their words on the heap")
    }

    #[cfg(not(procession_loom))]
    #[inline]
    fn checked(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(size), "a shared word must be aligned to its size");
        let is_inside = |len| offset.checked_add(size).is_some_and(|end| end <= len);
        assert!(
            is_inside(LEN_MIN) || is_inside(self.len), // M4
            "a shared word must lie inside its mapping"
        );
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Copies `bytes` to `offset`.
    ///
    /// This is a plain copy: publish it with a release store to a word that the reader loads before he reads.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the mapping.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.write(4090, b"abc");
    /// let mut bytes = Vec::new();
    /// mapping.read(4090, 3, &mut bytes);
    /// assert_eq!(bytes, b"abc");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let at = self.range(offset, bytes.len());
        // SAFETY: the destination is mapped (M1, M2) and inside by `range`; the source is a private slice, which cannot
        // overlap a mapping that never hands out references.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    /// Appends `len` bytes from `offset` on to `out`: one copy, after which the peer's memory is not looked at again.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the mapping.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.write(0, b"abc");
    /// let mut bytes = b"before ".to_vec();
    /// mapping.read(0, 3, &mut bytes);
    /// assert_eq!(bytes, b"before abc");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline]
    pub fn read(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let at = self.range(offset, len);
        out.reserve(len);
        let end = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: the source is mapped (M1, M2) and inside by `range`; `reserve` made room for `len` bytes of spare
        // capacity, which is private and cannot overlap a mapping. The peer may write while we copy: what arrives is then
        // a mixture of bytes, each of which is valid.
        unsafe { ptr::copy_nonoverlapping(at, end, len) };
        fetched_once(end);
        let filled = out.len() + len;
        // SAFETY: the first `out.len()` bytes were initialised before and the next `len` bytes by the copy above.
        unsafe { out.set_len(filled) };
        #[cfg(procession_hostile)]
        lies::bytes(at.addr(), &mut out[filled - len..]);
    }

    /// Copies bytes from `offset` on to all of `out`: as [`read`](Self::read), to where there is room already.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the mapping.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.write(0, b"abc");
    /// let mut bytes = [0; 2];
    /// mapping.read_to(1, &mut bytes);
    /// assert_eq!(&bytes, b"bc");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline]
    pub fn read_to(&self, offset: usize, out: &mut [u8]) {
        let (at, to) = (self.range(offset, out.len()), out.as_mut_ptr());
        // SAFETY: the source is mapped (M1, M2) and inside by `range`; the destination is a private slice, which is as long and
        // cannot overlap a mapping. The peer may write while we copy: what arrives is then a mixture of bytes, each of which is
        // valid.
        unsafe { ptr::copy_nonoverlapping(at, to, out.len()) };
        fetched_once(to);
        #[cfg(procession_hostile)]
        lies::bytes(at.addr(), out);
    }

    /// Writes `words` to `offset`: as [`write`](Self::write), but word by word, which for a few of them is less than the call of a
    /// copy.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the mapping.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.write_words(16, [7, 8]);
    /// let mut words = [0; 2];
    /// mapping.read_words(16, &mut words);
    /// assert_eq!(words, [7, 8]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline(always)]
    pub fn write_words<const N: usize>(&self, offset: usize, words: [u64; N]) {
        let at = self.range(offset, size_of::<[u64; N]>()).cast::<[u64; N]>();
        // SAFETY: as in `write`.
        unsafe { at.write_unaligned(words) };
    }

    /// Copies words from `offset` on to all of `out`: as [`read_to`](Self::read_to), but word by word, as
    /// [`write_words`](Self::write_words) writes them.
    ///
    /// # Panics
    ///
    /// When the range does not lie inside the mapping.
    ///
    /// ```
    /// let mapping = procession_shm::Segment::new(4096)?.map()?;
    /// mapping.write(8, &7_u64.to_ne_bytes());
    /// let mut words = [1; 2];
    /// mapping.read_words(0, &mut words);
    /// assert_eq!(words, [0, 7]);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[inline]
    pub fn read_words(&self, offset: usize, out: &mut [u64]) {
        let at = self.range(offset, size_of_val(out)).cast::<u64>();
        for (index, word) in out.iter_mut().enumerate() {
            let from = at.wrapping_add(index);
            // SAFETY: as in `read_to`.
            *word = word_fetched_once(unsafe { from.read_unaligned() });
            #[cfg(procession_hostile)]
            {
                *word = lies::word(from.addr(), *word);
            }
        }
    }

    #[inline]
    fn range(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(len <= self.len && offset <= self.len - len, "a copy must lie inside its mapping");
        self.base.as_ptr().wrapping_add(offset)
    }
}

/// Forces the compiler to forget where the bytes at `copy` came from.
///
/// Without it the compiler may assume that nobody writes to the source of a plain copy and fetch a byte from there a
/// second time, after it has been checked. The empty assembly could have changed the copy for all the compiler knows.
#[inline]
fn fetched_once(copy: *mut u8) {
    // SAFETY: no instruction is executed; the operand only makes the pointer known to the block.
    unsafe { std::arch::asm!("/* {0} */", in(reg) copy, options(nostack, preserves_flags)) };
}

/// As [`fetched_once`], for a word that is in a register already.
#[inline]
fn word_fetched_once(mut word: u64) -> u64 {
    // SAFETY: no instruction is executed; the operand only makes the word one that the block could have changed.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) word, options(nomem, nostack, preserves_flags));
    }
    word
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !fork::is_current(self.generation) {
            return;
        }
        #[cfg(procession_hostile)]
        lies::unmapped(self.base.addr().get());
        // SAFETY: by M1 the range belongs to this mapping, and no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping cannot fail: {unmapped:?}");
    }
}
