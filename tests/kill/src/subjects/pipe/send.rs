//! A sender is killed while it sends its second message, or closes its end.

use std::io;

use procession_channel::codec;
use procession_channel::pipe::Receiver;

use super::super::{ALONE, NOBODY, SLEEPER};
use super::{CAPACITY, Ends, Letter, check, end_of, letter, warm_up};
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// The reader sleeps when the sender begins; nobody comes after the death.
const ASLEEP: Plot = Plot { late: &[], ..SLEEPER };
/// The reader comes between kill point and death, and reads on after it.
const READER_AT_POINT: Plot =
    Plot { setting: "reader at the point", at_point: &[Role::Sleeper], ..NOBODY };
/// The reader does not read until the sender sleeps or is dead.
const READER_BUSY: Plot = Plot { setting: "reader busy", then: &[Role::Holder], ..NOBODY };

const FREE: &[Plot] = &[ALONE, ASLEEP, READER_AT_POINT];
const SHORT: usize = 24;
/// More than the ring has room for, so that it goes in parts, for some of which the sender sleeps.
const LONG: usize = CAPACITY;
/// What one part of a long message takes in the ring, its header of 16 bytes included.
const PART: usize = CAPACITY / 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stays,
    Closes,
    Drops,
}

#[derive(Debug, Clone, Copy)]
struct Op {
    name: &'static str,
    len: usize,
    has_handle: bool,
    end: End,
}

const SEND: Op = Op { name: "pipe send", len: SHORT, has_handle: false, end: End::Stays };

pub(super) fn cases() -> Vec<Case> {
    let handle = Op { name: "pipe send with handle", has_handle: true, ..SEND };
    let long = Op { name: "pipe send long", len: LONG, ..SEND };
    let both = Op { name: "pipe send long with handle", has_handle: true, ..long };
    let close = Op { name: "pipe close of sender", end: End::Closes, ..SEND };
    let drops = Op { name: "pipe drop of sender", end: End::Drops, ..SEND };
    let parts: &[Plot] = &[ASLEEP, READER_BUSY];
    let all =
        [(SEND, FREE), (handle, FREE), (long, parts), (both, parts), (close, FREE), (drops, FREE)];
    let each = |(op, plots): (Op, &'static [Plot])| {
        plots.iter().map(move |plot| Case::new(op.name, *plot, move || SendScene::build(op)))
    };
    all.into_iter().flat_map(each).collect()
}

struct SendScene {
    op: Op,
    ends: Ends<Letter>,
    /// How many bytes had been published when the operation began.
    before: u64,
}

impl SendScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let first = letter(0, SHORT, op.has_handle)?;
        let ends = Ends::after(|sender| sender.send(first).map_err(io::Error::other))?;
        let before = ends.sent_bytes();
        Ok(Box::new(Self { op, ends, before }))
    }

    fn letter(&self, number: u64) -> Result<Letter, String> {
        letter(number, self.op.len, self.op.has_handle).map_err(|error| error.to_string())
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        warm_up()?;
        let sender = self.ends.sender()?;
        match self.op.end {
            End::Stays => {
                let second = self.letter(1)?;
                cue.operate(|| sender.send(second))?.map_err(|error| error.to_string())?;
            }
            End::Closes => cue.operate(|| sender.close())?,
            End::Drops => cue.operate(|| drop(sender))?,
        }
        Ok(String::new())
    }

    /// Says how many messages came, and how the stream ended.
    fn read_to_the_end(&self, receiver: &Receiver<Letter>) -> Result<String, String> {
        let mut count = 0;
        loop {
            match receiver.recv() {
                Ok(came) => {
                    let len = if count == 0 { SHORT } else { self.op.len };
                    check(came, count, len, self.op.has_handle)?;
                }
                ended => return end_of(ended).map(|how| format!("{count} {how}")),
            }
            count += 1;
        }
    }

    /// How many bytes the second message takes in the ring.
    fn second_bytes(&self) -> Result<u64, String> {
        let mut bytes = Vec::new();
        let (number, text, _) = letter(1, self.op.len, false).map_err(|error| error.to_string())?;
        // A handle is one byte more: the index of its descriptor behind the one that says that there is one.
        let handle = self.op.has_handle.then_some(0_u32);
        codec::encode(&(number, text, handle), &mut bytes).map_err(|error| error.to_string())?;
        Ok(frames_len(bytes.len()) as u64)
    }

    /// What the reader must have found.
    fn promised(&self, place: Place) -> Result<&'static str, String> {
        if self.op.end != End::Stays {
            return Ok("1 closed");
        }
        let published = self.ends.sent_bytes() - self.before;
        let all = self.second_bytes()?;
        match (place, published) {
            (Place::First | Place::Inside, 0) => Ok("1 closed"),
            (Place::Last | Place::Inside, bytes) if bytes == all => Ok("2 closed"),
            (Place::Inside, bytes) if bytes < all => Ok("1 died"),
            _ => Err(format!("{published} of {all} bytes were published")),
        }
    }
}

/// What a body takes in the ring: one frame, or parts.
fn frames_len(body: usize) -> usize {
    let frame = |len: usize| 16 + len.next_multiple_of(8);
    if frame(body) <= CAPACITY / 2 {
        return frame(body);
    }
    let parts = (body - 1) / (PART - 16);
    parts * PART + frame(body - parts * (PART - 16))
}

impl Scene for SendScene {
    /// Of a long message, the bytes that nobody may look at yet are no states of their own.
    fn views(&self) -> Vec<View> {
        vec![if self.op.len == LONG { self.ends.head_view() } else { self.ends.view() }]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn in_turns(&self) -> bool {
        self.op.len == LONG
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role == Role::Victim {
            return self.victim(cue);
        }
        let receiver = self.ends.receiver()?;
        if role == Role::Holder {
            cue.hold()?;
        }
        self.read_to_the_end(&receiver)
    }

    fn at_point(&self) {
        self.ends.sender.give_up();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let promised = self.promised(ending.place)?;
        if ending.all().all(|found| found == promised) {
            return Ok(());
        }
        Err(format!("the reader should have found: {promised}"))
    }
}
