//! `procession_process::outbox`: a process is killed while it leaves its result.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use procession_process::answer::TROUBLE_LEN_MAX;
use procession_process::outbox::{Content, Outbox, begin};
use procession_shm::{Mapping, Segment, page_size};

use super::NOBODY;
use crate::actor::{Cue, Role};
use crate::memory::View;
use crate::scene::{Case, Ending, Place, Plot, Scene};

const TAG: u8 = 2;
/// Longer than a page, and an outbox is read by nobody before its writer has ended.
const ANSWER_LEN: usize = 5000;
const ALONE: Plot = Plot { setting: "alone", ..NOBODY };

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("process leaves its result", ALONE, OutboxScene::build)]
}

struct OutboxScene {
    outbox: RefCell<Option<Outbox>>,
    writer: OwnedFd,
    memory: Mapping,
}

impl OutboxScene {
    fn build() -> io::Result<Box<dyn Scene>> {
        // An outbox is never smaller than the longest explanation.
        let len = (16 + TROUBLE_LEN_MAX).next_multiple_of(page_size());
        let outbox = Outbox::new(len - 16)?;
        let writer = outbox.writer()?;
        // Takes the pages, so that looking at them changes nothing.
        rustix::fs::fallocate(&writer, rustix::fs::FallocateFlags::empty(), 0, len as u64)?;
        let segment = Segment::from_fd(writer.try_clone()?, len).map_err(io::Error::other)?;
        let memory = segment.map().map_err(io::Error::other)?;
        Ok(Box::new(Self { outbox: RefCell::new(Some(outbox)), writer, memory }))
    }
}

fn answer() -> Vec<u8> {
    (0..ANSWER_LEN).map(|at| (at * 7).to_le_bytes()[0]).collect()
}

impl Scene for OutboxScene {
    /// The two words; the bytes are looked at by the judge.
    fn views(&self) -> Vec<View> {
        // SAFETY: the scene keeps the mapping, which is longer than that.
        vec![unsafe { View::new(self.memory.as_ptr(), 16) }]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role != Role::Victim {
            return Err("nobody else plays".to_owned());
        }
        let answer = answer();
        let work = || begin(&self.writer).and_then(|writing| writing.leave(TAG, &answer));
        cue.operate(work)?.map_err(|error| error.to_string())?;
        Ok(String::new())
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let outbox = self.outbox.take().ok_or("it was opened twice")?;
        let content = outbox.open().map_err(|error| error.to_string())?;
        let is_there = content == Content::Answer(TAG, answer());
        let may_be = match ending.place {
            Place::First => content == Content::NotBegun,
            Place::Last => is_there,
            Place::Inside => is_there || matches!(content, Content::NotBegun | Content::Nothing),
        };
        if may_be { Ok(()) } else { Err("a part of the result, or none".to_owned()) }
    }
}
