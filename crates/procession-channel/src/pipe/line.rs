//! What an end needs of its peer: to wait for it, to wake it, and to know whether it is there.
//!
//! # How a sleeper notices a death
//!
//! Who holds an end is the kernel's truth: the socket beside the ring hangs up when the last holder of the other side is gone,
//! be it a process or a message. A sleeper sleeps on its bell, a word in the ring, and the [`lookout`](super::lookout) of its
//! process rings that when the socket hangs up. An end that is dropped in order says so in the ring and rings itself.
//!
//! The second line is the *check-up*: after 100 ms, then 1 s, then every 10 s a sleeper asks the socket itself and looks again.
//! It is for a hostile holder of the memory who silences the bell, for a dead sender whose socket a forked process still has
//! (what it sent before is found), and, every 50 ms, for a process that has no thread or descriptor left for a lookout.
//!
//! Rejected: to sleep in `poll` on the socket, with a byte through it as the bell. It would need no lookout, but a wake-up would
//! be two system calls dearer on each side than a futex, at every message that finds its receiver asleep; and packets that wait
//! in the socket would keep it readable. Also rejected: to sleep on the lookout's word as well. It would close the gap that the
//! check-up covers, and make each sleep dearer for everybody.
//!
//! # Layout
//!
//! Words of the pipe in the head page of the ring, beside the ring's own.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | hint 0 | writer | its process id, for [`RecvError::Died`](super::RecvError::Died); believed by nobody else |
//! | word 0 | reader | 1: it was closed in order |
//! | word 1 | writer | 1: it was closed in order |
//!
//! # Ordering
//!
//! * **E5** A side closes: its last publish, then the store of its word, then the fence of its ring. The other sees the word,
//!   then looks once more for news. So nothing sent before a close is missed. The hang-up of a socket is a system call, and
//!   orders the same.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use procession_shm::sync::atomic::{AtomicU64, Ordering};
use procession_shm::transfer::{self, Closer};
use procession_shm::{Deadline, SegmentError, Spin, Wake, Watch, family, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Violation;
use super::frame::HEADER_LEN;
use super::lookout::Posted;
use super::pace::Pace;
use crate::bell::{AT_REST, Bell};
use crate::ring::{Memory, Ring};

/// How long a sleeper sleeps before it looks again, if it has no lookout that would wake it, or lost a [fence](super::pace).
const SLICE: Duration = Duration::from_millis(50);

/// So many wake-ups in a row without a reason are no accident. One or two are: a ring may come late.
const IDLE_WAKES_MAX: u32 = 64;

const CLOSED: u64 = 1;

/// Which side of the ring this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Reader,
    Writer,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Deadline),
}

/// What a look for news found.
#[derive(Debug)]
pub(super) enum News<T> {
    Nothing,
    /// Something, but not what is waited for.
    Some,
    Done(T),
}

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Waited<T> {
    Done(T),
    TimedOut,
    HungUp,
}

/// One side of a pipe, apart from what it writes or reads.
#[derive(Debug)]
pub(super) struct Line {
    ring: Ring,
    memory: Arc<OwnedFd>,
    /// `None` only while it is dropped.
    socket: Option<Arc<OwnedFd>>,
    side: Side,
    /// Whether the other side keeps the rules of the ring, by the word of who made the pipe.
    is_trusting: bool,
    /// Closes what the other side has sent and nobody wants, if it is not trusted.
    closer: Option<Closer>,
    /// The process that it belongs to. A fork of it has the socket, but not the ring.
    generation: u64,
    /// Its place with the lookout, from its first sleep on.
    posted: OnceCell<Posted>,
    /// How often in a row it was woken while it waited with others, for nothing.
    idle_wakes: Cell<u32>,
    pace: Pace,
    /// While it waits with others: how far the other side was.
    watched_at: Cell<Option<u64>>,
    /// Whether it was sent, and so is not closed when it is dropped here.
    is_leaving: Cell<bool>,
}

impl Line {
    pub(super) fn new(
        ring: Ring,
        memory: Arc<OwnedFd>,
        socket: OwnedFd,
        side: Side,
        is_trusting: bool,
    ) -> Result<Self, SegmentError> {
        let generation = fork::generation().map_err(|error| SegmentError::System {
            operation: "mmap",
            reason: error.to_string(),
        })?;
        if side == Side::Writer {
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            ring.hint_u64(0).store(u64::from(pid.cast_unsigned()), Ordering::Relaxed);
        }
        let (socket, is_leaving) = (Some(Arc::new(socket)), Cell::new(false));
        let pace = Pace::new(bells(&ring, side).0);
        Ok(Self {
            ring,
            memory,
            socket,
            side,
            is_trusting,
            closer: (!is_trusting).then(transfer::closer),
            generation,
            posted: OnceCell::new(),
            idle_wakes: Cell::new(0),
            pace,
            watched_at: Cell::new(None),
            is_leaving,
        })
    }

    pub(super) fn memory(&self) -> &Arc<OwnedFd> {
        &self.memory
    }

    pub(super) fn socket(&self) -> &Arc<OwnedFd> {
        self.socket.as_ref().expect("only the destructor takes it")
    }

    /// Who closes what the other side has sent, if that is not trusted.
    pub(super) fn closer(&self) -> Option<&Closer> {
        self.closer.as_ref()
    }

    #[inline]
    pub(super) fn is_trusting(&self) -> bool {
        self.is_trusting
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether this is the process that made it or took it over.
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        fork::is_current(self.generation)
    }

    pub(super) fn set_leaving(&self) {
        self.is_leaving.set(true);
    }

    /// The process that writes, by its own account.
    pub(super) fn writer_pid(&self) -> u32 {
        u32::try_from(self.ring.hint_u64(0).load(Ordering::Relaxed)).unwrap_or(0)
    }

    #[inline]
    fn bells(&self) -> (Bell<'_>, Bell<'_>) {
        bells(&self.ring, self.side)
    }

    /// The words by which this side and the other say that they are closed.
    #[inline]
    fn closed_words(&self) -> (&AtomicU64, &AtomicU64) {
        let (reader, writer) = (self.ring.word_u64(0), self.ring.word_u64(1));
        match self.side {
            Side::Reader => (reader, writer),
            Side::Writer => (writer, reader),
        }
    }

    /// Wakes the other side if it sleeps.
    #[inline]
    pub(super) fn ring_peer(&self) {
        self.pace.ring(self.bells().1);
    }

    /// Whether the other side was closed in order: one look at a word.
    #[inline]
    pub(super) fn is_peer_closed(&self) -> bool {
        self.closed_words().1.load(Ordering::Acquire) == CLOSED // E5
    }

    /// Whether the lookout has told of the other side's end.
    fn is_told(&self) -> bool {
        self.posted.get().is_some_and(Posted::is_gone)
    }

    /// Its place with the lookout; `None` when there is nobody who could look out.
    pub(super) fn posted(&self) -> Option<&Posted> {
        if self.posted.get().is_none()
            && let Ok(posted) = Posted::new(&self.ring, self.side, self.socket())
        {
            return Some(self.posted.get_or_init(|| posted));
        }
        self.posted.get()
    }

    /// Whether nobody has the other side any more.
    fn is_hung_up(&self) -> io::Result<bool> {
        if self.is_peer_closed() {
            return Ok(true);
        }
        let mut socket = [PollFd::new(self.socket(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::io::retry_on_intr(|| poll(&mut socket, Some(&now)))?;
        Ok(socket[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
    }

    /// How far the other side says that it is.
    fn peer_position(&self) -> u64 {
        let word = match self.side {
            Side::Reader => self.ring.tail(),
            Side::Writer => self.ring.head(),
        };
        word.load(Ordering::Relaxed)
    }

    /// Looks until `look` finds what it wants, the other side is gone for good, or patience ends.
    #[inline]
    pub(super) fn wait<T, E: From<Violation> + From<io::Error>>(
        &self,
        patience: Patience,
        mut look: impl FnMut() -> Result<News<T>, E>,
    ) -> Result<Waited<T>, E> {
        match self.look_through(&mut look)? {
            News::Done(value) => {
                self.go_on();
                Ok(Waited::Done(value))
            }
            _ => self.wait_on(patience, look),
        }
    }

    /// Counts a wait that was over at the first look.
    #[inline]
    pub(super) fn go_on(&self) {
        if self.pace.go_on() {
            self.pace.stream(self.bells().0);
        }
    }

    /// Leaves the other side alone for a moment, if it is in the middle of a stream.
    ///
    /// Each look takes the cache line from it that it is about to write, and it then stands still for as long as the line takes to
    /// come back. Who sends one message and waits for the answer is in no stream, and looks at once.
    fn let_peer_get_ahead(&self, spin: Spin) {
        // There is always a ring full of work for the reader that a writer waits for.
        if self.pace.end_streak(self.bells().0) > 1 || self.side == Side::Writer {
            spin.hold_off();
        }
    }

    /// As [`let_peer_get_ahead`](Self::let_peer_get_ahead), for a reader who knows that it is in a stream, and instead of it.
    #[cold]
    pub(super) fn hold_off(&self) {
        self.pace.end_streak(self.bells().0);
        Spin::for_parties(2).hold_off();
    }

    /// Looks at all that is there. A peer that goes on writing does not keep it for ever.
    #[inline]
    fn look_through<T, E>(
        &self,
        look: &mut impl FnMut() -> Result<News<T>, E>,
    ) -> Result<News<T>, E> {
        for _ in 0..self.capacity() / HEADER_LEN {
            match look()? {
                News::Some => {}
                other => return Ok(other),
            }
        }
        Ok(News::Some)
    }

    fn wait_on<T, E: From<Violation> + From<io::Error>>(
        &self,
        patience: Patience,
        mut look: impl FnMut() -> Result<News<T>, E>,
    ) -> Result<Waited<T>, E> {
        self.check_rest()?;
        let mut idle_wakes = 0;
        let mut checkups = 0;
        // The kernel is asked about the peer at a check-up or when the time is over, and not before each sleep.
        let mut asks = matches!(patience, Patience::None);
        let mut spin = match patience {
            Patience::None => Spin::NONE,
            Patience::Until(_) => Spin::for_parties(2),
        };
        self.let_peer_get_ahead(spin);
        loop {
            if let News::Done(value) = self.look_on(spin, &mut look)? {
                self.pace.run_on(1, self.bells().0);
                return Ok(Waited::Done(value));
            }
            if (asks || self.is_peer_closed() || self.is_told()) && self.is_hung_up()? {
                // E5: what was sent before is there now.
                return Ok(match self.look_through(&mut look)? {
                    News::Done(value) => Waited::Done(value),
                    _ => Waited::HungUp,
                });
            }
            let Patience::Until(deadline) = patience else { return Ok(Waited::TimedOut) };
            if asks && deadline.is_over() {
                return Ok(Waited::TimedOut);
            }
            let before = self.peer_position();
            let until = deadline.min(self.next_checkup(checkups));
            let (woken, news) = self.sleep(&until, &mut look)?;
            if let News::Done(value) = news {
                return Ok(Waited::Done(value));
            }
            asks = !woken || deadline.is_over();
            checkups = if woken { 0 } else { checkups.saturating_add(1) };
            if before == self.peer_position() {
                idle_wakes = if woken { idle_wakes + 1 } else { 0 };
                // Who has slept for nothing sleeps again at once: an idle end uses no processor.
                spin = Spin::NONE;
            } else {
                idle_wakes = 0;
            }
            if idle_wakes > IDLE_WAKES_MAX {
                return Err(Violation::Restless(idle_wakes).into());
            }
        }
    }

    /// Looks for a while, as long as that is cheaper than to sleep.
    fn look_on<T, E>(
        &self,
        spin: Spin,
        look: &mut impl FnMut() -> Result<News<T>, E>,
    ) -> Result<News<T>, E> {
        let mut found = Ok(News::Nothing);
        spin.until(|| {
            found = look();
            !matches!(found, Ok(News::Nothing | News::Some)) || self.is_peer_closed()
        });
        found
    }

    /// When a sleeper comes back though nobody has rung.
    fn next_checkup(&self, checkups: u32) -> Deadline {
        match self.posted() {
            Some(_) if !self.pace.is_unfenced() => family::recheck_deadline(checkups),
            _ => Deadline::after(SLICE),
        }
    }

    /// Sleeps until then or until rung, unless there is news at a last look; whether it was woken, and what it saw last.
    fn sleep<T, E>(
        &self,
        until: &Deadline,
        look: &mut impl FnMut() -> Result<News<T>, E>,
    ) -> Result<(bool, News<T>), E> {
        let bell = self.bells().0;
        self.pace.announce(bell);
        let mut news = look();
        let mut woken = false;
        if matches!(news, Ok(News::Nothing)) && !self.is_peer_closed() && !self.is_told() {
            woken = procession_shm::wait(&[bell.watch(AT_REST)], until) == Wake::Woken;
            news = look();
        }
        bell.retract();
        Ok((woken, news?))
    }

    /// Announces a sleeper that waits with others for `look`, and says on which words.
    pub(super) fn watch(&self, watches: &mut Vec<Watch<'_>>) {
        if let Some(posted) = self.posted() {
            watches.push(Watch::told(posted.gone_word(), 0));
        }
        self.watched_at.set(Some(self.peer_position()));
        self.pace.announce(self.bells().0);
        let bell = match self.side {
            Side::Reader => self.ring.reader_bell_word(),
            Side::Writer => self.ring.writer_bell_word(),
        };
        watches.push(Watch::shared_kept(bell, AT_REST));
    }

    /// The sleeper is awake again. Does nothing if it had not announced itself.
    pub(super) fn unwatch(&self) {
        let Some(watched_at) = self.watched_at.take() else { return };
        let bell = self.bells().0;
        let for_nothing = bell.is_rung(AT_REST) && self.peer_position() == watched_at;
        bell.retract();
        self.idle_wakes.set(if for_nothing { self.idle_wakes.get() + 1 } else { 0 });
    }

    /// An error if the other side has woken this one too often for nothing.
    fn check_rest(&self) -> Result<(), Violation> {
        match self.idle_wakes.get() {
            0..=IDLE_WAKES_MAX => Ok(()),
            idle_wakes => Err(Violation::Restless(idle_wakes)),
        }
    }

    fn close(&self) {
        self.closed_words().0.store(CLOSED, Ordering::Release); // E5
        self.ring_peer();
    }
}

/// The bell on which this side sleeps, and the other's.
#[inline]
fn bells(ring: &Ring, side: Side) -> (Bell<'_>, Bell<'_>) {
    let (reader, writer) = (ring.reader_bell(), ring.writer_bell());
    match side {
        Side::Reader => (reader, writer),
        Side::Writer => (writer, reader),
    }
}

/// Tells the other side, unless this one goes on elsewhere or belongs to the process that this one was forked from.
impl Drop for Line {
    fn drop(&mut self) {
        if !self.is_here() {
            return;
        }
        let is_leaving = self.is_leaving.get();
        if !is_leaving {
            self.close();
        }
        // Its post has the socket, too.
        drop(self.posted.take());
        if let (Some(socket), Some(closer)) = (self.socket.take(), &self.closer) {
            if is_leaving {
                transfer::let_go(socket, closer);
            } else {
                transfer::hang_up(socket, closer);
            }
        }
    }
}
