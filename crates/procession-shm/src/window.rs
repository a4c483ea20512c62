//! Part of a backing in this process' address space.
//!
//! # Safety
//!
//! A window gives out addresses, never references; who may read or write behind them is decided by the handle that owns it.
//!
//! * **W1** `base .. base + len` is mapped from construction to drop, in whole pages, and nothing else unmaps it.
//! * **W2** It shows the bytes `start .. start + len` of the backing (F1: they stay there), and every address that
//!   [`at`](Window::at) gives lies inside.
//! * **W3** With [`Access::Write`] it is a shared mapping; with [`Access::Read`] a private one that cannot be written, so that
//!   it does not stand in the way of freezing. (A shared mapping, even one for reading, does: it could be made writable.)
//!
//! A writable window is not inherited by `fork`: the child would be a second owner of what has one owner, and would keep the
//! parent from freezing it. What can only be read is inherited. Neither is written to core dumps.

use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::backing::Backing;
use crate::fork;
use crate::segment::{self, SegmentError};
use crate::{page_align, page_size};

/// What the mapped pages can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Access {
    fn flags(self) -> (ProtFlags, MapFlags) {
        match self {
            Self::Read => (ProtFlags::READ, MapFlags::PRIVATE),
            Self::Write => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
        }
    }

    fn advice(self) -> &'static [Advice] {
        match self {
            Self::Read => &[Advice::LinuxDontDump],
            Self::Write => &[Advice::LinuxDontDump, Advice::LinuxDontFork],
        }
    }
}

/// Why a window was not frozen.
#[derive(Debug)]
pub(crate) enum Unfrozen {
    /// Another process, or another handle of this one, maps the backing writable. The window is as it was.
    Busy,
    /// A system call failed. The window is as it was.
    System(SegmentError),
    /// The window could not be made writable again and is of no use.
    Lost(SegmentError),
}

/// Whole pages of a backing, mapped, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Window {
    base: NonNull<u8>,
    len: usize,
    start: usize,
    backing: Arc<Backing>,
    /// The process that made it. In a fork of it a writable window's range may show something else by now.
    generation: u64,
}

// SAFETY: a window is an address, which means the same in every thread, and a descriptor. It reads and writes nothing.
unsafe impl Send for Window {}
// SAFETY: as for Send.
unsafe impl Sync for Window {}

impl Window {
    /// Maps the pages on which the bytes `range` of the backing lie.
    pub(crate) fn new(
        backing: Arc<Backing>,
        range: Range<usize>,
        access: Access,
    ) -> Result<Self, SegmentError> {
        assert!(range.start < range.end && range.end <= backing.len(), "a range of the backing");
        let start = range.start - range.start % page_size();
        let len = page_align(range.end - start).ok_or(SegmentError::TooLarge { len: range.end })?;
        let generation = segment::maker()?;
        let (protection, flags) = access.flags();
        let anywhere = ptr::null_mut();
        // SAFETY: without MAP_FIXED the kernel picks addresses at which nothing is mapped.
        let base = unsafe {
            rustix::mm::mmap(anywhere, len, protection, flags, backing.as_fd(), start as u64)
        };
        let base = base.map_err(|errno| SegmentError::from_errno("mmap", len, errno))?;
        let base = NonNull::new(base.cast()).ok_or(SegmentError::OutOfMemory { len })?;
        let window = Self { base, len, start, backing, generation };
        window.advise(access);
        Ok(window)
    }

    /// All of the backing.
    pub(crate) fn whole(backing: Backing, access: Access) -> Result<Self, SegmentError> {
        let range = 0..backing.len();
        Self::new(Arc::new(backing), range, access)
    }

    pub(crate) fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// Where the byte at `position` of the backing is in memory.
    pub(crate) fn at(&self, position: usize) -> NonNull<u8> {
        assert!(position >= self.start && position - self.start < self.len, "inside the window");
        // SAFETY: the sum stays inside the mapping (W1) by the assertion.
        unsafe { self.base.add(position - self.start) }
    }

    /// Seals the backing against every further write and turns this window into a read-only one, at the same addresses.
    ///
    /// The window is changed first, because the kernel does not seal what is mapped writable; in place, so that going back
    /// needs no address space that might be gone by then.
    pub(crate) fn freeze(&mut self) -> Result<(), Unfrozen> {
        self.remap(Access::Read).map_err(Unfrozen::System)?;
        let Err(errno) = self.backing.freeze() else { return Ok(()) };
        self.remap(Access::Write).map_err(Unfrozen::Lost)?;
        Err(match errno {
            Errno::BUSY => Unfrozen::Busy,
            _ => Unfrozen::System(SegmentError::from_errno("fcntl(F_ADD_SEALS)", self.len, errno)),
        })
    }

    fn remap(&mut self, access: Access) -> Result<(), SegmentError> {
        let (protection, flags) = access.flags();
        let (at, fd) = (self.base.as_ptr().cast(), self.backing.as_fd());
        let flags = flags | MapFlags::FIXED;
        // SAFETY: by W1 the range is this window's own, and the same bytes appear in it again (W2). `&mut self` and the
        // handle that owns the window rule out references into it.
        let placed =
            unsafe { rustix::mm::mmap(at, self.len, protection, flags, fd, self.start as u64) };
        placed.map_err(|errno| SegmentError::from_errno("mmap", self.len, errno))?;
        self.advise(access);
        Ok(())
    }

    /// Advice is about what others see of the mapping; a kernel that does not take it is no reason to fail.
    fn advise(&self, access: Access) {
        for &advice in access.advice() {
            // SAFETY: by W1 the range is this window's own; the advice does not change what is stored in it.
            let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, advice) };
        }
    }

    /// Looks at every page now, so that one which cannot be had is an error and not a signal later. Kernels before 5.14
    /// cannot do that for us and leave it to the first use.
    pub(crate) fn populate(&self) -> Result<(), SegmentError> {
        let at = self.base.as_ptr().cast();
        // SAFETY: by W1 the range is this window's own; reading it changes nothing.
        match unsafe { rustix::mm::madvise(at, self.len, Advice::LinuxPopulateRead) } {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(Errno::FAULT) => Err(SegmentError::OutOfMemory { len: self.len }),
            Err(errno) => Err(SegmentError::from_errno("madvise", self.len, errno)),
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !fork::is_current(self.generation) {
            return;
        }
        // SAFETY: by W1 the range belongs to this window, whose owner is gone, and with it all references into it.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping cannot fail: {unmapped:?}");
    }
}
