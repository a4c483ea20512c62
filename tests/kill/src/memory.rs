//! Memory that the director and all actors of a scene share because they are forks of one process, and its fingerprint.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// A value that forked processes share: `MAP_SHARED`, at one address in all of them.
///
/// * **V1** The pages are mapped from construction to drop and begin with a `T`.
/// * **V2** The value is reached through `&T` only, by processes that are forks of one, so every pointer means the same.
#[derive(Debug)]
pub(crate) struct ForkShared<T: Sync> {
    value: NonNull<T>,
    len: usize,
}

impl<T: Sync> ForkShared<T> {
    pub(crate) fn new(value: T) -> std::io::Result<Self> {
        const { assert!(!std::mem::needs_drop::<T>(), "nobody drops a shared value") };
        let len = procession_shm::page_align(size_of::<T>().max(1))
            .ok_or_else(|| std::io::Error::other("the value is too large"))?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: without MAP_FIXED the kernel picks an address at which nothing is mapped.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, prot, flags) }?;
        let at = NonNull::new(base.cast::<T>())
            .ok_or_else(|| std::io::Error::other("mapped at address zero"))?;
        // SAFETY: the pages were mapped above, have room for a `T`, are page aligned, and nobody else knows of them.
        unsafe { at.write(value) };
        Ok(Self { value: at, len })
    }

    /// The whole of it, as bytes to take a fingerprint of.
    pub(crate) fn view(&self) -> View {
        View { at: self.value.as_ptr().cast_const().cast(), len: self.len.min(Self::used()) }
    }

    fn used() -> usize {
        size_of::<T>().next_multiple_of(8)
    }
}

impl<T: Sync> Deref for ForkShared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: V1 and V2.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Sync> Drop for ForkShared<T> {
    fn drop(&mut self) {
        // SAFETY: V1; the borrow rules end every `&T` of this process before.
        let unmapped = unsafe { munmap(self.value.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of one's own can be unmapped");
    }
}

/// Memory behind a descriptor, mapped to be looked at.
///
/// * **M1** The `len` bytes at `at` are mapped from construction to drop.
#[derive(Debug)]
pub(crate) struct Window {
    at: NonNull<u8>,
    len: usize,
}

impl Window {
    /// All of it, or nothing if the descriptor is one of a socket.
    pub(crate) fn open(fd: &OwnedFd) -> std::io::Result<Option<Self>> {
        let len = usize::try_from(rustix::fs::fstat(fd)?.st_size).map_err(std::io::Error::other)?;
        if len == 0 {
            return Ok(None);
        }
        // SAFETY: without MAP_FIXED the kernel picks an address at which nothing is mapped.
        let base = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, fd, 0) }?;
        let at = NonNull::new(base.cast())
            .ok_or_else(|| std::io::Error::other("mapped at address zero"))?;
        Ok(Some(Self { at, len }))
    }

    pub(crate) fn view(&self) -> View {
        View { at: self.at.as_ptr().cast_const(), len: self.len }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: M1; views are not used for longer than the scene that has the window.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of one's own can be unmapped");
    }
}

/// Bytes that others write to at any time.
///
/// * **B1** They are mapped for as long as the scene that gave the view out, and begin at a multiple of 8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    at: *const u8,
    len: usize,
}

impl View {
    /// The bytes of a mapping, from its start on.
    ///
    /// # Safety
    ///
    /// `len` bytes from `at`, a multiple of 8, must stay mapped for as long as the view is used.
    pub(crate) unsafe fn new(at: *const u8, len: usize) -> Self {
        Self { at, len }
    }
}

/// One number for the bytes of all views: another one for other bytes, but for a chance of 2^-64.
pub(crate) fn fingerprint(views: &[View]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for view in views {
        for index in 0..view.len / 8 {
            // SAFETY: B1, and `index` counts words within the view.
            let word = unsafe { word_at(view.at, index) };
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }
    hash
}

/// # Safety
///
/// The word must be mapped and aligned.
unsafe fn word_at(at: *const u8, index: usize) -> u64 {
    let word = at.cast::<u64>().wrapping_add(index);
    // SAFETY: the caller's promise.
    unsafe { word.read_volatile() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procession_shm::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_fingerprint_follows_the_bytes() {
        let shared = ForkShared::new([AtomicU64::new(0), AtomicU64::new(0)]).unwrap();
        let before = fingerprint(&[shared.view()]);
        shared[1].store(1, Ordering::Relaxed);
        let after = fingerprint(&[shared.view()]);
        shared[1].store(0, Ordering::Relaxed);
        assert_ne!(before, after);
        assert_eq!(before, fingerprint(&[shared.view()]));
    }
}
