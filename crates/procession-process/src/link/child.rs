//! The worker's end of a link, which does what it is told.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use procession_channel::bell::{AT_ONCE, AT_REST, Bell};
use procession_channel::ring::{Consumer, Corrupt, Memory, Producer, Ring};
use procession_shm::family::{self, Invitation, Member};
use procession_shm::sync::atomic::Ordering;
use procession_shm::sync::one_sided::{Fences, enlist};
use procession_shm::transfer::Outgoing;
use procession_shm::{Deadline, Segment, SegmentError, Spin, Wake, page_size};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::aside::{Aside, set_current_call};
use super::beside::{Beside, DESCRIPTORS_MAX, NoHandles};
use super::frame::{HEADER_LEN, Header, Items, Kind};
use super::spare::Spare;
use super::stopwatch::{Stopwatch, ticks};
use super::{
    HELLO, PARTS, RELEASES_PER_ROUND, RESULT_HEAD_LEN, SPENT, gate, offer, parties, result_head,
    spent, time_asked_for, wake_at,
};
use crate::answer::{self, reason};
use crate::function::{Context, Function, Located, Reply, Work};
use crate::stderr::complain;

/// How long a worker that has nothing to do keeps memory for long arguments and results: what is sent one by one comes sooner.
const KEPT_FOR: Duration = Duration::from_millis(100);

/// The most bytes of room for results that an idle worker keeps.
const OUTPUT_KEPT_MAX: usize = 64 << 10;

/// The longest output that is put together with its head before it is written.
const SHORT_OUTPUT: usize = 56;

/// The length of a result whose output has 1 to 8 bytes.
const WORD_RESULT_LEN: usize = RESULT_HEAD_LEN + 8;

/// The worker cannot go on: what it reads makes no sense, which only memory corruption in its own process can bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A position in a ring that cannot be.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A frame that no parent sends.
    #[error(
        "the ring of tasks holds a frame of kind {kind} and {len} bytes, which no parent sends: something in this process has written over it, look for a bug in its C or unsafe code"
    )]
    Frame {
        /// What it says that it is.
        kind: u16,
        /// The length that it says its body has, in bytes.
        len: u64,
    },
}

/// The worker's end of a link: runs the calls that its parent sends until the process is told to die.
#[derive(Debug)]
pub struct ChildLink {
    tasks: Consumer,
    /// Up to where the room of what was read was given back.
    released: u64,
    worker: Worker,
}

/// What runs items, apart from where they are read from: items are read in place from the one ring while their results are
/// written to the other.
#[derive(Debug)]
struct Worker {
    results: Producer,
    beside: Beside,
    contexts: HashMap<u64, Context>,
    output: Vec<u8>,
    /// Memory for the next long argument.
    spare: Spare,
    /// What goes beside the output.
    outgoing: Outgoing,
    /// The function that was called last.
    located: Option<(Function, Located)>,
    /// How many items were started.
    started: u64,
    /// Whose fences count at the gate.
    fences: Fences,
    /// A result was committed since whoever waits for any news was last rung for.
    has_news: bool,
    /// Whether everything up to the next resume frame was taken back.
    revoked: bool,
    /// Tells which calls took so long that the parent wants to know.
    stopwatch: Stopwatch,
    /// The message that is being worked on is all that there is to do: whoever waits for a result waits for its last one.
    is_last: bool,
    /// When the last call ended, in ticks, if nothing was waited for since: the next one has begun then.
    call_since: Option<u64>,
    /// How long it worked in all.
    spent_ns: u64,
    /// How many frames with handles were taken back whose packets are still in the socket.
    left_in_socket: u32,
}

/// The descriptors of an item, or why they cannot be had.
type Seen = Result<Vec<OwnedFd>, NoHandles>;

/// What comes after a frame.
#[derive(PartialEq, Eq)]
enum Served {
    GoOn,
    Quit,
}

impl ChildLink {
    /// Takes over the link whose descriptors the parent made, with rings of `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Foreign`] when they are something else, and those of [`Ring::over`].
    pub fn over(fds: Vec<OwnedFd>, capacity: usize) -> Result<Self, SegmentError> {
        let Ok([down, up, socket]) = <[OwnedFd; 3]>::try_from(fds) else {
            let reason = "a link has three descriptors".to_owned();
            return Err(SegmentError::Foreign { reason });
        };
        let len = page_size() + capacity;
        let (down, up) = (Segment::from_fd(down, len)?, Segment::from_fd(up, len)?);
        let down = Ring::over(&down)?;
        Ok(Self {
            tasks: Consumer::new(down.clone()),
            released: 0,
            worker: Worker {
                results: Producer::new(Ring::over(&up)?),
                beside: Beside::over(socket),
                contexts: HashMap::new(),
                output: Vec::new(),
                spare: Spare::default(),
                outgoing: Outgoing::default(),
                located: None,
                started: 0,
                fences: agreed(&down),
                has_news: false,
                revoked: false,
                stopwatch: Stopwatch::new(),
                is_last: false,
                call_since: None,
                spent_ns: 0,
                left_in_socket: 0,
            },
        })
    }

    /// What this process can say beside its results.
    pub fn aside(&self) -> Aside {
        let (up, down) = (self.worker.results.memory().clone(), self.tasks.memory().clone());
        Aside { up, down }
    }

    /// Says [`HELLO`] and then runs calls until the parent sends a quit frame.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when what is in the rings does not make sense.
    pub fn serve(&mut self) -> Result<(), ServeError> {
        self.worker.send_result(HELLO)?;
        self.worker.rest();
        while self.serve_frame()? == Served::GoOn {
            let is_dry = self.is_dry()?;
            if is_dry {
                self.worker.call_since = None;
            }
            if is_dry || self.is_past_wake_position() {
                self.worker.rest();
            }
        }
        Ok(())
    }

    /// Whether there is nothing left to do.
    fn is_dry(&mut self) -> Result<bool, Corrupt> {
        Ok(self.tasks.available_seen() == 0 && self.tasks.available()? == 0)
    }

    /// Whether the parent should see to more work before this runs out.
    fn is_past_wake_position(&self) -> bool {
        self.tasks.position() >= wake_at(self.tasks.memory()).load(Ordering::Relaxed)
    }

    fn serve_frame(&mut self) -> Result<Served, ServeError> {
        let header = self.read_header()?;
        self.worker.stopwatch.ask(time_asked_for(self.tasks.memory()).load(Ordering::Relaxed));
        // Half of a ring is a multiple of 8, so the padding makes no difference.
        let in_place = header.body_len() <= capacity(&self.tasks) / 2;
        if in_place {
            self.wait_for(header.padded_len())?;
            self.worker.is_last = self.tasks.available_seen() == header.padded_len();
            // SAFETY: by L1 the producer is the parent's link, which follows the protocol of the ring.
            let body = unsafe { self.tasks.view(header.body_len()) };
            let served = self.worker.obey(&header, body)?;
            self.tasks.skip(header.padded_len());
            self.release_much();
            Ok(served)
        } else {
            self.serve_long(&header)
        }
    }

    /// Obeys a frame that is too long to be read in place.
    fn serve_long(&mut self, header: &Header) -> Result<Served, ServeError> {
        if !header.can_be_long() {
            return Err(not_sent(header));
        }
        let mut body = self.worker.spare.take(header.padded_len());
        self.collect(header.padded_len(), &mut body)?;
        // It came in parts, which had to be waited for.
        (self.worker.call_since, self.worker.is_last) = (None, false);
        let served = self.worker.obey(header, &body[..header.body_len()])?;
        drop(self.worker.spare.keep(body));
        Ok(served)
    }

    fn read_header(&mut self) -> Result<Header, Corrupt> {
        self.wait_for(HEADER_LEN)?;
        let mut header = [0; HEADER_LEN];
        // SAFETY: by L1 the producer is the parent's link, which follows the protocol of the ring.
        header.copy_from_slice(unsafe { self.tasks.view(HEADER_LEN) });
        self.tasks.skip(HEADER_LEN);
        Ok(Header::parse(&header))
    }

    /// Gathers `len` bytes that may be more than the ring holds, making room as it goes.
    fn collect(&mut self, len: usize, body: &mut Vec<u8>) -> Result<(), Corrupt> {
        while body.len() < len {
            self.wait_for(1)?;
            // Part by part, so that the parent fills the room of one while the next is copied.
            let part = capacity(&self.tasks) / PARTS;
            let piece = self.tasks.available_seen().min(len - body.len()).min(part);
            self.tasks.read(piece, body);
            self.release();
        }
        Ok(())
    }

    /// Until rung for a task. Memory for long ones is not kept for long.
    fn sleep(&mut self) {
        let keeps = self.worker.keeps_memory();
        let deadline = if keeps { Deadline::after(KEPT_FOR) } else { Deadline::NEVER };
        let bell = self.tasks.memory().reader_bell();
        if procession_shm::wait(&[bell.watch(AT_REST)], &deadline) == Wake::TimedOut {
            self.worker.let_memory_go();
        }
    }

    fn release(&mut self) {
        self.released = self.tasks.position();
        self.tasks.release();
        self.tasks.memory().writer_bell().ring(AT_REST);
    }

    /// Gives room back that is worth the fence: a small part of the ring is always left to the parent.
    fn release_much(&mut self) {
        let held = self.tasks.position() - self.released;
        if held >= (capacity(&self.tasks) / RELEASES_PER_ROUND) as u64 {
            self.release();
        }
    }

    /// Waits until `len` bytes, at most what the ring holds, can be read.
    #[inline]
    fn wait_for(&mut self, len: usize) -> Result<(), Corrupt> {
        if self.tasks.available_seen() >= len { Ok(()) } else { self.look_for(len) }
    }

    fn look_for(&mut self, len: usize) -> Result<(), Corrupt> {
        if self.tasks.available()? >= len {
            return Ok(());
        }
        // Whoever waits for room could otherwise wait for this side, and this side for him.
        if self.released != self.tasks.position() {
            self.release();
        }
        let parties = parties(self.tasks.memory()).load(Ordering::Relaxed);
        let parties = usize::try_from(parties).unwrap_or(usize::MAX);
        let spin = Spin::for_parties(parties);
        let tasks = &mut self.tasks;
        let mut looked = Ok(0);
        spin.until(|| {
            looked = tasks.available();
            // The next frame's lines come with the tail's, and not after it; most that are waited for have one short item.
            tasks.look_ahead();
            looked.is_err() || looked == Ok(len) || looked.is_ok_and(|bytes| bytes > len)
        });
        while looked? < len {
            self.tasks.memory().reader_bell().announce(AT_REST);
            looked = self.tasks.available();
            if looked? < len {
                self.sleep();
                looked = self.tasks.available();
            }
            self.tasks.memory().reader_bell().retract();
        }
        Ok(())
    }
}

/// The parent's offer, if this process can go along with it.
fn agreed(down: &Ring) -> Fences {
    match offer(down).load(Ordering::Relaxed) {
        1 if enlist() => Fences::OneSided,
        _ => Fences::Mutual,
    }
}

fn capacity(tasks: &Consumer) -> usize {
    tasks.memory().capacity()
}

fn not_sent(header: &Header) -> ServeError {
    let (kind, len) = header.claim();
    ServeError::Frame { kind, len }
}

/// Until rung. The parent's death needs no watching: it takes this process along.
fn sleep(bell: Bell<'_>) {
    procession_shm::wait(&[bell.watch(AT_REST)], &Deadline::NEVER);
}

impl Worker {
    fn obey(&mut self, header: &Header, body: &[u8]) -> Result<Served, ServeError> {
        // SAFETY: by L1 the header was written by the parent's link.
        match unsafe { header.kind() } {
            Some(Kind::Call { function, count }) => {
                let items = Items::new(body, count);
                let has_handles = header.has_descriptors();
                self.run_items(function, header.call(), items, has_handles)?;
            }
            Some(Kind::Resume) => {
                self.pass_left();
                gate(self.results.memory(), self.fences).resume();
                self.revoked = false;
            }
            Some(Kind::Context) => {
                let handles = header.has_descriptors().then(|| self.receive("a context"));
                let context = Context { encoded: body.to_vec(), handles, decoded: None };
                self.contexts.insert(header.call(), context);
            }
            Some(Kind::Forget) => {
                self.contexts.remove(&header.call());
            }
            Some(Kind::Quit) => return Ok(Served::Quit),
            Some(Kind::Join) => {
                let handles = header.has_descriptors().then(|| self.receive("an invitation"));
                join(header.call(), handles.unwrap_or_default());
            }
            None => return Err(not_sent(header)),
        }
        Ok(Served::GoOn)
    }

    fn run_items(
        &mut self,
        function: Function,
        call: u64,
        items: Items<'_>,
        has_handles: bool,
    ) -> Result<(), Corrupt> {
        let function = self.locate(function);
        let mut shared = if self.contexts.is_empty() { None } else { self.contexts.remove(&call) };
        let mut none = Context::default();
        let context = shared.as_mut().unwrap_or(&mut none);
        set_current_call(call);
        let count = items.left();
        let mut since = self.time_of_beginning();
        let mut handles = (has_handles && !self.revoked).then(|| self.look_beside());
        for (index, item) in items.enumerate() {
            if self.revoked || !self.start() {
                self.left_in_socket += u32::from(has_handles);
                break;
            }
            let tag = match self.take_seen(handles.take()) {
                Some(Err(why)) => reason(&mut self.output, answer::DECODE, &why.to_string()),
                came => self.run(function, item, context, came.and_then(Result::ok)),
            };
            let tag = self.send_handles(tag);
            if let Some(since) = since.take_if(|_| index + 1 == count) {
                self.tell_time(since, count)?;
            }
            self.send_result(tag)?;
        }
        if let Some(since) = since {
            self.note_time(since); // Taken back in the middle.
        }
        if let Some(shared) = shared {
            self.contexts.insert(call, shared);
        }
        Ok(())
    }

    /// What goes with an item. It stays where it is until the item is begun.
    fn look_beside(&mut self) -> Seen {
        if procession_shm::seeded!("handles-taken-before-gate") {
            return self.beside.receive();
        }
        self.beside.look()
    }

    /// Takes what was only looked at: the item that it belongs to is begun.
    #[inline]
    fn take_seen(&mut self, seen: Option<Seen>) -> Option<Seen> {
        if seen.is_some() && !procession_shm::seeded!("handles-taken-before-gate") {
            self.beside.pass();
        }
        seen
    }

    /// Takes what belongs to frames that were taken back out of the socket. Not before something is to be had that lies behind
    /// it: should this process be about to be killed, what it has not begun can be had from there.
    fn pass_left(&mut self) {
        (0..std::mem::take(&mut self.left_in_socket)).for_each(|_| self.beside.pass());
    }

    /// Descriptors that could not be had are missed by whoever decodes what they belong to.
    fn receive(&mut self, what: &str) -> Vec<OwnedFd> {
        self.pass_left();
        self.beside.receive().unwrap_or_else(|why| {
            complain(format_args!("worker {} got {what}: {why}", std::process::id()));
            Vec::new()
        })
    }

    /// When the call has begun that is about to, in ticks, if the parent wants to know.
    #[inline]
    fn time_of_beginning(&mut self) -> Option<u64> {
        self.stopwatch.is_asked().then(|| self.call_since.take().unwrap_or_else(ticks))
    }

    /// Tells the parent how long a message took, if that is worth it, before the last result of it. One look at the counter for each
    /// message.
    #[inline]
    fn tell_time(&mut self, since: u64, items: usize) -> Result<(), Corrupt> {
        let span = self.note_time(since);
        match self.stopwatch.long(span, items as u64) {
            None => Ok(()),
            Some(nanos) => self.write_result(SPENT, &nanos.to_le_bytes()),
        }
    }

    /// Adds what has passed since then to the time that was spent, and returns it in ticks.
    #[inline]
    fn note_time(&mut self, since: u64) -> u64 {
        let now = ticks();
        self.call_since = Some(now);
        let span = now.saturating_sub(since);
        self.spent_ns = self.spent_ns.wrapping_add(self.stopwatch.nanos(span));
        // Known with the result that comes next, by its E1.
        spent(self.results.memory()).store(self.spent_ns, Ordering::Relaxed);
        span
    }

    #[inline]
    fn locate(&mut self, function: Function) -> Located {
        match self.located {
            Some((known, located)) if known == function => located,
            _ => self.locate_anew(function),
        }
    }

    fn locate_anew(&mut self, function: Function) -> Located {
        let Some(located) = function.locate() else {
            // F2 is broken: the parent is another program. Nothing that this process could answer would be right.
            std::process::abort();
        };
        self.located = Some((function, located));
        located
    }

    /// Tells of the next item at the gate; false if the parent took it back.
    #[inline]
    fn start(&mut self) -> bool {
        if !gate(self.results.memory(), self.fences).begin(self.started) {
            self.revoked = true;
            return false;
        }
        self.started += 1;
        if self.has_news {
            self.has_news = false;
            self.results.memory().reader_bell().ring_after_fence(AT_ONCE); // That of the gate.
        }
        true
    }

    fn run(
        &mut self,
        function: Located,
        input: &[u8],
        context: &mut Context,
        handles: Option<Vec<OwnedFd>>,
    ) -> u8 {
        self.output.clear();
        let reply = Reply { bytes: &mut self.output, handles: Some(&mut self.outgoing) };
        function.run(&mut Work { input, reply, context, handles })
    }

    /// Puts what goes beside the output into the socket, if anything does; the tag of the result.
    fn send_handles(&mut self, tag: u8) -> u8 {
        if self.outgoing.descriptors().len() == 0 {
            return tag;
        }
        let outgoing = std::mem::take(&mut self.outgoing);
        match self.send_beside(&outgoing) {
            Ok(()) => {
                outgoing.commit();
                answer::OK_WITH_HANDLES
            }
            Err(errno) if NoHandles::is_closed(errno) => {
                reason(&mut self.output, answer::ENCODE, &NoHandles::Closed.to_string())
            }
            Err(errno) => {
                let count = outgoing.descriptors().len();
                let why = format!(
                    "its {count} file descriptors (at most {DESCRIPTORS_MAX}) cannot be sent: {errno}"
                );
                reason(&mut self.output, answer::ENCODE, &why)
            }
        }
    }

    #[cold]
    fn send_beside(&mut self, outgoing: &Outgoing) -> Result<(), Errno> {
        let descriptors: Vec<_> = outgoing.descriptors().collect();
        match self.beside.send(&descriptors, SendFlags::DONTWAIT) {
            // The parent has to take what came before.
            Err(Errno::AGAIN) => {
                self.rest();
                self.beside.send(&descriptors, SendFlags::empty())
            }
            sent => sent,
        }
    }

    /// Commits what is in `output` as a result.
    #[inline]
    fn send_result(&mut self, tag: u8) -> Result<(), Corrupt> {
        let len = RESULT_HEAD_LEN + self.output.len().next_multiple_of(8);
        if len == WORD_RESULT_LEN && self.results.room(len)? >= len {
            self.send_word(tag);
        } else if self.output.len() <= SHORT_OUTPUT && self.results.room(len)? >= len {
            let mut whole = [0; RESULT_HEAD_LEN + SHORT_OUTPUT];
            whole[..RESULT_HEAD_LEN].copy_from_slice(&result_head(tag, self.output.len()));
            whole[RESULT_HEAD_LEN..][..self.output.len()].copy_from_slice(&self.output);
            self.results.write(&whole[..len])?;
            self.results.publish();
        } else {
            let output = std::mem::take(&mut self.output);
            let sent = self.write_result(tag, &output);
            self.output = output;
            sent?;
        }
        self.has_news = true;
        Ok(())
    }

    /// Commits an output that fits into a word, for which there must be room. Most do, and copies of a length that is not known
    /// before are calls that cost more than the copy.
    #[inline]
    fn send_word(&mut self, tag: u8) {
        let few = || self.output.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        let word = self.output.first_chunk().map_or_else(few, |whole| u64::from_le_bytes(*whole));
        let head = u64::from_le_bytes(result_head(tag, self.output.len()));
        self.results.write_words([head, word]);
        if self.is_last {
            self.results.show_latest(&[head, word]);
        }
        self.results.publish();
    }

    /// Commits a result of any length.
    fn write_result(&mut self, tag: u8, output: &[u8]) -> Result<(), Corrupt> {
        let head = result_head(tag, output.len());
        let padding = &[0; 8][..output.len().next_multiple_of(8) - output.len()];
        let len = head.len() + output.len() + padding.len();
        if self.results.room(len)? >= len {
            self.results.write(&head)?;
            self.results.write(output)?;
            self.results.write(padding)?;
        } else {
            self.write_by_parts(&head)?;
            self.write_by_parts(output)?;
            self.write_by_parts(padding)?;
        }
        self.results.publish();
        Ok(())
    }

    /// Writes all of `bytes`, publishing what there is and waiting for room when the ring is full.
    #[cold]
    fn write_by_parts(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let part = self.results.memory().capacity() / PARTS;
        for piece in bytes.chunks(part) {
            let mut written = self.results.write(piece)?;
            while written < piece.len() {
                self.show();
                self.wait_for_room()?;
                written += self.results.write(&piece[written..])?;
            }
            if piece.len() == part {
                self.show(); // The parent takes it while the next is written.
            }
        }
        Ok(())
    }

    /// Lets the parent have what was written of a long result.
    fn show(&mut self) {
        self.results.publish();
        self.rest();
    }

    #[cold]
    fn wait_for_room(&mut self) -> Result<(), Corrupt> {
        while self.results.free()? == 0 {
            self.results.memory().writer_bell().announce(AT_REST);
            if self.results.free()? == 0 {
                sleep(self.results.memory().writer_bell());
            }
            self.results.memory().writer_bell().retract();
        }
        Ok(())
    }

    /// Nothing more to do for now: whoever waits for any news is woken.
    fn rest(&self) {
        self.results.memory().reader_bell().ring(AT_REST);
    }
}

impl Worker {
    /// Whether it has memory for long arguments and results that no item is in.
    fn keeps_memory(&self) -> bool {
        self.spare.is_some() || self.output.capacity() > OUTPUT_KEPT_MAX
    }

    /// Gives that memory back.
    fn let_memory_go(&mut self) {
        self.spare.let_go();
        self.output = Vec::new();
    }
}

/// Becomes a member of the parent's family. A worker that cannot is of no use to who invited it.
fn join(member: u64, descriptors: Vec<OwnedFd>) {
    let descriptors: Result<[OwnedFd; 3], _> = descriptors.try_into();
    let (Some(member), Ok(descriptors)) = (Member::from_bits(member), descriptors) else {
        std::process::exit(1);
    };
    if let Err(error) = family::join(Invitation::from_fds(member, descriptors)) {
        complain(format_args!(
            "worker {} cannot share locks with its pool: {error}",
            std::process::id()
        ));
        std::process::exit(1);
    }
}
