//! `procession_channel::queue`: up to two who put and two who get, one of whom is killed.
//!
//! After the death the director closes the queue, so that all who wait come to an end. Every number that was put must then have
//! been got exactly once, or have died with the victim, who was about to get it. Where numbers come with a handle, each handle
//! is that of its number, and who has got all of them has no descriptor more than before. Who joins is told exactly of what the
//! dead had got.
//!
//! An heir does what the victim did, on what that has left; where that was done with a claim, it gets.

use std::fs::{self, File};
use std::io;

use procession_channel::Fd;
use procession_channel::queue::{JoinError, Queue, RecvError, SendErrorKind};

use super::handle;
use super::packed::Packed;
use super::{ALONE, BARGER, NOBODY, SLEEPER};
use crate::actor::{Cue, Role};
use crate::memory::{View, Window};
use crate::scene::{Case, Ending, Place, Plot, Scene};

/// What is in the queue before.
const EARLY: [u64; 2] = [0, 1];
/// What a victim puts, what a barger, and what an heir.
const OF_VICTIM: u64 = 2;
const OF_OTHERS: u64 = 3;
const OF_HEIR: u64 = 4;
/// What is said of an item that somebody dead had got.
const OWED: &str = "owed";

/// Two get and two put, one of whom is the victim.
const TWO_AND_TWO: Plot = Plot {
    setting: "two and two",
    then: &[Role::Sleeper, Role::Sleeper],
    at_point: &[Role::Barger],
    ..NOBODY
};
/// Somebody has no room to put anything until the victim has got something.
const WRITER: Plot = Plot { setting: "full, sleeper", then: &[Role::Barger], ..ALONE };

/// A queue's operations are long, and have many states: all pairs of them take minutes. What is put and got has a handle then: that
/// is all that is done without one, and more.
const HEIR: Plot = Plot { sample: Some((1, 1)), ..super::HEIR };

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
        ("queue claim", Op::Claim, &[ALONE, WRITER, HEIR]),
        ("queue done", Op::Done, &[ALONE, WRITER, HEIR]),
    ];
    let each = |(name, op, plots): (&str, Op, &[Plot])| {
        super::each(name, plots, move || QueueScene::build(op, false))
    };
    // An item with handles cannot be claimed.
    let handles: [(&str, Op, &[Plot]); 2] = [
        ("queue put with handle", Op::Put, &[ALONE, SLEEPER, BARGER, TWO_AND_TWO, HEIR]),
        ("queue get with handle", Op::Get, &[ALONE, WRITER, HEIR]),
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

    /// Does `op` and is killed in it; `number` is what it puts.
    fn act(&self, op: Op, number: u64, queue: &Queue<Item>, cue: &Cue) -> Result<(), String> {
        match op {
            Op::Put => {
                let item = item(number, self.has_handles).map_err(text)?;
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
                queue.task_done().map_err(text)?;
                numbers.push(number.to_string());
            }
            Ok((number, _)) => return Err(format!("{number} came without its handle")),
            Err(RecvError::Closed) => break,
            Err(error) => return Err(text(error)),
        }
    }
    numbers.extend(owed(queue)?);
    let after = descriptors()?;
    if after == before {
        return Ok(numbers.join(" "));
    }
    Err(format!("{before} descriptors were open before, {after} are afterwards"))
}

/// What is told of items that the dead had got, one word for each item. All others are done then.
fn owed(queue: &Queue<Item>) -> Result<Vec<String>, String> {
    let mut owed = Vec::new();
    loop {
        match queue.join() {
            Ok(()) => return Ok(owed),
            Err(JoinError::OwnerDied { items, .. }) => {
                owed.extend(std::iter::repeat_n(OWED.to_owned(), items as usize));
            }
            Err(error) => return Err(text(error)),
        }
    }
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
            Role::Victim => self.act(self.op, OF_VICTIM, &queue, cue).map(|()| String::new()),
            Role::Barger => put(&queue, self.has_handles),
            _ => drain(&queue, self.has_handles),
        }
    }

    fn inherit(&self, cue: &Cue) -> Result<String, String> {
        let op = if self.op == Op::Done { Op::Get } else { self.op };
        self.act(op, OF_HEIR, &self.packed.unpack()?, cue).map(|()| String::new())
    }

    fn after_death(&self) {
        self.queue.close();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let mut end = End::default();
        for report in ending.said(Role::Sleeper).chain(ending.said(Role::Survivor)) {
            end.owed += report.split_whitespace().filter(|word| *word == OWED).count();
            end.got.extend(report.split_whitespace().filter_map(|word| word.parse::<u64>().ok()));
        }
        end.got.sort_unstable();
        let put = ending.said(Role::Barger).filter(|said| *said == "put").count();
        let promised = self.promised(ending, put);
        if promised.contains(&end) {
            return Ok(());
        }
        Err(format!("{end:?}, and not one of {promised:?}"))
    }
}

/// How it came out for the living.
#[derive(Debug, Default, PartialEq, Eq)]
struct End {
    got: Vec<u64>,
    /// How many items they were told of that somebody dead had got.
    owed: usize,
}

impl QueueScene {
    /// How it may come out: for each of those who died, with and without what it did, where that is open.
    fn promised(&self, ending: &Ending, put_by_others: usize) -> Vec<End> {
        let mut all = Vec::new();
        for is_victim_done in may_be_done(Some(ending.place)) {
            for is_heir_done in may_be_done(ending.heir_place) {
                let mut end = self.left(*is_victim_done, *is_heir_done);
                end.got.extend(std::iter::repeat_n(OF_OTHERS, put_by_others));
                end.got.sort_unstable();
                all.push(end);
            }
        }
        all
    }

    /// What the dead leave.
    fn left(&self, is_victim_done: bool, is_heir_done: bool) -> End {
        let done = [is_victim_done, is_heir_done];
        let count = done.iter().filter(|done| **done).count();
        match self.op {
            Op::Put => {
                let put = [OF_VICTIM, OF_HEIR].into_iter().zip(done);
                let put = put.filter_map(|(number, is_done)| is_done.then_some(number));
                End { got: put.collect(), owed: 0 }
            }
            // One is gone for each who has got one.
            Op::Get => End { got: EARLY.into_iter().skip(count).collect(), owed: count },
            // The heir gets, and has not said that it is done.
            Op::Done => {
                let got = EARLY.into_iter().skip(count).collect();
                End { got, owed: usize::from(is_heir_done) }
            }
            // What was claimed and not done is offered again.
            Op::Claim => End { got: EARLY.to_vec(), owed: 0 },
        }
    }
}

/// Whether somebody who was killed there had done what it was to do, if anybody was.
fn may_be_done(place: Option<Place>) -> &'static [bool] {
    match place {
        None | Some(Place::First) => &[false],
        Some(Place::Last) => &[true],
        Some(Place::Inside) => &[false, true],
    }
}
