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
    // With the rest of the first and the last page, which may be others': a mapping of which a part was advised is two mappings, and
    // one that is two cannot grow where it is. It would be copied.
    let before = start.addr() % page_size();
    let pages = (before + len).next_multiple_of(page_size());
    // SAFETY: these pages are mapped, because the buffer begins and ends in them. What is in them stays as it is.
    let _ = unsafe { madvise(start.wrapping_sub(before).cast(), pages, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "any pattern will do")]
    fn low(n: usize) -> u16 {
        n as u16
    }

    /// Where the mapping begins and ends in which the address lies.
    fn mapping_of(address: usize) -> (usize, usize) {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let bounds = maps.lines().filter_map(|line| {
            let (from, rest) = line.split_once('-')?;
            let (to, _) = rest.split_once(' ')?;
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        });
        bounds.into_iter().find(|(from, to)| (*from..*to).contains(&address)).unwrap()
    }

    /// Two mappings cannot be moved as one: to let such a buffer grow would copy it.
    #[test]
    fn a_buffer_stays_one_mapping() {
        let mut buffer: Vec<u8> = Vec::with_capacity(64 << 20);
        let start = buffer.as_ptr().addr();
        // The allocator's own words lie in front of the buffer, on the same page.
        let before = mapping_of(start);
        advise(&mut buffer);
        let advised = mapping_of(start);
        assert!(
            advised.0 <= start && start + buffer.capacity() <= advised.1,
            "{before:x?} {advised:x?}"
        );
        buffer.resize(buffer.capacity(), 7);
        buffer.reserve_exact(1 << 20);
        assert!(buffer.iter().all(|byte| *byte == 7));
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
