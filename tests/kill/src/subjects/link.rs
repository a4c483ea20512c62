//! `procession_process::link`: a worker is killed while it runs an item.
//!
//! The first item's function is where the stepping begins and the third's where it ends, so all of the second item's life is
//! stepped through, with the commit of the result before it and the start of the item behind it.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use procession_channel::bell::AT_ONCE;
use procession_channel::ring::{Memory, Ring};
use procession_process::function::{Function, Task, Work};
use procession_process::link::{
    ChildLink, Frame, HELLO, Handles, ItemTooLarge, ParentLink, Received,
};
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::{Deadline, Mapping, Segment, Watch, page_size, wait, wake_all};

use super::{NOBODY, each};
use crate::actor::{Cue, Role};
use crate::marks;
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Place, Plot, Scene};
use crate::tracer;

const CAPACITY: usize = 4096;
const RESULT_LEN_MAX: usize = 256;
pub(super) const TAG: u8 = 3;
pub(super) const ITEMS: [u8; 3] = [1, 2, 3];

pub(super) const WORKER: Plot = Plot { setting: "alone", ..NOBODY };
/// The parent sleeps, and wants to be woken for each result.
const ASLEEP: Plot = Plot { setting: "parent asleep", first: &[Role::Sleeper], ..NOBODY };

pub(super) fn cases() -> Vec<Case> {
    each("link item", &[WORKER, ASLEEP], LinkScene::build)
}

/// A link as the director has it: the parent's end, and what the worker takes over.
pub(super) struct Desk {
    pub(super) link: ParentLink,
    inbox: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    down: Mapping,
    up: Mapping,
}

impl Desk {
    pub(super) fn new() -> io::Result<Self> {
        let (link, fds) = ParentLink::new(CAPACITY, RESULT_LEN_MAX).map_err(io::Error::other)?;
        let map = |fd| segment(fd)?.map().map_err(io::Error::other);
        let (down, up) = (map(&fds[0])?, map(&fds[1])?);
        Ok(Self { link, inbox: Vec::new(), fds, down, up })
    }

    pub(super) fn views(&self) -> Vec<View> {
        // SAFETY: the desk keeps both mappings, which are as long as their segments, and its scene keeps the desk.
        let view =
            |mapping: &Mapping| unsafe { View::new(mapping.as_ptr(), page_size() + CAPACITY) };
        vec![view(&self.down), view(&self.up)]
    }

    /// What the worker does.
    pub(super) fn serve(&self) -> Result<String, String> {
        let fds = self.fds.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>();
        let fds = fds.map_err(|error| error.to_string())?;
        let mut link = ChildLink::over(fds, CAPACITY).map_err(|error| error.to_string())?;
        link.serve().map_err(|error| error.to_string())?;
        Err("the worker was not stopped".to_owned())
    }

    /// The next whole result.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, String> {
        loop {
            let found =
                self.link.whole_result(&self.inbox, 0).map_err(|error| error.to_string())?;
            if let Some(result) = found {
                let body = self.inbox[result.body].to_vec();
                self.inbox.drain(..result.end);
                return Ok(Some((result.tag, body)));
            }
            match self.link.receive(&mut self.inbox).map_err(|error| error.to_string())? {
                Received::Bytes => {}
                Received::Nothing => return Ok(None),
                other => return Err(format!("not a small result: {other:?}")),
            }
        }
    }

    /// How many items the worker has begun.
    pub(super) fn started(&self) -> usize {
        usize::try_from(self.link.started()).unwrap_or(usize::MAX)
    }
}

struct LinkScene {
    desk: RefCell<Desk>,
    up_segment: Segment,
    deaths: ForkShared<AtomicU32>,
}

struct Tripled;

impl Task<fn(u8) -> u8> for Tripled {
    fn run(function: fn(u8) -> u8, work: &mut Work<'_>) -> u8 {
        work.reply.bytes.extend(work.input.iter().map(|item| function(*item)));
        TAG
    }
}

/// The first begins what is stepped through, and the third ends it.
pub(super) fn triple(item: u8) -> u8 {
    match item {
        1 if tracer::trace_me().is_ok() => marks::enter(),
        3 => marks::leave(),
        _ => {}
    }
    item * 3
}

fn call() -> io::Result<Frame> {
    let function = Function::unary::<Tripled, u8, u8>(triple).map_err(io::Error::other)?;
    let mut frame = Frame::call(function, 1);
    for item in ITEMS {
        let push = |out: &mut Vec<u8>| {
            out.push(item);
            Ok::<_, ItemTooLarge>(Handles::default())
        };
        frame.push(push).map_err(io::Error::other)?;
    }
    Ok(frame.sealed())
}

fn segment(fd: &OwnedFd) -> io::Result<Segment> {
    Segment::from_fd(fd.try_clone()?, page_size() + CAPACITY).map_err(io::Error::other)
}

impl LinkScene {
    fn build() -> io::Result<Box<dyn Scene>> {
        let mut desk = Desk::new()?;
        desk.link.send(&call()?, 0).map_err(io::Error::other)?;
        Ok(Box::new(Self {
            up_segment: segment(&desk.fds[1])?,
            desk: RefCell::new(desk),
            deaths: ForkShared::new(AtomicU32::new(0))?,
        }))
    }

    /// Sleeps as a parent does, and says at the end how many bytes of results there are.
    fn sleep(&self) -> Result<String, String> {
        let ring = Ring::over(&self.up_segment).map_err(|error| error.to_string())?;
        let results = || ring.tail().load(Ordering::SeqCst);
        while self.deaths.load(Ordering::SeqCst) == 0 {
            let seen = results();
            ring.reader_bell().announce(AT_ONCE);
            if results() == seen && self.deaths.load(Ordering::SeqCst) == 0 {
                let words = [ring.reader_bell().watch(AT_ONCE), Watch::shared(&self.deaths, 0)];
                wait(&words, &Deadline::NEVER);
            }
            ring.reader_bell().retract();
        }
        Ok(results().to_string())
    }

    /// How many items have a result, all of which must be right.
    fn results(&self) -> Result<usize, String> {
        let mut desk = self.desk.borrow_mut();
        if desk.next()? != Some((HELLO, Vec::new())) {
            return Err("no hello".to_owned());
        }
        let mut count = 0;
        while let Some(result) = desk.next()? {
            let right = ITEMS.get(count).map(|item| (TAG, vec![item * 3]));
            if Some(&result) != right.as_ref() {
                return Err(format!("result {count} is {result:?}"));
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Scene for LinkScene {
    fn views(&self) -> Vec<View> {
        self.desk.borrow().views()
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, _cue: &Cue) -> Result<String, String> {
        if role == Role::Victim { self.desk.borrow().serve() } else { self.sleep() }
    }

    fn after_death(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
        wake_all(&self.deaths, false);
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let results = self.results()?;
        judge_counts(ending.place, self.desk.borrow().started(), results)
    }
}

/// Whether so many items may have been begun and have results.
pub(super) fn judge_counts(place: Place, started: usize, results: usize) -> Result<(), String> {
    let may_be = match place {
        Place::First => (started, results) == (1, 0),
        Place::Last => (started, results) == (3, 2),
        // At most one item was begun and has no result: that is what a death may cost.
        Place::Inside => {
            (started == results || started == results + 1) && (1..=3).contains(&started)
        }
    };
    if may_be { Ok(()) } else { Err(format!("{started} started, {results} results")) }
}
