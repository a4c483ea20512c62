//! `procession_channel::queue`: up to two who put and two who get, one of whom is killed.
//!
//! After the death the director closes the queue, so that all who wait come to an end. Every number that was put must then have
//! been got exactly once, or have died with the victim, who was about to get it. Where numbers come with a handle, each handle
//! is that of its number, and who has got all of them has no descriptor more than before.

use std::fs::{self, File};
use std::io;

use procession_channel::Fd;
use procession_channel::queue::{Queue, RecvError, SendErrorKind};

use super::handle;
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
        super::each(name, plots, move || QueueScene::build(op, false))
    };
    // An item with handles cannot be claimed.
    let handles = [
        ("queue put with handle", Op::Put, ops[0].2),
        ("queue get with handle", Op::Get, ops[1].2),
    ];
    let with_handle = |(name, op, plots): (&str, Op, &[Plot])| {
        super::each(name, plots, move || QueueScene::build(op, true))
    };
    let with_handles = handles.into_iter().flat_map(with_handle);
    ops.into_iter().flat_map(each).chain(with_handles).collect()
}

/// A number, and perhaps a handle in which it can be read once.
type Item = (u64, Option<Fd<File>>);

struct QueueScene {
    op: Op,
    has_handles: bool,
    queue: Queue<Item>,
    packed: Packed<Queue<Item>>,
    /// Its words and its bytes.
    memories: Vec<Window>,
}

impl QueueScene {
    fn build(op: Op, has_handles: bool) -> io::Result<Box<dyn Scene>> {
        let queue = Queue::builder().capacity(4096).items(2).build().map_err(io::Error::other)?;
        if op != Op::Put {
            for number in EARLY {
                let item = item(number, has_handles)?;
                queue.put(item).map_err(|error| io::Error::other(error.kind))?;
            }
        }
        let packed = Packed::new(&queue)?;
        let memories = packed.descriptors()?;
        let memories = memories.iter().filter_map(|fd| Window::open(fd).transpose());
        let memories = memories.collect::<Result<_, _>>()?;
        Ok(Box::new(Self { op, has_handles, queue, packed, memories }))
    }

    fn victim(&self, queue: &Queue<Item>, cue: &Cue) -> Result<(), String> {
        match self.op {
            Op::Put => {
                let item = item(OF_VICTIM, self.has_handles).map_err(text)?;
                cue.operate(|| queue.put(item))?.map_err(|error| text(error.kind))?;
            }
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

fn item(number: u64, has_handle: bool) -> io::Result<Item> {
    Ok((number, has_handle.then(|| handle::handle(number)).transpose()?))
}

fn put(queue: &Queue<Item>, has_handle: bool) -> Result<String, String> {
    match queue.put(item(OF_OTHERS, has_handle).map_err(text)?) {
        Ok(()) => Ok("put".to_owned()),
        Err(error) if matches!(error.kind, SendErrorKind::Closed) => Ok("closed".to_owned()),
        Err(error) => Err(text(error.kind)),
    }
}

/// All that comes until the queue is closed and empty.
fn drain(queue: &Queue<Item>, has_handles: bool) -> Result<String, String> {
    let before = descriptors()?;
    let mut numbers = Vec::new();
    loop {
        match queue.get() {
            Ok((number, fd)) if fd.is_some() == has_handles => {
                fd.map_or(Ok(()), |fd| handle::check(fd, number))?;
                numbers.push(number.to_string());
            }
            Ok((number, _)) => return Err(format!("{number} came without its handle")),
            Err(RecvError::Closed) => break,
            Err(error) => return Err(text(error)),
        }
    }
    let after = descriptors()?;
    if after == before {
        return Ok(numbers.join(" "));
    }
    Err(format!("{before} descriptors were open before, {after} are afterwards"))
}

/// How many descriptors this process has open.
fn descriptors() -> Result<usize, String> {
    Ok(fs::read_dir("/proc/self/fd").map_err(text)?.count())
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
            Role::Barger => put(&queue, self.has_handles),
            _ => drain(&queue, self.has_handles),
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
