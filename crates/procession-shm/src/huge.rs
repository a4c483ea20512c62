//! Large pages below large buffers.
//!
//! Fresh memory costs a fault for each page that is touched first: 0.3 to 3 µs for each 4 KiB, on a virtual machine several times what
//! is then copied there. Where the kernel gives large pages only to those who ask (`madvise`, the default of most distributions), a
//! buffer of many MiB is worth asking for. It is advice: where it is refused, pages are small, as ever.

use rustix::mm::{Advice, madvise};

use crate::page_size;

/// Buffers with less room are left alone: a large page is 2 MiB, and is made of zeros as a whole.
const FROM: usize = 4 << 20;

/// Asks for large pages where `buffer` has room, if that is much.
///
/// ```
/// let mut buffer: Vec<u8> = Vec::with_capacity(16 << 20);
/// procession_shm::huge::advise(&mut buffer);
/// buffer.resize(16 << 20, 7);                           // eight faults, where large pages are to be had, and not 4,096
/// ```
#[inline]
pub fn advise<T>(buffer: &mut Vec<T>) {
    let len = buffer.capacity().saturating_mul(size_of::<T>());
    if len >= FROM {
        ask(buffer.as_mut_ptr().cast(), len);
    }
}

#[cold]
fn ask(start: *mut u8, len: usize) {
    let skipped = start.align_offset(page_size());
    let whole_pages = len.saturating_sub(skipped) / page_size() * page_size();
    // SAFETY: the pages are part of a buffer of the caller's. What is in them stays as it is.
    let _ =
        unsafe { madvise(start.wrapping_add(skipped).cast(), whole_pages, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "any pattern will do")]
    fn low(n: usize) -> u16 {
        n as u16
    }

    #[test]
    fn what_is_in_a_buffer_stays() {
        for len in [0, 7, FROM - 1, FROM, FROM + 12_345] {
            let mut buffer: Vec<u16> = (0..len / 2).map(low).collect();
            buffer.reserve(len);
            advise(&mut buffer);
            assert!(buffer.iter().enumerate().all(|(n, &word)| word == low(n)));
        }
        advise(&mut vec![(); usize::MAX]);
    }
}
