//! The parent's end of a link, which believes nothing that it reads.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use procession_channel::bell::{AT_REST, Bell};
use procession_channel::ring::{Consumer, Corrupt, LATEST_WORDS_MAX, Memory, Producer, Ring};
use procession_shm::sync::atomic::Ordering;
use procession_shm::sync::one_sided::Fences;
use procession_shm::transfer::{NoRoom, Strangers};
use procession_shm::{SegmentError, Watch};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::beside::{Beside, NoHandles, Salvage};
use super::frame::Frame;
use super::spare::{Spare, fits};
use super::{
    PARTS, RELEASES_PER_ROUND, RESULT_HEAD_LEN, aside, gate, offer, parse_result_head, parties,
    spent, time_asked_for, wake_at,
};

/// From how many bytes on a result is received into memory of its own.
const LONG: usize = 16 << 10;

/// How many bytes of short results are received at once: what is decoded soon after is in the cache then.
const PART: usize = 64 << 10;

/// The worker broke the rules of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A position in a ring that cannot be.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A result that is longer than the parent allows.
    #[error("the worker announced a result of {len} bytes, over the limit of {limit} bytes")]
    TooLarge {
        /// The announced length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It does not take the descriptors that it is sent, or sends none with a result that has some.
    #[error("the worker does not keep to the rules of the socket for descriptors")]
    Descriptors,
    /// Too much of what it has sent is not closed.
    #[error(transparent)]
    NoRoom(NoRoom),
}

/// What [`ParentLink::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing that was not there before.
    Nothing,
    /// More of a long result that is not complete yet.
    Part,
    /// Bytes of results, now at the end of the inbox: [`ParentLink::whole_result`] finds the results in it.
    Bytes,
    /// A long result with its tag.
    Long(u8, Vec<u8>),
}

/// A whole result in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What it is.
    pub tag: u8,
    /// Where its bytes are.
    pub body: Range<usize>,
    /// Where the next one begins.
    pub end: usize,
}

/// The parent's end of a link: sends frames, receives results.
#[derive(Debug)]
pub struct ParentLink {
    tasks: Producer,
    results: Consumer,
    /// Up to where the room of what was received was given back.
    released: u64,
    beside: Beside,
    /// What the worker leaves of what went beside frames.
    salvage: Salvage,
    /// The long result that is being received.
    open: Option<Long>,
    /// Memory for the next one, and how long the last one was.
    spare: Spare,
    long_len: usize,
    /// Whose fences count at the gate, as far as this side has a say.
    fences: Fences,
    /// A fence was refused that had been granted before.
    is_unfenced: bool,
    result_len_max: usize,
    watcher: Arc<Watcher>,
}

/// A link's words, to look at and to sleep on without the link itself.
#[derive(Debug, Clone)]
pub struct Watcher {
    up: Ring,
    down: Ring,
}

impl Watcher {
    /// Whether more than the first `received` bytes of results have come: one look at one word.
    #[inline]
    pub fn has_results_beyond(&self, received: u64) -> bool {
        self.up.tail().load(Ordering::Acquire) != received
    }

    /// The word of [`ParentLink::bell`], which has the value `seen`.
    pub fn watch(&self, seen: u32) -> Watch<'_> {
        self.up.reader_bell().watch(seen)
    }

    /// The word of [`ParentLink::room_bell`], which has the value `seen`.
    pub fn watch_room(&self, seen: u32) -> Watch<'_> {
        self.down.writer_bell().watch(seen)
    }
}

/// A result that is received into memory of its own, so that whoever gets it need not copy it once more.
#[derive(Debug)]
struct Long {
    tag: u8,
    body: Vec<u8>,
    bytes_left: usize,
    padding: usize,
}

impl ParentLink {
    /// Makes a link with rings of `capacity` bytes each, and the descriptors that the worker's
    /// [`ChildLink::over`](super::ChildLink::over) takes. A result may have up to `result_len_max` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Ring::new`].
    pub fn new(
        capacity: usize,
        result_len_max: usize,
    ) -> Result<(Self, Vec<OwnedFd>), SegmentError> {
        let (down, down_segment) = Ring::new(capacity)?;
        let (up, up_segment) = Ring::new(capacity)?;
        let fences = Fences::offer();
        offer(&down).store(u64::from(fences == Fences::OneSided), Ordering::Relaxed);
        let (beside, socket) = Beside::pair().map_err(no_socket)?;
        let salvage = Salvage::of(&socket).map_err(no_socket)?;
        let watcher = Arc::new(Watcher { up: up.clone(), down: down.clone() });
        let this = Self {
            tasks: Producer::new(down),
            results: Consumer::new(up),
            released: 0,
            beside,
            salvage,
            open: None,
            spare: Spare::default(),
            long_len: 0,
            fences,
            is_unfenced: false,
            result_len_max,
            watcher,
        };
        Ok((this, vec![down_segment.into_fd(), up_segment.into_fd(), socket]))
    }

    /// Sends what goes beside `frame`, which must be the next frame sent that has handles. Never blocks.
    ///
    /// # Errors
    ///
    /// An error of the system (outer): too many descriptors are on their way in this user's sockets. Nothing was sent, and
    /// the frame must not be. [`LinkError::Descriptors`] (inner): the worker does not take what it was sent before.
    pub fn send_handles(&mut self, frame: &Frame) -> io::Result<Result<(), LinkError>> {
        match self.beside.send(&frame.handles().descriptors(), SendFlags::DONTWAIT) {
            // A worker that has died needs none, and the notice of its death is on its way.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(Ok(())),
            Err(Errno::AGAIN) => Ok(Err(LinkError::Descriptors)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// How often handles were sent: the number of the next ones that are.
    pub fn handles_sent(&self) -> u64 {
        self.beside.sent()
    }

    /// Takes back the descriptors that were sent as the handles with this number. To be called when the worker is dead.
    ///
    /// They are there if the worker has not begun the item that they belong to. `None` if it has, or if this process has no
    /// room for them. Those that were sent before them are lost then.
    pub fn take_back_handles(&mut self, number: u64) -> Option<Vec<OwnedFd>> {
        self.salvage.take(number)
    }

    /// The descriptors that came beside the next result that has handles. Never blocks.
    ///
    /// # Errors
    ///
    /// [`NoHandles`].
    pub fn receive_handles(&mut self) -> Result<Strangers, NoHandles> {
        self.beside.receive_strangers()
    }

    /// Sends as much of `frame`, from byte `from` on, as there is room for; returns how much that was. Never blocks.
    ///
    /// The next send must go on with the same frame where this one ended. A worker that sleeps is not woken before
    /// [`ring`](Self::ring).
    ///
    /// # Errors
    ///
    /// [`LinkError::Corrupt`].
    #[inline]
    pub fn send(&mut self, frame: &Frame, from: usize) -> Result<usize, LinkError> {
        let (mut sent, mut passed) = (0, from);
        for piece in frame.pieces() {
            let rest = piece.get(passed..).unwrap_or_default();
            passed = passed.saturating_sub(piece.len());
            let written = self.tasks.write(rest)?;
            sent += written;
            if written < rest.len() {
                break;
            }
        }
        if sent > 0 {
            self.tasks.publish();
        }
        Ok(sent)
    }

    /// Wakes the worker if it sleeps. To be called after what was sent, once for all of it.
    #[inline]
    pub fn ring(&self) {
        self.tasks.memory().reader_bell().ring(AT_REST);
    }

    /// Takes what has come: a long result, or what there is of short ones, up to 64 KiB at a time, appended to `inbox`. Never blocks.
    ///
    /// The inbox must be what earlier calls made of it, but for whole results taken from its front.
    ///
    /// # Errors
    ///
    /// [`LinkError::Corrupt`], [`LinkError::TooLarge`].
    #[inline]
    pub fn receive(&mut self, inbox: &mut Vec<u8>) -> Result<Received, LinkError> {
        if let Some(long) = self.open.take() {
            return self.go_on(long);
        }
        if let Some(long) = self.long_begun_in(inbox)? {
            return self.go_on(long);
        }
        let available = self.results.available()?;
        if inbox.is_empty() && available >= RESULT_HEAD_LEN {
            if let Some(latest) = self.latest(available) {
                let words = latest.iter().take(available / 8);
                words.for_each(|word| inbox.extend_from_slice(&word.to_le_bytes()));
                self.results.skip(available);
                return Ok(Received::Bytes);
            }
            // Only a hint which way to go: unless it is long, the head is fetched again with what follows it, and checked then.
            let (tag, len) = parse_result_head(self.results.peek_array());
            if len >= LONG {
                self.check(len)?;
                self.results.skip(RESULT_HEAD_LEN);
                let long = self.long(tag, len, &[]);
                return self.go_on(long);
            }
        }
        let rest = self.results.available_seen().min(PART);
        self.results.read(rest, inbox);
        Ok(if available == 0 { Received::Nothing } else { Received::Bytes })
    }

    /// A long result whose beginning came behind a short one, and which the rest is better not appended to: that would move it
    /// each time the inbox has to grow, and once more to have it in memory of its own.
    fn long_begun_in(&mut self, inbox: &mut Vec<u8>) -> Result<Option<Long>, LinkError> {
        let Some((head, begun)) = inbox.split_first_chunk() else { return Ok(None) };
        let (tag, len) = parse_result_head(*head);
        if len < LONG || begun.len() >= len {
            return Ok(None);
        }
        self.check(len)?;
        let long = self.long(tag, len, begun);
        inbox.clear();
        Ok(Some(long))
    }

    /// A long result that begins with these bytes.
    fn long(&mut self, tag: u8, len: usize, begun: &[u8]) -> Long {
        self.long_len = len;
        let mut body = self.spare.take(len);
        body.extend_from_slice(begun);
        let padding = len.next_multiple_of(8) - len;
        Long { tag, bytes_left: len - begun.len(), body, padding }
    }

    /// Keeps memory that is not needed any more for the next long result, or gives it back if it is of no use for one like the last.
    pub fn keep(&mut self, memory: Vec<u8>) -> Option<Vec<u8>> {
        let is_of_use = self.long_len > 0 && fits(&memory, self.long_len);
        if is_of_use { self.spare.keep(memory) } else { Some(memory) }
    }

    /// Gives what was kept back to the allocator.
    pub fn let_memory_go(&mut self) {
        self.spare.let_go();
    }

    /// The result beside the tail, if that is all that there is: then its line in the ring need not come over, too. It is a copy, to
    /// be checked like any other.
    #[inline]
    fn latest(&self, available: usize) -> Option<[u64; LATEST_WORDS_MAX]> {
        let mut latest = [0; LATEST_WORDS_MAX];
        let is_all = self.results.latest(&mut latest);
        let (_tag, len) = parse_result_head(latest[0].to_le_bytes());
        (is_all && RESULT_HEAD_LEN + len.next_multiple_of(8) == available).then_some(latest)
    }

    /// The result that begins at `at` in the inbox, if it is whole.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`].
    #[inline]
    pub fn whole_result(&self, inbox: &[u8], at: usize) -> Result<Option<Whole>, LinkError> {
        if inbox.len() - at < RESULT_HEAD_LEN {
            return Ok(None);
        }
        let (tag, len) = self.head(inbox, at)?;
        let start = at + RESULT_HEAD_LEN;
        let end = start + len.next_multiple_of(8);
        Ok((end <= inbox.len()).then(|| Whole { tag, body: start..start + len, end }))
    }

    #[inline]
    fn head(&self, inbox: &[u8], at: usize) -> Result<(u8, usize), LinkError> {
        let mut head = [0; RESULT_HEAD_LEN];
        head.copy_from_slice(&inbox[at..at + RESULT_HEAD_LEN]);
        let (tag, len) = parse_result_head(head);
        self.check(len)?;
        Ok((tag, len))
    }

    #[inline]
    fn check(&self, len: usize) -> Result<(), LinkError> {
        let limit = self.result_len_max;
        if len <= limit { Ok(()) } else { Err(LinkError::TooLarge { len, limit }) }
    }

    fn go_on(&mut self, mut long: Long) -> Result<Received, LinkError> {
        let available = self.results.available()?;
        let taken = available.min(long.bytes_left);
        self.take(taken, &mut long.body);
        long.bytes_left -= taken;
        if long.bytes_left == 0 && available - taken >= long.padding {
            self.results.skip(long.padding);
            return Ok(Received::Long(long.tag, long.body));
        }
        self.open = Some(long);
        Ok(if taken == 0 { Received::Nothing } else { Received::Part })
    }

    /// Takes what is there, part by part: its sender waits for the room.
    fn take(&mut self, len: usize, body: &mut Vec<u8>) {
        let part = self.results.memory().capacity() / PARTS;
        let mut left = len;
        while left > 0 {
            let taken = left.min(part);
            self.results.read(taken, body);
            self.release();
            left -= taken;
        }
    }

    /// Gives the room of what was received back to the worker, and wakes it if it waits for room.
    #[inline]
    pub fn release(&mut self) {
        self.released = self.results.position();
        self.results.release();
        self.results.memory().writer_bell().ring(AT_REST);
    }

    /// As [`release`](Self::release), but only if the room is an eighth of the ring, and so worth the fence. Enough for a worker whose
    /// results are all received before anybody sleeps: it waits for room when there is none, and so when this side has that much to
    /// receive.
    #[inline]
    pub fn release_much(&mut self) {
        let held = self.results.position() - self.released;
        if held >= (self.results.memory().capacity() / RELEASES_PER_ROUND) as u64 {
            self.release();
        }
    }

    /// How many items the worker has begun, by its own account. It may lie; the caller knows what it can be.
    pub fn started(&self) -> u64 {
        gate(self.results.memory(), self.fences).started()
    }

    /// Takes back all items that were sent and not started, and returns how many were started in all. `None` if the kernel refuses
    /// the fence that it has granted before: nothing was taken back then, and never will be.
    ///
    /// The next frame to send is [`Frame::resume`]. A frame that was sent in part must be sent to its end before; whole ones that were not
    /// sent yet may go before it as well.
    pub fn revoke(&mut self) -> Option<u64> {
        let started = gate(self.results.memory(), self.fences).revoke();
        self.is_unfenced |= started.is_none();
        started
    }

    /// Lets the worker begin nothing more. It is about to be ended.
    pub fn close(&mut self) {
        // What it has begun is asked for when it is dead.
        let _ = gate(self.results.memory(), self.fences).close();
    }

    /// Whether items can be taken back: the last [`revoke`](Self::revoke) was answered, and none was refused.
    pub fn can_be_revoked(&self) -> bool {
        !self.is_revoked() && !self.is_unfenced
    }

    /// Whose [rare](Fences::rare) fence belongs between [`announce`](Self::announce), for each piece of news, and the look for them:
    /// the worker's part of E3. The greatest of several workers will do for all, once. Where the kernel refuses it nobody may sleep
    /// without bound.
    pub fn fences(&self) -> Fences {
        self.fences
    }

    /// Whether the last [`revoke`](Self::revoke) is still to be answered: until then another would be lost.
    pub fn is_revoked(&self) -> bool {
        gate(self.results.memory(), self.fences).is_revoked()
    }

    /// Tells the worker how many processes want a core, itself and this one included.
    #[inline]
    pub fn set_parties(&self, count: usize) {
        let (count, parties) = (count as u64, parties(self.tasks.memory()));
        // The worker reads this word's cache line all the time; it is not taken away from it for nothing.
        if parties.load(Ordering::Relaxed) != count {
            parties.store(count, Ordering::Relaxed);
        }
    }

    /// Asks the worker for the time of calls of which an item takes at least `nanos`; by default, and with 0, for none.
    #[inline]
    pub fn ask_for_time(&self, nanos: u64) {
        let asked = time_asked_for(self.tasks.memory());
        // As above.
        if asked.load(Ordering::Relaxed) != nanos {
            asked.store(nanos, Ordering::Relaxed);
        }
    }

    /// How long the worker has worked on items in all, by its own account, which never counts what it waited for. It may lie.
    #[inline]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(spent(self.results.memory()).load(Ordering::Relaxed))
    }

    /// Tells the worker how much to say [beside its results](super::Aside).
    #[inline]
    pub fn set_verbosity(&self, verbosity: u64) {
        let word = aside::verbosity(self.tasks.memory());
        // As above.
        if word.load(Ordering::Relaxed) != verbosity {
            word.store(verbosity, Ordering::Relaxed);
        }
    }

    /// How many packets the worker has sent beside its results, by its own account.
    #[inline]
    pub fn said(&self) -> u64 {
        aside::said(self.results.memory()).load(Ordering::Acquire)
    }

    /// Says that the parent is about to sleep on the [`bell`](Self::bell), what it wants to be woken for, and how many of the
    /// bytes that were ever sent the worker shall have dealt with before it wakes the parent for the sake of more work.
    #[inline]
    pub fn announce(&self, wanted: u32, position: u64) {
        wake_at(self.tasks.memory()).store(position, Ordering::Relaxed);
        self.bell().announce(wanted);
    }

    /// The bell on which the parent sleeps.
    #[inline]
    pub fn bell(&self) -> Bell<'_> {
        self.results.memory().reader_bell()
    }

    /// What can be looked at and slept on while somebody else has the link.
    pub fn watcher(&self) -> Arc<Watcher> {
        Arc::clone(&self.watcher)
    }

    /// How many bytes of frames were ever sent.
    #[inline]
    pub fn sent(&self) -> u64 {
        self.tasks.position()
    }

    /// How many bytes of results were ever received.
    pub fn received(&self) -> u64 {
        self.results.position()
    }

    /// The bell on which the parent sleeps when it has more to send than there is room for.
    #[inline]
    pub fn room_bell(&self) -> Bell<'_> {
        self.tasks.memory().writer_bell()
    }

    /// Whether a result, or more of one, may have come: one look at one word.
    #[inline]
    pub fn has_results(&self) -> bool {
        let tail = self.results.memory().tail().load(Ordering::Acquire);
        tail != self.results.position()
    }

    /// Whether the worker has made room for more to be sent.
    ///
    /// # Errors
    ///
    /// [`LinkError::Corrupt`].
    pub fn has_room(&mut self) -> Result<bool, LinkError> {
        Ok(self.tasks.free()? > 0)
    }
}

fn no_socket(errno: Errno) -> SegmentError {
    match errno {
        Errno::MFILE | Errno::NFILE => SegmentError::OutOfDescriptors,
        other => SegmentError::System { operation: "socketpair", reason: other.to_string() },
    }
}
