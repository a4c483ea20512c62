//! Items of the same length, many at once: one look at the room for all of them, and nothing for each but its bytes.

use super::{Frame, ITEM_HEADER_LEN};

/// With fewer items in a message, what is done for each message is what counts, and items are as well added one by one.
const WORTHWHILE: u32 = 16;

impl Frame {
    /// Whether [`push_fixed`](Self::push_fixed) is worth its while.
    #[inline]
    pub fn has_long_messages(&self) -> bool {
        self.message_items_max >= WORTHWHILE
    }

    /// Adds items of `len` bytes each to the last message, or to a new one if that is full, until the frame has `items_max` items or
    /// `len_max` bytes, or the message is full. `write` is called for each and writes its bytes; it returns false when there are no
    /// more, and so does this. `added` counts them, also if `write` panics: then those before are there.
    #[inline]
    pub fn push_fixed(
        &mut self,
        len: usize,
        (items_max, len_max): (usize, usize),
        added: &mut usize,
        mut write: impl FnMut(&mut [u8]) -> bool,
    ) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the length of a number, or of a few")]
        let head = (len as u32).to_le_bytes();
        let step = ITEM_HEADER_LEN + len;
        let room = len_max.saturating_sub(self.len()).div_ceil(step);
        let max = room.min(items_max.saturating_sub(self.count()));
        let run = Run::begin(self, step, max, added);
        for item in run.frame.bytes[run.start..].chunks_exact_mut(run.step) {
            let (item_head, body) = item.split_at_mut(ITEM_HEADER_LEN);
            if !write(body) {
                return false;
            }
            item_head.copy_from_slice(&head);
            *run.count += 1;
        }
        true
    }
}

/// Room for items, of which those that were not written are taken away in the end.
struct Run<'a> {
    frame: &'a mut Frame,
    start: usize,
    /// The length of an item with its head.
    step: usize,
    /// How many items there were in all, before and now.
    before: usize,
    count: &'a mut usize,
}

impl<'a> Run<'a> {
    /// Room in the last message, or in a new one if that is full.
    #[inline]
    fn begin(frame: &'a mut Frame, step: usize, max: usize, count: &'a mut usize) -> Self {
        if frame.last.count >= frame.message_items_max {
            frame.begin_message();
        }
        let items = max.min((frame.message_items_max - frame.last.count) as usize);
        let start = frame.bytes.len();
        frame.bytes.resize(start + items * step, 0);
        Self { frame, start, step, before: *count, count }
    }
}

impl Drop for Run<'_> {
    #[inline]
    fn drop(&mut self) {
        let items = *self.count - self.before;
        self.frame.bytes.truncate(self.start + items * self.step);
        #[expect(clippy::cast_possible_truncation, reason = "at most what a message holds, a u32")]
        let items = items as u32;
        self.frame.count += items;
        self.frame.last.count += items;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::function::{Function, Task, Work};

    struct Nothing;

    impl Task<fn(u16)> for Nothing {
        fn run(_: fn(u16), _: &mut Work<'_>) -> u8 {
            0
        }
    }

    fn call() -> Frame {
        Frame::call(Function::unary::<Nothing, u16, ()>(|_| ()).unwrap(), 3)
    }

    fn one_by_one(mut frame: Frame, items: impl Iterator<Item = u16>) -> Frame {
        for item in items {
            let pushed: Result<(), super::super::ItemTooLarge> = frame.push_plain(|out| {
                out.extend_from_slice(&item.to_le_bytes());
                Ok(())
            });
            pushed.unwrap();
        }
        frame.sealed()
    }

    fn at_once(
        frame: &mut Frame,
        items_max: usize,
        items: &mut impl Iterator<Item = u16>,
    ) -> (usize, bool) {
        let mut added = 0;
        let goes_on = frame.push_fixed(2, (items_max, usize::MAX), &mut added, |slot| {
            let Some(item) = items.next() else { return false };
            slot.copy_from_slice(&item.to_le_bytes());
            true
        });
        (added, goes_on)
    }

    #[test]
    fn many_at_once_are_what_they_would_be_one_by_one() {
        let mut frame = call();
        assert_eq!(at_once(&mut frame, 5, &mut (0..9)), (5, true));
        assert_eq!(at_once(&mut frame, 99, &mut (5..9)), (4, false));
        assert_eq!(frame.count(), 9);
        assert_eq!(frame.sealed().pieces(), one_by_one(call(), 0..9).pieces());
    }

    #[test]
    fn a_frame_gets_no_more_than_fit_into_a_length() {
        let mut frame = call();
        let (empty, mut added) = (frame.len(), 0);
        let zeros = |_: &mut [u8]| true;
        assert!(frame.push_fixed(2, (99, empty + 12), &mut added, zeros));
        assert!(frame.push_fixed(2, (99, empty + 12), &mut added, zeros));
        assert_eq!((added, frame.count()), (2, 2));
    }

    #[test]
    fn messages_get_no_more_than_they_hold() {
        let mut frame = call().in_messages_of(4);
        let mut items = 0..10;
        let added: Vec<_> = (0..3).map(|_| at_once(&mut frame, 99, &mut items)).collect();
        assert_eq!(added, [(4, true), (4, true), (2, false)]);
        assert_eq!(frame.sealed().pieces(), one_by_one(call().in_messages_of(4), 0..10).pieces());
    }

    #[test]
    fn what_was_there_before_a_panic_stays() {
        let (mut frame, mut added, mut left) = (call(), 7, 2_u8);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            frame.push_fixed(2, (9, usize::MAX), &mut added, |slot| {
                left = left.checked_sub(1).expect("the third one panics");
                slot.fill(left);
                true
            })
        }));
        assert!(panicked.is_err());
        assert_eq!((added, frame.count()), (9, 2));
        assert_eq!(frame.sealed().pieces(), one_by_one(call(), [0x0101, 0].into_iter()).pieces());
    }
}
