//! What lies in the ring of a queue: frames, one for each item.
//!
//! | offset | field |
//! |---|---|
//! | 0 | length in bytes of what follows this header, without the padding: u32 |
//! | 4 | kind: u8. 1 an encoded value, 2 the handle of a memory file that holds it |
//! | 5 | version: u8, 1 |
//! | 6 | number of file descriptors in the packet of this item: u16 |
//! | 8 | if there are descriptors: the tag of their packet, u64 |
//! | | body, then anything up to a multiple of 8 bytes |
//!
//! All numbers are little endian.

use super::Corrupt;
use super::control::GRANULE;

/// Bytes in front of each body.
pub(super) const HEADER_LEN: usize = 8;
/// Bytes of a tag.
pub(super) const TAG_LEN: usize = 8;

const VERSION: u8 = 1;

/// How the value of an item is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the frame.
    Inline = 1,
    /// In a file of its own, the last of the descriptors.
    Apart = 2,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Of tag and body.
    pub(super) len: u32,
    pub(super) kind: Kind,
    pub(super) descriptors: u16,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = self.len.to_le_bytes();
        let [d0, d1] = self.descriptors.to_le_bytes();
        [l0, l1, l2, l3, self.kind as u8, VERSION, d0, d1]
    }

    /// Takes nothing that `to_bytes` does not write, and no frame that is longer than `available` bytes.
    pub(super) fn parse(bytes: [u8; HEADER_LEN], available: usize) -> Result<Self, Corrupt> {
        let [l0, l1, l2, l3, kind, version, d0, d1] = bytes;
        let kind = match (kind, version) {
            (1, VERSION) => Kind::Inline,
            (2, VERSION) => Kind::Apart,
            _ => return Err(Corrupt("a frame is of no known kind")),
        };
        let (len, descriptors) =
            (u32::from_le_bytes([l0, l1, l2, l3]), u16::from_le_bytes([d0, d1]));
        let header = Self { len, kind, descriptors };
        let has_tag = descriptors == 0 || header.len() >= TAG_LEN;
        if !has_tag || (kind == Kind::Apart && descriptors == 0) {
            return Err(Corrupt("a frame contradicts itself"));
        }
        if frame_len(header.len()) > available {
            return Err(Corrupt("a frame is longer than what was put"));
        }
        Ok(header)
    }

    /// Of tag and body, in bytes.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    pub(super) fn has_tag(self) -> bool {
        self.descriptors > 0
    }
}

/// How many bytes of the ring a frame takes whose tag and body have `len` bytes.
pub(super) fn frame_len(len: usize) -> usize {
    HEADER_LEN + len.next_multiple_of(GRANULE)
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_has_the_bytes_that_are_documented() {
        let header = Header { len: 0x0102_0304, kind: Kind::Apart, descriptors: 0x0506 };
        let bytes = [4, 3, 2, 1, 2, 1, 6, 5];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(Header::parse(bytes, usize::MAX), Ok(header));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_that_writes_the_same_bytes_or_an_error(
            len in 0_u32..20, kind in 0_u8..4, version in 0_u8..3, fds in 0_u16..3,
        ) {
            let ([a, b, c, d], [e, f]) = (len.to_le_bytes(), fds.to_le_bytes());
            let bytes = [a, b, c, d, kind, version, e, f];
            if let Ok(header) = Header::parse(bytes, 16) {
                prop_assert_eq!(header.to_bytes(), bytes);
                prop_assert!(frame_len(header.len()) <= 16);
            }
        }
    }
}
