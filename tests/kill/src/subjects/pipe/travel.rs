//! Somebody is killed who sends or receives an end of one pipe through another.
//!
//! There is one sending end in the world. After the death either the one who was to get it has it and can use it, or nobody has
//! it and who listens at the other side is told so.

use std::io;

use procession_channel::pipe::{Receiver, Sender};

use super::super::{NOBODY, SLEEPER};
use super::{Ends, end_of, warm_up};
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// The one who is to get the end already waits for it.
const ASLEEP: Plot = Plot { late: &[], ..SLEEPER };
/// It comes between kill point and death.
const READER_AT_POINT: Plot =
    Plot { setting: "reader at the point", at_point: &[Role::Sleeper], ..NOBODY };

/// What was sent through the inner pipe before its end goes away.
const EARLY: u64 = 5;
/// What its new owner sends.
const LATE: u64 = 7;

pub(super) fn cases() -> Vec<Case> {
    let sent = |plot| Case::new("pipe send of an end", plot, || TravelScene::build(Way::Out));
    let taken = |plot| Case::new("pipe receive of an end", plot, || TravelScene::build(Way::In));
    vec![sent(READER_AT_POINT), sent(ASLEEP), taken(READER_AT_POINT)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The victim sends the end.
    Out,
    /// It receives the end.
    In,
}

struct TravelScene {
    way: Way,
    outer: Ends<Sender<u64>>,
    inner: Ends<u64>,
}

impl TravelScene {
    fn build(way: Way) -> io::Result<Box<dyn Scene>> {
        let inner = Ends::after(|sender| sender.send(EARLY).map_err(io::Error::other))?;
        let outer = Ends::after(|outer| match way {
            Way::Out => Ok(()),
            Way::In => {
                let end = inner.sender.unpack().map_err(io::Error::other)?;
                outer.send(end).map_err(|error| io::Error::other(error.kind))
            }
        })?;
        Ok(Box::new(Self { way, outer, inner }))
    }

    fn victim(&self, cue: &Cue) -> Result<String, String> {
        warm_up()?;
        self.inner.receiver.give_up();
        if self.way == Way::In {
            let receiver = self.outer.receiver()?;
            return cue
                .operate(|| receiver.recv().map(drop))?
                .map(|()| String::new())
                .map_err(text);
        }
        let (sender, end) = (self.outer.sender()?, self.inner.sender.unpack()?);
        cue.operate(|| sender.send(end))?.map(|()| String::new()).map_err(text)
    }

    /// Waits for the end, uses it if it comes, and then listens at the other side of the inner pipe until that has ended.
    fn listen(&self) -> Result<String, String> {
        let inner = self.inner.receiver()?;
        if self.way == Way::In {
            self.outer.give_up();
            return drain(&inner);
        }
        let outer = self.outer.receiver()?;
        match outer.recv() {
            Ok(end) => end.send(LATE).map_err(text)?,
            ended => end_of(ended).map(drop)?,
        }
        drop(outer);
        drain(&inner)
    }
}

/// The numbers that come before the end.
fn drain(receiver: &Receiver<u64>) -> Result<String, String> {
    let mut numbers = Vec::new();
    loop {
        match receiver.recv() {
            Ok(number) => numbers.push(number),
            ended => return end_of(ended).map(|how| format!("{numbers:?} {how}")),
        }
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Scene for TravelScene {
    fn views(&self) -> Vec<View> {
        vec![self.outer.view(), self.inner.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role == Role::Victim { self.victim(cue) } else { self.listen() }
    }

    fn at_point(&self) {
        self.inner.sender.give_up();
        self.outer.sender.give_up();
    }

    /// What lies in a socket is lost with the last who has the receiving end, and the director is none of them.
    fn after_death(&self) {
        self.outer.give_up();
        self.inner.give_up();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let has_come = self.way == Way::Out && self.outer.sent_bytes() > 0;
        let is_sound = match (self.way, ending.place) {
            (Way::Out, Place::First) => !has_come,
            (Way::Out, Place::Last) => has_come,
            _ => true,
        };
        let promised = if has_come {
            format!("{:?} closed", [EARLY, LATE])
        } else {
            format!("{:?} closed", [EARLY])
        };
        if is_sound && ending.all().all(|heard| heard == promised) {
            return Ok(());
        }
        Err(format!("the listener should have heard: {promised}"))
    }
}
