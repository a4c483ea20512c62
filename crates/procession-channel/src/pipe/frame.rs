//! What lies in the ring of a pipe: frames, byte by byte.
//!
//! | offset | field |
//! |---|---|
//! | 0 | length of the body in bytes, without its padding: u32 |
//! | 4 | version of this format: u8, 1 |
//! | 5 | flags: u8 |
//! | 6 | number of file descriptors in the packet of this message: u16, only in its last frame, else 0 |
//! | 8 | sequence number of the message: u64, counted from 0 |
//! | 16 | body, then zeros up to a multiple of 8 bytes |
//!
//! | flag | meaning |
//! |---|---|
//! | 1 `MORE` | another frame of this message follows |
//! | 2 `ABORT` | the message, of which at least one frame was sent, is void; the frame has no body |
//! | 4 `BYTES` | the message is bytes as they are, not an encoded value; only in its last frame |
//!
//! All numbers are little endian. A frame is published whole, by one store of the ring's tail; its body never wraps, because
//! the ring is mapped twice in a row. All frames of a message have its sequence number, and an aborted message uses one up.

use super::Violation;

/// Bytes in front of each body.
pub(super) const HEADER_LEN: usize = 16;
/// The same in words of 8 bytes, little endian.
pub(super) const HEADER_WORDS: usize = HEADER_LEN / 8;

/// What a frame's body is padded to a multiple of, in bytes.
const ALIGN: usize = 8;

const VERSION: u8 = 1;
const MORE: u8 = 1;
const ABORT: u8 = 2;
const BYTES: u8 = 4;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of a message, and not its last.
    More,
    /// The end of a message that was not sent after all.
    Abort,
    /// The whole of a message, or its last part.
    Last(Last),
}

/// What a message is, which its last frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    /// Whether it is bytes as they are.
    pub(super) is_bytes: bool,
    /// How many file descriptors lie in the socket for it.
    pub(super) descriptors: u16,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: u32,
    pub(super) kind: Kind,
    pub(super) sequence: u64,
}

impl Header {
    #[inline]
    pub(super) fn to_words(self) -> [u64; HEADER_WORDS] {
        let (flags, descriptors) = match self.kind {
            Kind::More => (MORE, 0),
            Kind::Abort => (ABORT, 0),
            Kind::Last(Last { is_bytes: true, descriptors }) => (BYTES, descriptors),
            Kind::Last(Last { is_bytes: false, descriptors }) => (0, descriptors),
        };
        let [version, flags, descriptors] =
            [u64::from(VERSION) << 32, u64::from(flags) << 40, u64::from(descriptors) << 48];
        [u64::from(self.len) | version | flags | descriptors, self.sequence]
    }

    /// Takes nothing that `to_words` does not say.
    #[inline]
    pub(super) fn parse(bytes: [u8; HEADER_LEN]) -> Result<Self, Violation> {
        let [l0, l1, l2, l3, version, flags, d0, d1, sequence @ ..] = bytes;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let descriptors = u16::from_le_bytes([d0, d1]);
        if version != VERSION {
            return Err(Violation::Frame("its version is unknown"));
        }
        let kind = match (flags, descriptors, len) {
            (MORE, 0, 1..) => Kind::More,
            (ABORT, 0, 0) => Kind::Abort,
            (0 | BYTES, _, _) => Kind::Last(Last { is_bytes: flags == BYTES, descriptors }),
            _ => return Err(Violation::Frame("its flags contradict each other")),
        };
        Ok(Self { len, kind, sequence: u64::from_le_bytes(sequence) })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "usize has 64 bits where this crate builds"
    )]
    pub(super) fn body_len(&self) -> usize {
        u64::from(self.len) as usize
    }
}

/// The length of the body, if this is the head of the only frame of message number `sequence`, a value without descriptors.
#[inline]
pub(super) fn plain_len(head: [u64; HEADER_WORDS], sequence: u64) -> Option<usize> {
    let [first, second] = head;
    let (rest, len) = (first >> 32, first & u64::from(u32::MAX));
    if rest != u64::from(VERSION) || second != sequence {
        return None;
    }
    usize::try_from(len).ok()
}

/// How many bytes of the ring a frame with `body` bytes takes.
#[inline]
pub(super) fn frame_len(body: usize) -> usize {
    HEADER_LEN + body + padding(body)
}

/// How many zeros follow a body.
#[inline]
pub(super) fn padding(body: usize) -> usize {
    body.wrapping_neg() % ALIGN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_bytes(header: Header) -> Vec<u8> {
        header.to_words().into_iter().flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn a_header_has_the_bytes_that_are_documented() {
        let last = Last { is_bytes: true, descriptors: 0x0102 };
        let header = Header { len: 0x0304_0506, kind: Kind::Last(last), sequence: 7 };
        let bytes = [6, 5, 4, 3, 1, 4, 2, 1, 7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(to_bytes(header), bytes);
        assert_eq!(Header::parse(bytes), Ok(header));
    }

    #[test]
    fn frames_are_multiples_of_eight_bytes() {
        let lens = [0, 1, 7, 8, 9].map(frame_len);
        assert_eq!(lens, [16, 24, 24, 24, 32]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_that_writes_the_same_bytes_or_an_error(bytes: [u8; HEADER_LEN]) {
            if let Ok(header) = Header::parse(bytes) {
                prop_assert_eq!(to_bytes(header), bytes);
            }
        }

        #[test]
        fn likely_bytes_too(len in 0_u32..3, flags in 0_u8..9, fds in 0_u8..3, version in 0_u8..3) {
            let [a, b, c, d] = len.to_le_bytes();
            let bytes = [a, b, c, d, version, flags, fds, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            if let Ok(header) = Header::parse(bytes) {
                prop_assert_eq!(to_bytes(header), bytes);
            }
        }
    }
}
