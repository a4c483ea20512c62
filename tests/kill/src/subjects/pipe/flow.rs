//! An end is killed while it sends or receives in the middle of a [stream](procession_channel::bell), where neither side fences and the
//! one that goes to sleep has the kernel do it for both.
//!
//! The director sends so many letters through the pipe that both ends are in a stream; who unpacks them goes on in it. The victim
//! sends or takes one letter before its operation, in which it finds out that the other side is in a stream.

use std::io;
use std::thread;

use procession_channel::pipe::{Receiver, SendErrorKind, Sender};
use procession_shm::sync::one_sided::{Fences, has_enlisted};

use super::super::{ALONE, NOBODY, SLEEPER};
use super::{Ends, Letter, check, end_of, letter, warm_up};
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// The reader sleeps when the sender begins; nobody comes after the death.
const READER_ASLEEP: Plot = Plot { late: &[], ..SLEEPER };
/// The reader comes between kill point and death, and sleeps when it has read what there is.
const READER_AT_POINT: Plot =
    Plot { setting: "reader at the point", at_point: &[Role::Sleeper], ..NOBODY };
/// The sender has filled the ring and sleeps when the reader begins.
const WRITER_ASLEEP: Plot = Plot { setting: "sleeper", then: &[Role::Sleeper], ..NOBODY };
/// The sender fills the ring between kill point and death, and sleeps.
const WRITER_AT_POINT: Plot =
    Plot { setting: "writer at the point", at_point: &[Role::Sleeper], ..NOBODY };

const LEN: usize = 200;
/// At least as many as make a stream.
const STREAM_LEN: usize = 5000;
/// How many letters lie in the pipe when the scene begins.
const LYING: u64 = 3;

pub(super) fn cases() -> Vec<Case> {
    if Fences::offer() == Fences::Mutual {
        skips::skipped("kill points of pipes in a stream", "the kernel does not fence for others");
        return Vec::new();
    }
    let sends = [ALONE, READER_ASLEEP, READER_AT_POINT];
    let takes = [WRITER_ASLEEP, WRITER_AT_POINT];
    let send = |plot| Case::new("pipe send in a stream", plot, || FlowScene::build(Way::Send));
    let take = |plot| Case::new("pipe receive in a stream", plot, || FlowScene::build(Way::Take));
    sends.map(send).into_iter().chain(takes.map(take)).collect()
}

/// A pipe in the middle of a stream, in which some letters lie.
fn flowing() -> io::Result<Ends<Letter>> {
    // Its forks have enlisted if it has.
    while !has_enlisted() {
        thread::yield_now();
    }
    let ends = Ends::after_both(|sender, receiver| {
        (0..STREAM_LEN).try_for_each(|_| exchange(sender, receiver))?;
        (0..LYING).try_for_each(|number| send(sender, number))
    })?;
    if ends.ring.reader_bell().is_streaming() && ends.ring.writer_bell().is_streaming() {
        Ok(ends)
    } else {
        Err(io::Error::other("the ends are in no stream"))
    }
}

fn exchange(sender: &Sender<Letter>, receiver: &Receiver<Letter>) -> io::Result<()> {
    send(sender, 0)?;
    receiver.recv().map(drop).map_err(io::Error::other)
}

fn send(sender: &Sender<Letter>, number: u64) -> io::Result<()> {
    sender.send(letter(number, LEN, false)?).map_err(io::Error::other)
}

fn take(receiver: &Receiver<Letter>, number: u64) -> Result<(), String> {
    let came = receiver.recv().map_err(|error| error.to_string())?;
    check(came, number, LEN, false)
}

/// What the victim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It sends; whoever reads must find all that was published, and that the sender is gone.
    Send,
    /// It takes; the sender fills the ring and sleeps, and must be told of the death.
    Take,
}

struct FlowScene {
    ends: Ends<Letter>,
    way: Way,
}

impl FlowScene {
    fn build(way: Way) -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self { ends: flowing()?, way }))
    }

    fn victim(&self, cue: &Cue) -> Result<(), String> {
        warm_up()?;
        if self.way == Way::Take {
            let receiver = self.ends.receiver()?;
            take(&receiver, 0)?;
            let came = cue.operate(|| receiver.recv())?.map_err(|error| error.to_string())?;
            return check(came, 1, LEN, false);
        }
        let sender = self.ends.sender()?;
        send(&sender, LYING).map_err(|error| error.to_string())?;
        let last = letter(LYING + 1, LEN, false).map_err(|error| error.to_string())?;
        cue.operate(|| sender.send(last))?.map_err(|error| error.to_string())
    }

    /// Says how many letters came, and how the stream ended.
    fn read_to_the_end(&self) -> Result<String, String> {
        let receiver = self.ends.receiver()?;
        for count in 0.. {
            match receiver.recv() {
                Ok(came) => check(came, count, LEN, false)?,
                ended => return end_of(ended).map(|how| format!("{count} {how}")),
            }
        }
        Err("the reader was never told".to_owned())
    }

    fn write_to_the_end(&self) -> Result<String, String> {
        let sender = self.ends.sender()?;
        for number in LYING.. {
            let next = letter(number, LEN, false).map_err(|error| error.to_string())?;
            let Err(error) = sender.send(next) else { continue };
            return match error.kind {
                SendErrorKind::Closed if error.value.0 == number => Ok("closed".to_owned()),
                kind => Err(format!("letter {}: {kind}", error.value.0)),
            };
        }
        Err("the sender was never told".to_owned())
    }
}

impl Scene for FlowScene {
    fn views(&self) -> Vec<View> {
        vec![self.ends.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn in_turns(&self) -> bool {
        self.way == Way::Take
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match (role, self.way) {
            (Role::Victim, _) => self.victim(cue).map(|()| String::new()),
            (_, Way::Send) => self.read_to_the_end(),
            (_, Way::Take) => self.write_to_the_end(),
        }
    }

    fn at_point(&self) {
        match self.way {
            Way::Send => self.ends.sender.give_up(),
            Way::Take => self.ends.receiver.give_up(),
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let (bytes, before) = match self.way {
            Way::Send => (self.ends.sent_bytes(), LYING + 1),
            Way::Take => (self.ends.taken_bytes(), 1),
        };
        let letters = letters(bytes)?;
        let may_be = match ending.place {
            Place::First => letters == before,
            Place::Inside => (before..=before + 1).contains(&letters),
            Place::Last => letters == before + 1,
        };
        let promised = match self.way {
            Way::Send => format!("{letters} closed"),
            Way::Take => "closed".to_owned(),
        };
        if may_be && ending.all().all(|found| found == promised) {
            return Ok(());
        }
        Err(format!("{letters} letters have gone; the other side should have found: {promised}"))
    }
}

/// How many letters take so many bytes in the ring.
fn letters(bytes: u64) -> Result<u64, String> {
    // A letter's number is one byte, the length of its text two, and that there is no handle one more.
    let each = 16 + (LEN as u64 + 4).next_multiple_of(8);
    if bytes.is_multiple_of(each) {
        Ok(bytes / each)
    } else {
        Err(format!("{bytes} bytes are no number of whole letters"))
    }
}
