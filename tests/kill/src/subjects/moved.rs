//! `procession_process::link`: a worker is killed while it runs an item with a handle that has one owner.
//!
//! The handle goes with the item, and comes back with the result. It is the writing end of a pipe, so that whoever reads the pipe
//! sees whether there is such an end anywhere. After the death each handle is in one place: with the result if there is one, gone
//! if the item was begun, else where the parent takes it back from. The stepping is that of `link`: all of the second item's life,
//! with the look at its packet, the gate, and the packet that is taken.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use procession_process::answer::{ENCODE, OK_WITH_HANDLES};
use procession_process::function::{Function, Task, Work};
use procession_process::link::{Frame, HELLO, Handles, ItemTooLarge};
use procession_shm::transfer::{self, Outgoing, TransferError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::link::{Desk, ITEMS, TAG, WORKER, judge_counts, triple};
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Scene};

const SOON: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("link item with handle", WORKER, MovedScene::build)]
}

/// What a worker does with an item: its handle goes on to the result.
struct Pass;

impl Task<fn(u8) -> u8> for Pass {
    fn run(function: fn(u8) -> u8, work: &mut Work<'_>) -> u8 {
        work.reply.bytes.extend(work.input.iter().map(|item| function(*item)));
        let handles = work.handles.take().unwrap_or_default();
        match (attach(handles), &mut work.reply.handles) {
            (Ok(outgoing), Some(reply)) => **reply = outgoing,
            _ => return ENCODE,
        }
        TAG
    }
}

fn attach(handles: Vec<OwnedFd>) -> Result<Outgoing, TransferError> {
    let handles: Vec<_> = handles.into_iter().map(Arc::new).collect();
    let attach_all = || handles.iter().try_for_each(|fd| transfer::attach("pipe", fd).map(drop));
    let ((), outgoing) = transfer::send_scope(attach_all).map_err(|unsent| unsent.error)?;
    Ok(outgoing)
}

struct MovedScene {
    /// Until it is judged.
    desk: RefCell<Option<Desk>>,
    /// Of each item's pipe.
    readers: Vec<PipeReader>,
}

impl MovedScene {
    fn build() -> io::Result<Box<dyn Scene>> {
        let (mut desk, mut readers) = (Desk::new()?, Vec::new());
        for item in ITEMS {
            let (reader, writer) = io::pipe()?;
            readers.push(reader);
            let frame = call(item, writer.into())?;
            desk.link.send_handles(&frame)?.map_err(io::Error::other)?;
            desk.link.send(&frame, 0).map_err(io::Error::other)?;
        }
        Ok(Box::new(Self { desk: RefCell::new(Some(desk)), readers }))
    }
}

/// A call of one item, which is the only one that has its handle.
fn call(item: u8, handle: OwnedFd) -> io::Result<Frame> {
    let function = Function::unary::<Pass, u8, u8>(triple).map_err(io::Error::other)?;
    let outgoing = attach(vec![handle]).map_err(io::Error::other)?;
    let handles = Handles::take(outgoing).map_err(io::Error::other)?;
    let pushed: Result<_, ItemTooLarge> = Frame::call(function, 1).push(|out| {
        out.push(item);
        Ok(handles)
    });
    let alone = pushed.map_err(io::Error::other)?;
    alone.ok_or_else(|| io::Error::other("an item with a handle is a frame of its own"))
}

/// The handles that have come back with results, all of which must be right.
fn returned(desk: &mut Desk) -> Result<Vec<OwnedFd>, String> {
    if desk.next()? != Some((HELLO, Vec::new())) {
        return Err("no hello".to_owned());
    }
    let mut handles = Vec::new();
    while let Some(result) = desk.next()? {
        let count = handles.len();
        let right = ITEMS.get(count).map(|item| (OK_WITH_HANDLES, vec![item * 3]));
        if Some(&result) != right.as_ref() {
            return Err(format!("result {count} is {result:?}"));
        }
        let came =
            desk.link.receive_handles().map_err(|error| format!("result {count}: {error}"))?;
        handles.extend(only(came.into_known())?);
    }
    Ok(handles)
}

fn only(handles: Vec<OwnedFd>) -> Result<Option<OwnedFd>, String> {
    match <[OwnedFd; 1]>::try_from(handles) {
        Ok([handle]) => Ok(Some(handle)),
        Err(handles) => Err(format!("{} handles and not one", handles.len())),
    }
}

/// The handles of the items that were not begun.
fn taken_back(desk: &mut Desk, started: usize) -> Result<Vec<Option<OwnedFd>>, String> {
    let items = started..ITEMS.len();
    let take = |item: usize| {
        let handles = desk.link.take_back_handles(item as u64);
        only(handles.ok_or_else(|| format!("the handle of item {item} is lost"))?)
    };
    items.map(take).collect()
}

/// Whether `handle`, or nothing, is all that is left to write to the pipe.
fn check(mut reader: &PipeReader, handle: Option<OwnedFd>) -> Result<(), String> {
    let mut written = Vec::new();
    if let Some(handle) = handle {
        written.push(7);
        File::from(handle).write_all(&written).map_err(|error| error.to_string())?;
    }
    if !has_ended(reader).map_err(|error| error.to_string())? {
        return Err("it has an owner more".to_owned());
    }
    let mut read = Vec::new();
    match reader.read_to_end(&mut read) {
        Ok(_) if read == written => Ok(()),
        Ok(_) => Err(format!("{read:?} was read, and not {written:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether nobody has the other end of the pipe any more. What a stranger has sent is closed on a thread of its own, soon.
fn has_ended(reader: &PipeReader) -> io::Result<bool> {
    let mut pipe = [PollFd::new(reader, PollFlags::empty())];
    Ok(retry_on_intr(|| poll(&mut pipe, Some(&SOON)))? > 0)
}

impl Scene for MovedScene {
    fn views(&self) -> Vec<View> {
        self.desk.borrow().as_ref().map(Desk::views).unwrap_or_default()
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, _cue: &Cue) -> Result<String, String> {
        match (role, self.desk.borrow().as_ref()) {
            (Role::Victim, Some(desk)) => desk.serve(),
            _ => Err("nobody else plays".to_owned()),
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let mut desk = self.desk.take().ok_or("it was judged twice")?;
        let (started, returned) = (desk.started(), returned(&mut desk)?);
        judge_counts(ending.place, started, returned.len())?;
        let lost = started - returned.len();
        let taken_back = taken_back(&mut desk, started)?;
        // What is still in its socket is nobody's.
        drop(desk);
        let returned = returned.into_iter().map(Some);
        let handles = returned.chain(std::iter::repeat_with(|| None).take(lost)).chain(taken_back);
        for (item, (reader, handle)) in self.readers.iter().zip(handles).enumerate() {
            check(reader, handle).map_err(|why| format!("the handle of item {item}: {why}"))?;
        }
        Ok(())
    }
}
