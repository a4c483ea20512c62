//! Where encoded bytes go: to the end of a vector, or, for a message of a few words, onto the stack.

use std::cell::Cell;

/// Something to append bytes to.
pub(crate) trait Output {
    fn push(&mut self, byte: u8);
    fn extend(&mut self, bytes: &[u8]);
    fn len(&self) -> usize;
    fn truncate(&mut self, len: usize);
}

impl Output for Vec<u8> {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }
}

/// A message of up to so many bytes is encoded, and taken, on the stack. A tuple of eight numbers takes 80 at most.
pub(crate) const SHORT_BYTES_MAX: usize = 96;

/// A vector of at most this capacity is kept for the next message.
pub(crate) const KEPT_BYTES_MAX: usize = 64 << 10;

/// The bytes of one message: on the stack while they are few, then in a vector that is kept from message to message.
///
/// A vector alone would be moved out of its place and back for each message, because what is being encoded may send another one
/// through the same end. For a message of a word that was a fifth of its price.
pub(crate) struct Buffer<'a> {
    short: [u8; SHORT_BYTES_MAX],
    short_len: usize,
    /// All of the bytes, once they have been too many.
    long: Option<Vec<u8>>,
    kept: &'a Cell<Vec<u8>>,
}

impl<'a> Buffer<'a> {
    /// An empty one, which takes the vector in `kept` if it needs one, and puts it back.
    #[inline]
    pub(crate) fn new(kept: &'a Cell<Vec<u8>>) -> Self {
        Self { short: [0; SHORT_BYTES_MAX], short_len: 0, long: None, kept }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.long {
            None => &self.short[..self.short_len],
            Some(long) => long,
        }
    }

    #[cold]
    fn spill(&mut self) -> &mut Vec<u8> {
        let mut long = self.kept.take();
        long.clear();
        long.extend_from_slice(&self.short[..self.short_len]);
        self.long.insert(long)
    }
}

impl Output for Buffer<'_> {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        let long = match &mut self.long {
            Some(long) => long,
            None => {
                let end = self.short_len + bytes.len();
                if let Some(room) = self.short.get_mut(self.short_len..end) {
                    room.copy_from_slice(bytes);
                    self.short_len = end;
                    return;
                }
                self.spill()
            }
        };
        long.extend_from_slice(bytes);
    }

    #[inline]
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn truncate(&mut self, len: usize) {
        match &mut self.long {
            None => self.short_len = self.short_len.min(len),
            Some(long) => long.truncate(len),
        }
    }
}

impl Drop for Buffer<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(long) = self.long.take().filter(|long| long.capacity() <= KEPT_BYTES_MAX) {
            self.kept.set(long);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_would_on_both_sides_of_its_limit() {
        let kept = Cell::default();
        for len in [0, 1, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 1000] {
            let (mut buffer, mut vector) = (Buffer::new(&kept), Vec::new());
            for part in 0..len {
                let byte = part.to_le_bytes()[0];
                Output::push(&mut vector, byte);
                buffer.push(byte);
                assert_eq!(buffer.len(), vector.len());
            }
            buffer.extend(&[7; 5]);
            vector.extend_from_slice(&[7; 5]);
            assert_eq!(buffer.as_slice(), vector, "{len}");
            buffer.truncate(len);
            assert_eq!(buffer.as_slice(), &vector[..len], "{len}");
        }
    }

    #[test]
    fn a_vector_is_kept_unless_it_is_large() {
        let kept = Cell::default();
        Buffer::new(&kept).extend(&[0; 1000]);
        let vector = kept.take();
        assert!(vector.capacity() >= 1000);
        Buffer::new(&kept).extend(&[0; KEPT_BYTES_MAX + 1]);
        assert_eq!(kept.take().capacity(), 0);
    }

    /// What is being encoded may send another message through the same end.
    #[test]
    fn two_at_once_do_not_share_a_vector() {
        let kept = Cell::default();
        let mut outer = Buffer::new(&kept);
        outer.extend(&[1; 200]);
        Buffer::new(&kept).extend(&[2; 200]);
        outer.extend(&[1; 200]);
        assert_eq!(outer.as_slice(), [1; 400]);
    }
}
