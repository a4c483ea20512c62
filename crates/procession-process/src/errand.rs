//! What a process is sent out to do: a function and its encoded argument, as the payload of a launch.
//!
//! The payload is a header (a postcard record) and behind it the argument. Only [`write`] makes payloads that [`main`] gets,
//! because `main` is named nowhere else.

use std::io;
use std::os::fd::OwnedFd;

use procession_shm::family::{self, Invitation, Member};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::error::SpawnError;
use crate::function::{Context, Function, Reply, Work};
use crate::launcher::Start;
use crate::panics::{self, Printing};
use crate::stderr::complain;
use crate::{lineage, outbox, refusal};

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    function: [u64; 2],
    /// Where the process stands, see `lineage`.
    position: &'a str,
    len_max: u64,
    /// The member of the family that the process shall become, 0 if none: then the next three descriptors after the outbox
    /// are its invitation.
    member: u64,
}

/// A payload that lacks the argument, which is to be appended.
pub(crate) fn write(
    function: Function,
    position: &str,
    len_max: usize,
    member: Option<Member>,
) -> Result<Vec<u8>, SpawnError> {
    let header = Header {
        function: function.to_words(),
        position,
        len_max: len_max as u64,
        member: member.map_or(0, Member::to_bits),
    };
    postcard::to_stdvec(&header)
        .map_err(|error| SpawnError::system("write the errand", io::Error::other(error)))
}

/// The exit code of a process whose function panicked.
pub(crate) const EXIT_PANICKED: i32 = 101;

/// The main function of a process that runs one function. Its exit code is that of a Rust program whose `main` ended alike:
/// 0, 1 for an error, 101 for a panic.
pub(crate) fn main(start: Start) {
    panics::capture(Printing::AsUsual);
    match code(start, Place::Process) {
        0 => {}
        code => std::process::exit(code),
    }
}

/// Runs the errand of a process on this thread; what would be that process's exit code.
pub(crate) fn run_here(start: Start) -> i32 {
    code(start, Place::Thread)
}

fn code(start: Start, place: Place) -> i32 {
    let mut has_begun = false;
    match run(start, place, &mut has_begun) {
        Ok(answer::OK) => 0,
        Ok(answer::PANICKED) => EXIT_PANICKED,
        Ok(_) => 1,
        Err(error) => {
            complain(format_args!("process {} cannot answer: {error}", std::process::id()));
            // Whoever waits is told which of the two it was: the function was not called, or was and has no answer.
            if has_begun { 1 } else { refusal::SYSTEM }
        }
    }
}

/// Where an errand is run.
#[derive(PartialEq, Eq)]
enum Place {
    /// In a process of its own.
    Process,
    /// On a thread of the process that wants it done, which knows its own place.
    Thread,
}

/// Becomes a member of the parent's family, as the holder of locks in shared memory that came with the argument must be.
fn join_family(member: Member, fds: &mut impl Iterator<Item = OwnedFd>) -> io::Result<()> {
    let mut next = || fds.next().ok_or(io::ErrorKind::NotFound);
    let invitation = Invitation::from_fds(member, [next()?, next()?, next()?]);
    family::join(invitation).map(drop).map_err(io::Error::other)
}

/// Runs the function and leaves its answer; the answer's tag.
fn run(start: Start, place: Place, has_begun: &mut bool) -> io::Result<u8> {
    let (header, input) =
        postcard::take_from_bytes::<Header<'_>>(&start.payload).map_err(io::Error::other)?;
    let mut fds = start.fds.into_iter();
    let outbox = fds.next().ok_or(io::ErrorKind::NotFound)?;
    if let Some(member) = Member::from_bits(header.member) {
        join_family(member, &mut fds)?;
    }
    if place == Place::Process {
        lineage::set_position(header.position);
    }
    answer::set_len_max(usize::try_from(header.len_max).unwrap_or(usize::MAX));
    // SAFETY: the words are those of a function, written by `write` in a process that runs the same image.
    let function = unsafe { Function::from_words(header.function) };
    let function = function.locate().ok_or(io::ErrorKind::InvalidData)?;
    let (mut output, mut context) = (Vec::new(), Context::default());
    let handles = Some(fds.collect());
    let reply = Reply { bytes: &mut output, handles: None };
    let work = &mut Work { input, reply, context: &mut context, handles };
    let writing = outbox::begin(&outbox)?;
    *has_begun = true;
    let tag = function.run(work);
    if let Err(error) = writing.leave(tag, &output) {
        let len = output.len();
        let why = format!("there is no memory for its {len} bytes: {error}");
        let tag = answer::reason(&mut output, answer::ENCODE, &why);
        return writing.leave(tag, &output).map(|()| tag);
    }
    if place == Place::Process {
        writing.stay_mapped();
    }
    Ok(tag)
}
