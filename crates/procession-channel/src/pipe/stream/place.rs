//! Bytes that go from the ring to where the caller wants them, without memory in between.
//!
//! A reader who gathers a message in memory of its own and copies it out afterwards copies it twice, and while it does so the
//! second time, its peer waits for room. So the parts of a message go to the caller's *place* as they come. How long the message
//! will be only its last part tells: once a part does not fit, all that has come moves into the reader's own memory, where it
//! stays for a larger place.
//!
//! # Invariants
//!
//! * **Q1** What has come of the current message lies in the place or in [`Gathered::body`](super::Gathered), never in both.
//! * **Q2** Whoever lends a place to [`look_to`](FrameReader::look_to) gives it to [`keep`](FrameReader::keep) afterwards, unless
//!   the message was taken. Between the two nothing else of the reader is used, so it always has all that has come.

use super::super::Violation;
use super::super::frame::{Header, Kind, padding};
use super::{FrameReader, Look};
use crate::ring::Memory;

/// Room for a message, and what has come of it.
#[derive(Debug)]
pub(in crate::pipe) struct Place<'a> {
    room: &'a mut [u8],
    filled: usize,
}

impl<'a> Place<'a> {
    pub(in crate::pipe) fn over(room: &'a mut [u8]) -> Self {
        Self { room, filled: 0 }
    }

    /// How many bytes have come.
    pub(in crate::pipe) fn filled(&self) -> usize {
        self.filled
    }

    /// The longest message that has a place here.
    pub(in crate::pipe) fn capacity(&self) -> usize {
        self.room.len()
    }

    /// Where the next `len` bytes go, if there is room for them.
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        self.room[self.filled..].get_mut(..len)
    }

    /// Appends bytes that came another way, and says how many there are then.
    ///
    /// # Panics
    ///
    /// When there is no room for them.
    pub(in crate::pipe) fn append(mut self, bytes: &[u8]) -> usize {
        self.next(bytes.len()).expect("the caller has compared the lengths").copy_from_slice(bytes);
        self.filled + bytes.len()
    }
}

impl<M: Memory> FrameReader<M> {
    /// As [`look`](Self::look), but what comes goes to `place` as long as all of the message fits there.
    #[inline]
    pub(in crate::pipe) fn look_to(&mut self, place: &mut Place<'_>) -> Result<Look, Violation> {
        self.look_by(|reader, header| reader.read_body_to(header, place))
    }

    /// Takes over what has come of a message that was not taken.
    pub(in crate::pipe) fn keep(&mut self, place: &mut Place<'_>) {
        self.state.body.extend_from_slice(&place.room[..place.filled]);
        place.filled = 0;
    }

    #[inline]
    fn read_body_to(&mut self, header: &Header, place: &mut Place<'_>) -> Result<(), Violation> {
        if header.kind == Kind::Abort {
            place.filled = 0;
        }
        self.check_len(place.filled, header)?;
        let len = header.body_len();
        match place.next(len).filter(|_| self.state.body.is_empty()) {
            Some(next) => self.consumer.peek(0, next),
            None => {
                self.keep(place);
                return self.read_body(header);
            }
        }
        place.filled += len;
        self.consumer.skip(len + padding(len));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipe::frame::Last;
    use crate::pipe::stream::{FrameWriter, Gathered};
    use crate::ring::{Consumer, Producer, Ring};

    const LEN_MAX: usize = 1000;
    const BYTES: Last = Last { is_bytes: true, descriptors: 0 };

    fn pair() -> (FrameWriter<Ring>, FrameReader<Ring>) {
        let (ring, _) = Ring::new(4096).unwrap();
        let reader = FrameReader::new(Consumer::new(ring.clone()), Gathered::default(), LEN_MAX);
        (FrameWriter::new(Producer::new(ring), 0), reader)
    }

    /// Looks until there is a whole message or nothing more, and gives back the place if it was not needed.
    fn look_to_all<'a>(
        reader: &mut FrameReader<Ring>,
        room: &'a mut [u8],
    ) -> Result<(Look, Place<'a>), Violation> {
        let mut place = Place::over(room);
        loop {
            match reader.look_to(&mut place)? {
                Look::Part => {}
                found => return Ok((found, place)),
            }
        }
    }

    #[test]
    fn what_came_of_a_message_is_kept_for_another_place() {
        let (mut writer, mut reader) = pair();
        let mut room = [0; 6];
        writer.put_part(b"abc");
        let (found, mut place) = look_to_all(&mut reader, &mut room).unwrap();
        assert_eq!((found, place.filled()), (Look::Nothing, 3));
        reader.keep(&mut place);
        writer.put_last(BYTES, b"def");
        let (found, place) = look_to_all(&mut reader, &mut room).unwrap();
        assert_eq!((found, place.filled()), (Look::Whole, 0));
        assert_eq!((place.append(&reader.take()), &room), (6, b"abcdef"));
    }

    #[test]
    fn nothing_is_left_of_an_aborted_message() {
        let (mut writer, mut reader) = pair();
        let mut room = [0; 8];
        writer.put_part(b"gone");
        writer.abort();
        writer.put_last(BYTES, b"here");
        let (found, place) = look_to_all(&mut reader, &mut room).unwrap();
        assert_eq!((found, place.filled()), (Look::Whole, 4));
        assert_eq!((reader.take(), &room[..4]), (Vec::new(), &b"here"[..]));
    }

    #[test]
    fn the_limit_counts_what_is_in_the_place() {
        let (mut writer, mut reader) = pair();
        let mut room = [0; 2 * LEN_MAX];
        writer.put_part(&[1; 600]);
        writer.put_part(&[1; 401]);
        let found = look_to_all(&mut reader, &mut room).map(|(look, _)| look);
        assert_eq!(found, Err(Violation::TooLarge { len: 1001, limit: LEN_MAX }));
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_message_wherever_they_went(
            parts in proptest::collection::vec(1_usize..100, 1..8),
            rooms in proptest::collection::vec(0_usize..600, 8),
        ) {
            let (mut writer, mut reader) = pair();
            let message: Vec<u8> = (0..=250).cycle().take(parts.iter().sum()).collect();
            let mut rest = &message[..];
            for (index, (&len, &room)) in parts.iter().zip(&rooms).enumerate() {
                let (part, after) = rest.split_at(len);
                rest = after;
                let is_last = index + 1 == parts.len();
                if is_last { writer.put_last(BYTES, part) } else { writer.put_part(part) }
                let mut room = vec![0; room];
                let (found, mut place) = look_to_all(&mut reader, &mut room).unwrap();
                prop_assert_eq!(found == Look::Whole, is_last);
                reader.keep(&mut place);
            }
            prop_assert_eq!(reader.take(), message);
        }
    }
}
