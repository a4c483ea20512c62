//! A receiver is killed while it receives, or closes its end.
//!
//! A receiver's end dies with it, so that nobody could say whether a message that it has not taken is still there. Therefore
//! the director keeps a second copy of the end, which an *heir* takes over after the death, where the first one stood.

use std::io;

use procession_channel::pipe::{Receiver, SendErrorKind, Sender};
use procession_channel::ring::Memory;
use procession_shm::sync::atomic::Ordering;

use super::super::packed::Packed;
use super::super::{ALONE, NOBODY};
use super::{Ends, Letter, check, end_of, letter, ring, warm_up};
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// The sender fills the ring and sleeps.
const WRITER: Plot = Plot { setting: "sleeper", then: &[Role::Sleeper], ..NOBODY };
/// An heir comes after the death.
const HEIR: Plot = Plot { setting: "heir", ..ALONE };

const LEN: usize = 200;
const SENT: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stays,
    Closes,
    Drops,
}

#[derive(Debug, Clone, Copy)]
struct Op {
    name: &'static str,
    has_handle: bool,
    end: End,
}

const RECEIVE: Op = Op { name: "pipe receive", has_handle: false, end: End::Stays };

pub(super) fn cases() -> Vec<Case> {
    let handle = Op { name: "pipe receive with handle", has_handle: true, ..RECEIVE };
    let close = Op { name: "pipe close of receiver", end: End::Closes, ..RECEIVE };
    let drops = Op { name: "pipe drop of receiver", end: End::Drops, ..RECEIVE };
    let heirs = [RECEIVE, handle].map(|op| Case::new(op.name, HEIR, move || HeirScene::build(op)));
    let writers = [RECEIVE, handle, close, drops];
    let writers = writers.map(|op| Case::new(op.name, WRITER, move || WriterScene::build(op)));
    heirs.into_iter().chain(writers).collect()
}

fn letter_of(op: Op, number: u64) -> io::Result<Letter> {
    letter(number, LEN, op.has_handle)
}

fn victim(op: Op, receiver: Receiver<Letter>, cue: &Cue) -> Result<String, String> {
    match op.end {
        End::Stays => {
            let came = cue.operate(|| receiver.recv())?.map_err(|error| error.to_string())?;
            check(came, 0, LEN, op.has_handle)?;
        }
        End::Closes => cue.operate(|| receiver.close())?,
        End::Drops => cue.operate(|| drop(receiver))?,
    }
    Ok(String::new())
}

/// Two messages lie in the pipe and the sender is gone.
struct HeirScene {
    op: Op,
    ends: Ends<Letter>,
    heir: Packed<Receiver<Letter>>,
}

impl HeirScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let ends = Ends::after(|sender| {
            (0..SENT).try_for_each(|number| {
                sender.send(letter_of(op, number)?).map_err(io::Error::other)
            })
        })?;
        ends.sender.give_up();
        let heir = ends.receiver.duplicate()?;
        Ok(Box::new(Self { op, ends, heir }))
    }

    /// If nothing was taken, all must be there, whole.
    fn inherit(&self) -> Result<String, String> {
        let ring = ring(&self.heir).map_err(|error| error.to_string())?;
        if ring.head().load(Ordering::SeqCst) > 0 {
            return Ok("taken".to_owned());
        }
        let receiver = self.heir.unpack()?;
        for number in 0..SENT {
            let came = receiver.recv().map_err(|error| format!("letter {number}: {error}"))?;
            check(came, number, LEN, self.op.has_handle)?;
        }
        end_of(receiver.recv()).map(|_| "there".to_owned())
    }
}

impl Scene for HeirScene {
    fn views(&self) -> Vec<View> {
        vec![self.ends.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role != Role::Victim {
            return self.inherit();
        }
        warm_up()?;
        self.heir.give_up();
        victim(self.op, self.ends.receiver()?, cue)
    }

    fn at_point(&self) {
        self.ends.give_up();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let whole = self.ends.sent_bytes() / SENT;
        let taken = self.ends.taken_bytes();
        let may_be = match ending.place {
            Place::First => ending.all().all(|seen| seen == "there"),
            Place::Last => taken == whole && ending.all().all(|seen| seen == "taken"),
            Place::Inside => ending.all().all(|seen| seen == "there") || taken == whole,
        };
        if may_be {
            Ok(())
        } else {
            Err(format!("{taken} bytes were taken, a message has {whole}"))
        }
    }
}

/// The sender sends until it has no room, and sleeps; after the death it must be told.
struct WriterScene {
    op: Op,
    ends: Ends<Letter>,
}

impl WriterScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let ends = Ends::after(|sender| sender.send(letter_of(op, 0)?).map_err(io::Error::other))?;
        Ok(Box::new(Self { op, ends }))
    }

    fn write_to_the_end(&self, sender: &Sender<Letter>) -> Result<String, String> {
        for number in 1.. {
            let next = letter_of(self.op, number).map_err(|error| error.to_string())?;
            let Err(error) = sender.send(next) else { continue };
            let (given_back, _, _) = error.value;
            if !matches!(error.kind, SendErrorKind::Closed) || given_back != number {
                return Err(format!("letter {given_back}: {}", error.kind));
            }
            return Ok("closed".to_owned());
        }
        Err("the sender was never told".to_owned())
    }
}

impl Scene for WriterScene {
    fn views(&self) -> Vec<View> {
        vec![self.ends.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn in_turns(&self) -> bool {
        true
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role != Role::Victim {
            return self.write_to_the_end(&self.ends.sender()?);
        }
        warm_up()?;
        victim(self.op, self.ends.receiver()?, cue)
    }

    fn at_point(&self) {
        self.ends.give_up();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let taken = self.ends.taken_bytes();
        let is_done = ending.place == Place::Last && self.op.end == End::Stays;
        if ending.place == Place::First && taken != 0 || is_done && taken == 0 {
            return Err(format!("{taken} bytes were taken"));
        }
        Ok(())
    }
}
