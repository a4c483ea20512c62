//! `procession_channel::queue`: up to two who put and two who get, one of whom is killed.
//!
//! After the death the director closes the queue, so that all who wait come to an end. Every number that was put must then have
//! been got exactly once, or have died with the victim, who was about to get it.

use std::io;

use procession_channel::queue::{Queue, RecvError, SendErrorKind};

use super::packed::Packed;
use super::{ALONE, BARGER, NOBODY, SLEEPER};
use crate::actor::{Cue, Role};
use crate::memory::{View, Window};
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// What is in the queue before.
const EARLY: [u64; 2] = [0, 1];
/// What a victim puts, and what a barger.
const OF_VICTIM: u64 = 2;
const OF_OTHERS: u64 = 3;

/// Two get and two put, one of whom is the victim.
const TWO_AND_TWO: Plot = Plot {
    setting: "two and two",
    then: &[Role::Sleeper, Role::Sleeper],
    at_point: &[Role::Barger],
    ..NOBODY
};
/// Somebody has no room to put anything until the victim has got something.
const WRITER: Plot = Plot { setting: "full, sleeper", then: &[Role::Barger], ..ALONE };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Put,
    Get,
    Claim,
    /// What was claimed before is done.
    Done,
}

pub(super) fn cases() -> Vec<Case> {
    let ops: [(&str, Op, &[Plot]); 4] = [
        ("queue put", Op::Put, &[ALONE, SLEEPER, BARGER, TWO_AND_TWO]),
        ("queue get", Op::Get, &[ALONE, WRITER]),
        ("queue claim", Op::Claim, &[ALONE, WRITER]),
        ("queue done", Op::Done, &[ALONE, WRITER]),
    ];
    let each = |(name, op, plots): (&str, Op, &[Plot])| {
        super::each(name, plots, move || QueueScene::build(op))
    };
    ops.into_iter().flat_map(each).collect()
}

struct QueueScene {
    op: Op,
    queue: Queue<u64>,
    packed: Packed<Queue<u64>>,
    /// Its words and its bytes.
    memories: Vec<Window>,
}

impl QueueScene {
    fn build(op: Op) -> io::Result<Box<dyn Scene>> {
        let queue = Queue::builder().capacity(4096).items(2).build().map_err(io::Error::other)?;
        if op != Op::Put {
            for number in EARLY {
                queue.put(number).map_err(|error| io::Error::other(error.kind))?;
            }
        }
        let packed = Packed::new(&queue)?;
        let memories = packed.descriptors()?;
        let memories = memories.iter().filter_map(|fd| Window::open(fd).transpose());
        let memories = memories.collect::<Result<_, _>>()?;
        Ok(Box::new(Self { op, queue, packed, memories }))
    }

    fn victim(&self, queue: &Queue<u64>, cue: &Cue) -> Result<(), String> {
        match self.op {
            Op::Put => cue.operate(|| queue.put(OF_VICTIM))?.map_err(text)?,
            Op::Get => cue.operate(|| queue.get())?.map(drop).map_err(text)?,
            Op::Claim => drop(cue.operate(|| queue.claim())?.map_err(text)?),
            Op::Done => {
                let claim = queue.claim().map_err(text)?;
                cue.operate(|| claim.done())?;
            }
        }
        Ok(())
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn put(queue: &Queue<u64>) -> Result<String, String> {
    match queue.put(OF_OTHERS) {
        Ok(()) => Ok("put".to_owned()),
        Err(error) if matches!(error.kind, SendErrorKind::Closed) => Ok("closed".to_owned()),
        Err(error) => Err(text(error)),
    }
}

/// All that comes until the queue is closed and empty.
fn drain(queue: &Queue<u64>) -> Result<String, String> {
    let mut numbers = Vec::new();
    loop {
        match queue.get() {
            Ok(number) => numbers.push(number.to_string()),
            Err(RecvError::Closed) => return Ok(numbers.join(" ")),
            Err(error) => return Err(text(error)),
        }
    }
}

impl Scene for QueueScene {
    fn views(&self) -> Vec<View> {
        self.memories.iter().map(Window::view).collect()
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        let queue = self.packed.unpack()?;
        match role {
            Role::Victim => self.victim(&queue, cue).map(|()| String::new()),
            Role::Barger => put(&queue),
            _ => drain(&queue),
        }
    }

    fn after_death(&self) {
        self.queue.close();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let mut got: Vec<u64> = Vec::new();
        for report in ending.said(Role::Sleeper).chain(ending.said(Role::Survivor)) {
            got.extend(report.split_whitespace().filter_map(|number| number.parse::<u64>().ok()));
        }
        got.sort_unstable();
        let mut put = if self.op == Op::Put { Vec::new() } else { EARLY.to_vec() };
        put.extend(ending.said(Role::Barger).filter(|said| *said == "put").map(|_| OF_OTHERS));
        let (without, with) = match self.op {
            Op::Put => (put.clone(), [put, vec![OF_VICTIM]].concat()),
            Op::Get | Op::Done => (put.clone(), put[1..].to_vec()),
            // What was claimed and not done is offered again.
            Op::Claim => (put.clone(), put),
        };
        let (without, with) = (sorted(without), sorted(with));
        let may_be = match ending.place {
            Place::First => got == without,
            Place::Last => got == with,
            Place::Inside => got == without || got == with,
        };
        if may_be { Ok(()) } else { Err(format!("{got:?} were got, not {without:?} or {with:?}")) }
    }
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}
