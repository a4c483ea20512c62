//! The receiving end of a pipe without its type: bytes and descriptors out of the ring and the socket.
//!
//! # Crash points
//!
//! A message is taken by one store, that of the ring's head behind its last frame. Killed before, the receiver has taken
//! nothing; but it was the only one that could, and its end died with it. What counts is what happens to an end that travels: it
//! takes along the parts that were read, and the message that is complete and was not given out yet.

use std::os::fd::AsFd;
use std::time::Duration;

use procession_shm::Deadline;
use procession_shm::transfer::Strangers;

use super::frame::Last;
use super::line::{Line, News, Patience, Waited};
use super::packet;
use super::stream::{FrameReader, Look, Place, Short};
use super::{RecvError, Violation};
use crate::ring::Ring;

/// How long one that does not wait waits for descriptors of earlier messages to be closed: not at all would be an error each time that
/// a thread was not at once where it is needed.
const MOMENT: Duration = Duration::from_millis(20);

/// The receiving end, without its type.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) line: Line,
    pub(super) frames: FrameReader<Ring>,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) body: Vec<u8>,
    pub(super) is_bytes: bool,
    pub(super) descriptors: Strangers,
}

/// What a message may ask of the process that decodes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) len_max: usize,
    pub(super) is_trusting: bool,
}

/// How a message came.
#[derive(Debug)]
pub(super) enum Arrival {
    /// So many bytes of it, which is all.
    Short(usize),
    Long(Delivery),
}

impl Inlet {
    /// Waits for a message, which is not taken yet; `None` when the time is over.
    #[inline]
    pub(super) fn await_message(&mut self, patience: Patience) -> Result<Option<Last>, RecvError> {
        let look = self.await_look(patience, FrameReader::look)?;
        Ok(look.and_then(|_| self.frames.gathered().whole))
    }

    /// Takes the next message by `take`, which does so if it is there, in one frame and without handles. Otherwise nothing has
    /// happened, and the other ways of receiving find out why.
    #[inline]
    pub(super) fn take_at_once<R>(
        &mut self,
        patience: Patience,
        take: impl FnOnce(&mut FrameReader<Ring>) -> Option<R>,
    ) -> Option<R> {
        self.let_sender_get_ahead(patience);
        let taken = take(&mut self.frames)?;
        self.line.go_on();
        self.line.ring_peer();
        Some(taken)
    }

    /// Does not look for a moment, if the last look has shown that this end is close behind the sender in a stream. Who looks again at
    /// once takes two or three messages each time, for the price of the lines that they lie in and of the tail's; and so it goes on,
    /// because both sides are then equally slow.
    #[inline]
    fn let_sender_get_ahead(&self, patience: Patience) {
        if self.frames.is_close_behind() && matches!(patience, Patience::Until(_)) {
            self.line.hold_off();
        }
    }

    /// Waits for the next message and takes it: to the front of `short` if it is short and has no handles.
    #[inline]
    pub(super) fn receive_to(
        &mut self,
        short: &mut Short,
        patience: Patience,
    ) -> Result<Option<Arrival>, RecvError> {
        match self.await_look(patience, |frames| frames.look_and_take(short))? {
            None => Ok(None),
            Some(Look::Taken(len)) => {
                self.line.ring_peer();
                Ok(Some(Arrival::Short(len)))
            }
            Some(_) => self.take_whole(patience).map(|found| found.map(Arrival::Long)),
        }
    }

    /// As [`await_message`](Self::await_message), for a message that may stay where it is if its sender is trusted.
    pub(super) fn await_view(&mut self, patience: Patience) -> Result<Option<Look>, RecvError> {
        if self.line.is_trusting() {
            self.await_look(patience, FrameReader::look_in_place)
        } else {
            self.await_look(patience, FrameReader::look)
        }
    }

    #[inline]
    fn await_look(
        &mut self,
        patience: Patience,
        mut look: impl FnMut(&mut FrameReader<Ring>) -> Result<Look, Violation>,
    ) -> Result<Option<Look>, RecvError> {
        self.let_sender_get_ahead(patience);
        let (line, frames) = (&self.line, &mut self.frames);
        let waited = line.wait(patience, || {
            Ok::<_, RecvError>(match look(frames)? {
                look @ (Look::Whole | Look::Here(_) | Look::Taken(_)) => News::Done(look),
                Look::Nothing => News::Nothing,
                Look::Part => {
                    line.ring_peer();
                    News::Some
                }
            })
        });
        match waited? {
            Waited::Done(look) => Ok(Some(look)),
            Waited::TimedOut => Ok(None),
            Waited::HungUp if self.frames.gathered().is_open => {
                Err(RecvError::Died { pid: self.line.writer_pid() })
            }
            Waited::HungUp => Err(RecvError::Closed),
        }
    }

    /// The next message; `None` when the time is over.
    #[inline]
    pub(super) fn receive(&mut self, patience: Patience) -> Result<Option<Delivery>, RecvError> {
        self.await_message(patience)?;
        self.take_whole(patience)
    }

    /// The message that is complete, if one is.
    #[inline]
    fn take_whole(&mut self, patience: Patience) -> Result<Option<Delivery>, RecvError> {
        self.frames.gathered().whole.map(|last| self.take(last, patience)).transpose()
    }

    /// Waits for the next message and takes it: what came of it in `place`, or all of it in the delivery. Bytes for which there is
    /// no room there stay, and so does what came in time of a message that did not.
    pub(super) fn receive_at(
        &mut self,
        place: &mut Place<'_>,
        patience: Patience,
    ) -> Result<Option<Delivery>, RecvError> {
        let received = self.try_receive_at(place, patience);
        if !matches!(received, Ok(Some(_))) {
            self.frames.keep(place);
        }
        received
    }

    fn try_receive_at(
        &mut self,
        place: &mut Place<'_>,
        patience: Patience,
    ) -> Result<Option<Delivery>, RecvError> {
        self.await_look(patience, |frames| frames.look_to(place))?;
        let Some(last) = self.frames.gathered().whole else { return Ok(None) };
        let (len, room) = (place.filled() + self.message_len(), place.capacity());
        if last.is_bytes && len > room {
            return Err(RecvError::BufferTooShort { len, room });
        }
        self.take(last, patience).map(Some)
    }

    /// Takes the message that is complete. Without the descriptors that belong to it, it stays.
    #[inline]
    fn take(&mut self, last: Last, patience: Patience) -> Result<Delivery, RecvError> {
        let count = usize::from(last.descriptors);
        let mut descriptors = Strangers::default();
        if count > 0 {
            descriptors = self.peek_packet(count, patience)?;
        }
        if count > 0 && procession_shm::seeded!("packet-taken-before-commit") {
            packet::discard(self.line.socket().as_fd())?;
        }
        let body = self.frames.take();
        self.line.ring_peer();
        if count > 0 && !procession_shm::seeded!("packet-taken-before-commit") {
            packet::discard(self.line.socket().as_fd())?;
        }
        Ok(Delivery { body, is_bytes: last.is_bytes, descriptors })
    }

    #[cold]
    fn peek_packet(&self, count: usize, patience: Patience) -> Result<Strangers, RecvError> {
        let until = match patience {
            Patience::None => Deadline::after(MOMENT),
            Patience::Until(deadline) => deadline,
        };
        let sequence = self.frames.gathered().sequence;
        packet::peek(self.line.socket().as_fd(), sequence, count, self.line.closer(), &until)
    }

    #[inline]
    pub(super) fn terms(&self) -> Terms {
        Terms { len_max: self.frames.len_max(), is_trusting: self.line.is_trusting() }
    }

    /// The length of the message that is complete.
    fn message_len(&self) -> usize {
        self.frames.gathered().body.len()
    }

    /// Whether the end is of no use after this error.
    pub(super) fn is_over(error: &RecvError) -> bool {
        matches!(error, RecvError::Closed | RecvError::Died { .. } | RecvError::Corrupt(_))
    }
}
