//! The sending end of a pipe without its type: bytes and descriptors into the ring and the socket.
//!
//! # A message
//!
//! One that takes at most half of the ring is one frame, for which the sender waits as a whole. A longer one goes in parts of a
//! quarter of the ring, so that both sides copy at the same time. Whatever fails between its first part and its last, the
//! deadline included, ends in an abort frame, for which there is always room (P1): the reader forgets the parts.
//!
//! In front of the last frame, when nothing can fail any more, the descriptors go into the socket and the handles are let go.
//!
//! # Crash points
//!
//! | killed | what the receiver sees |
//! |---|---|
//! | before the first part | the end of the stream after the messages before |
//! | between the first part and the last | [`RecvError::Died`](super::RecvError::Died), then the end |
//! | after the packet, before the last frame | as without the packet, which goes with the socket; the handles in it are lost |
//! | after the last frame, even before the wake-up | the message, at the hang-up of the socket at the latest; then the end |

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use procession_shm::sync::atomic::Ordering;
use procession_shm::transfer::Outgoing;

use super::SendErrorKind;
use super::frame::{HEADER_LEN, Last};
use super::line::{Line, News, Patience, Waited};
use super::packet::{self, DESCRIPTORS_MAX};
use super::stream::FrameWriter;
use crate::budget::{Account, Charge};
use crate::ring::{Memory, Ring};

/// How many messages with descriptors may be under way. The socket would hold 278 packets; the kernel's own limit is per user.
pub(super) const UNDELIVERED_MAX: usize = 64;

/// The sending end, without its type.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) line: Line,
    pub(super) frames: FrameWriter<Ring>,
    /// Where in the ring the messages with descriptors end that have not been received yet, as far as is known.
    pub(super) undelivered: VecDeque<u64>,
    pub(super) account: Account,
    pub(super) len_max: usize,
}

/// A message to send.
#[derive(Debug)]
pub(super) struct Parcel<'a> {
    pub(super) body: &'a [u8],
    pub(super) is_bytes: bool,
    pub(super) outgoing: Outgoing,
}

/// How far the sending of a message has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// Whether it may go in parts, which takes a sender that waits.
    may_split: bool,
    is_checked: bool,
    /// How many bytes of it are in the ring, or were.
    sent: usize,
}

impl Progress {
    pub(super) fn new(may_split: bool) -> Self {
        Self { may_split, is_checked: false, sent: 0 }
    }
}

impl Outlet {
    /// Sends a message without handles for which there is room in one frame, as most are. Whether it did, and if not, nothing
    /// has happened.
    ///
    /// What comes and goes here is a few words. A larger thing would be moved through memory, by loads that take in several
    /// stores, and such a load waits until the stores before it are in the cache: those to the ring, too, whose lines the other
    /// side has.
    ///
    /// It is part of its caller, who may know how long `body` is, and so is all that is chosen by that.
    #[inline(always)]
    pub(super) fn send_at_once(&mut self, body: &[u8], is_bytes: bool) -> bool {
        let is_short = body.len() <= self.len_max.min(self.frames.body_max() / 2);
        if !is_short || self.frames.is_open() || self.line.is_peer_closed() {
            return false;
        }
        if self.frames.has_room(body.len()) != Ok(true) {
            return false;
        }
        self.frames.put_last(Last { is_bytes, descriptors: 0 }, body);
        self.line.go_on();
        self.line.ring_peer();
        true
    }

    /// Sends all of it or nothing.
    pub(super) fn send(
        &mut self,
        parcel: Parcel<'_>,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        let may_split = matches!(patience, Patience::Until(_));
        let (body, is_bytes, mut outgoing) = (parcel.body, parcel.is_bytes, Some(parcel.outgoing));
        let mut progress = Progress::new(may_split);
        let sent = self.advance(body, is_bytes, &mut outgoing, &mut progress, patience);
        if sent.is_err() {
            self.give_up();
        }
        sent
    }

    /// Takes back what was sent of a message that will not be finished. A receiver is not woken for a message of which it has seen
    /// nothing: too many wake-ups for nothing are a violation.
    pub(super) fn give_up(&mut self) {
        if !procession_shm::seeded!("message-not-aborted") && self.frames.abort() {
            self.line.ring_peer();
        }
    }

    /// Sends as much of the message as there is room for in time. After [`Full`](SendErrorKind::Full) or
    /// [`TimedOut`](SendErrorKind::TimedOut) it can go on where it was; otherwise [`give_up`](Self::give_up) follows an error.
    pub(super) fn advance(
        &mut self,
        body: &[u8],
        is_bytes: bool,
        outgoing: &mut Option<Outgoing>,
        progress: &mut Progress,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        let count = outgoing.as_ref().map_or(0, |outgoing| outgoing.descriptors().len());
        if !progress.is_checked {
            // One that somebody has begun to send, and leaked.
            if self.frames.is_open() {
                self.give_up();
            }
            self.check(body.len(), count, progress.may_split)?;
            if count > 0 {
                self.await_budget(patience)?;
            }
            progress.is_checked = true;
        }
        self.send_parts(body, progress, patience)?;
        let rest = &body[progress.sent..];
        self.await_room(rest.len(), patience)?;
        self.send_last(rest, is_bytes, outgoing)
    }

    fn check(&self, len: usize, count: usize, may_split: bool) -> Result<(), SendErrorKind> {
        let len_max =
            if may_split { self.len_max } else { self.len_max.min(self.frames.body_max()) };
        if len > len_max {
            return Err(SendErrorKind::TooLarge { len, limit: len_max });
        }
        if count > DESCRIPTORS_MAX {
            return Err(SendErrorKind::TooManyDescriptors { count, limit: DESCRIPTORS_MAX });
        }
        if self.line.is_peer_closed() { Err(SendErrorKind::Closed) } else { Ok(()) }
    }

    fn send_parts(
        &mut self,
        body: &[u8],
        progress: &mut Progress,
        patience: Patience,
    ) -> Result<(), SendErrorKind> {
        if !progress.may_split || body.len() <= self.frames.body_max() / 2 {
            return Ok(());
        }
        let part_len = self.line.capacity() / 4 - HEADER_LEN;
        while let Some((part, _)) =
            body[progress.sent..].split_at_checked(part_len).filter(has_more)
        {
            self.await_room(part_len, patience)?;
            self.frames.put_part(part);
            self.line.ring_peer();
            progress.sent += part_len;
        }
        Ok(())
    }

    /// The commit. There is room for the frame.
    #[inline]
    fn send_last(
        &mut self,
        body: &[u8],
        is_bytes: bool,
        outgoing: &mut Option<Outgoing>,
    ) -> Result<(), SendErrorKind> {
        let count = outgoing.as_ref().map_or(0, |outgoing| outgoing.descriptors().len());
        let sequence = self.frames.sequence();
        let descriptors = u16::try_from(count).expect("at most DESCRIPTORS_MAX by `check`");
        let last = Last { is_bytes, descriptors };
        if procession_shm::seeded!("frame-before-packet") {
            self.frames.put_last(last, body);
        }
        let mut charge = None;
        if let Some(outgoing) = outgoing.as_ref().filter(|_| count > 0) {
            charge = Some(self.charge(count)?);
            let descriptors: Vec<BorrowedFd<'_>> = outgoing.descriptors().collect();
            packet::send(self.line.socket().as_fd(), sequence, &descriptors)?;
        }
        if let Some(outgoing) = outgoing.take() {
            outgoing.commit();
        }
        if !procession_shm::seeded!("frame-before-packet") {
            self.frames.put_last(last, body);
        }
        if let Some(charge) = charge {
            let end = self.frames.producer().position();
            self.undelivered.push_back(end);
            charge.sent(end);
        }
        self.line.ring_peer();
        Ok(())
    }

    /// Counts descriptors among those that this process has under way.
    fn charge(&mut self, count: usize) -> Result<Charge, SendErrorKind> {
        let ring = self.frames.producer().memory().clone();
        let is_delivered = move |end| ring.head().load(Ordering::Relaxed) >= end;
        self.account.charge(count, is_delivered)?.ok_or(SendErrorKind::TooManyInFlight)
    }

    #[inline]
    fn await_room(&mut self, len: usize, patience: Patience) -> Result<(), SendErrorKind> {
        let frames = &mut self.frames;
        let waited = self.line.wait(patience, || {
            Ok::<_, SendErrorKind>(if frames.has_room(len)? {
                News::Done(())
            } else {
                News::Nothing
            })
        });
        outcome(waited?, patience)
    }

    fn await_budget(&mut self, patience: Patience) -> Result<(), SendErrorKind> {
        let (frames, undelivered) = (&mut self.frames, &mut self.undelivered);
        let waited = self.line.wait(patience, || {
            let released = frames.released()?;
            while undelivered.front().is_some_and(|&end| end <= released) {
                undelivered.pop_front();
            }
            let is_within = undelivered.len() < UNDELIVERED_MAX;
            Ok::<_, SendErrorKind>(if is_within { News::Done(()) } else { News::Nothing })
        });
        outcome(waited?, patience)
    }

    /// Waits for room for a message of half the ring, with handles.
    pub(super) fn await_slack(&mut self, patience: Patience) -> Result<(), SendErrorKind> {
        self.await_room(self.frames.body_max() / 2, patience)?;
        self.await_budget(patience)
    }

    /// Whether the end is of no use after this error.
    pub(super) fn is_over(error: &SendErrorKind) -> bool {
        matches!(error, SendErrorKind::Closed | SendErrorKind::Corrupt(_))
    }
}

fn has_more((_, rest): &(&[u8], &[u8])) -> bool {
    !rest.is_empty()
}

fn outcome(waited: Waited<()>, patience: Patience) -> Result<(), SendErrorKind> {
    match (waited, patience) {
        (Waited::Done(()), _) => Ok(()),
        (Waited::HungUp, _) => Err(SendErrorKind::Closed),
        (Waited::TimedOut, Patience::None) => Err(SendErrorKind::Full),
        (Waited::TimedOut, Patience::Until(_)) => Err(SendErrorKind::TimedOut),
    }
}
