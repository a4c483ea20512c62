//! Frames out of the ring, several at once.
//!
//! What those who put have just written lies in the caches of another processor, and each look at a line there is a wait. To find a
//! frame one must have read the header of the one before it, so a walk from header to header through the ring waits for one line after
//! the other, and the copy after it finds nothing to do that would have taken long. A copy asks for many lines at a time. So the ring
//! is copied first, as far as frames of the first one's length would reach, and the headers are looked for in the copy. What was
//! copied and is not needed, as its items are longer or fewer than that, is dropped.

use std::ops::Deref;

use procession_shm::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Corrupt;
use super::control::{Control, Place};
use super::ends::Ends;
use super::frame::{HEADER_LEN, Header, frame_len};
use super::get::Haul;
use super::store::Bytes;

/// No more bytes are copied at a time in the belief that frames are there. It is little beside the cache of one processor, and much
/// beside what a look at the next header costs.
const COPIED_AHEAD: usize = 16 << 10;

/// How much is got at a time: so many items, and no more once they have so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Most {
    pub(super) const ONE: Self = Self { items: 1, bytes: usize::MAX };
}

impl<C: Deref<Target = Control>, B: Bytes> Ends<C, B> {
    /// Copies the frames from `start` on into the haul, and says behind which place they end and how many descriptors the last one
    /// has. One that has any is the only one.
    #[inline]
    pub(super) fn gather(
        &self,
        start: Place,
        haul: &mut Haul,
        most: Most,
    ) -> Result<(Place, u16), Corrupt> {
        let mut at = start;
        while haul.items.len() < most.items && at.bytes_since(start) < most.bytes {
            let Some((header, available)) = self.next_header(at)? else { break };
            if header.has_tag() && at != start {
                break;
            }
            let len = frame_len(header.len());
            let items = if header.has_tag() { 1 } else { most.items - haul.items.len() };
            let ahead = len.saturating_mul(items).min(COPIED_AHEAD).min(available);
            let offset = haul.bytes.len();
            self.ring()?.read(at, ahead.max(len), &mut haul.bytes);
            haul.expect(offset, header);
            if header.has_tag() {
                return Ok((at.after(len, 1), header.descriptors));
            }
            at = self.find_more(at.after(len, 1), offset + len, available - len, haul, most)?;
        }
        Ok((at, 0))
    }

    /// Finds frames in what was copied, from `offset` on, which is what lies at `at`; `available` bytes were put there. Says behind
    /// which place they end, and drops the rest of the copy.
    #[inline]
    fn find_more(
        &self,
        mut at: Place,
        mut offset: usize,
        mut available: usize,
        haul: &mut Haul,
        most: Most,
    ) -> Result<Place, Corrupt> {
        while haul.items.len() < most.items && offset < most.bytes {
            let Some(bytes) = haul.bytes[offset..].first_chunk::<HEADER_LEN>() else { break };
            let header = Header::parse(*bytes, available)?;
            let len = frame_len(header.len());
            if header.has_tag() || offset + len > haul.bytes.len() {
                break;
            }
            haul.expect(offset, header);
            (at, offset, available) = (at.after(len, 1), offset + len, available - len);
        }
        haul.bytes.truncate(offset);
        Ok(at)
    }

    /// The next frame from `at` on, if there is one, and how many bytes were put from there on, at least.
    #[inline]
    pub(super) fn next_header(&self, at: Place) -> Result<Option<(Header, usize)>, Corrupt> {
        let get = &self.control.get;
        let mut tail = Place(get.tail_seen.load(Relaxed));
        if tail == at {
            tail = Place(self.control.put.tail.load(Acquire)); // E1
            get.tail_seen.store(tail.0, Release);
            if tail == at {
                return Ok(None);
            }
        }
        let (ring, available) = (self.ring()?, tail.bytes_since(at));
        if available > ring.window() || available == 0 {
            return Err(Corrupt("more was put than there is room"));
        }
        Header::parse(ring.header(at), available).map(|header| Some((header, available)))
    }
}
