//! The receiving end.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use procession_shm::Deadline;
use procession_shm::transfer::{Moved, Received, Strangers, TransferError, Trust, receive_scope};

use super::RecvError;
use super::end::End;
use super::inlet::{Arrival, Delivery, Inlet, Terms};
use super::line::Patience;
use super::stream::{FrameReader, Place, Short, bytes_of};
use crate::Message;
use crate::codec::{self, DecodeError, Limits};
use crate::ring::Ring;

/// A decoded value may take this many times the longest message in memory, and at least [`ALLOCATION_BYTES_MIN`].
const ALLOCATION_FACTOR: usize = 4;
const ALLOCATION_BYTES_MIN: usize = 1 << 20;

/// The receiving end of a pipe. There is one in the world: it can be given to another thread or, in a message or as an
/// argument, to another process, and cannot be cloned or shared. What it has not given out yet goes with it.
///
/// The sender need not be trusted, unless the pipe is [`trusting`](super::Builder::trusting): whatever it writes is a value or an
/// error, within the memory that [`max_message`](super::Builder::max_message) allows. While both sides are awake, receiving makes no system call.
///
/// As an iterator it ends where the stream ends cleanly, or after an error that is not of one message, which comes once. That may be a
/// system call that failed ([`Io`](RecvError::Io)): a receiver that the loop has only borrowed can go on then.
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<procession_channel::pipe::Receiver<u8>>();
/// ```
///
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<procession_channel::pipe::Receiver<u8>>();
/// ```
pub struct Receiver<T> {
    pub(super) end: End<Inlet>,
    _message: PhantomData<fn() -> T>,
}

impl<T> Receiver<T> {
    pub(super) fn over(inlet: Inlet) -> Self {
        Self { end: End::new(inlet), _message: PhantomData }
    }

    /// Receives what [`send_bytes`](super::Sender::send_bytes) sent. They are copied once. Blocks as [`recv`](Self::recv) does.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`Decode`](RecvError::Decode) when the message is a value and not bytes.
    ///
    /// ```
    /// let (sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// sender.send_bytes(b"abc")?;
    /// assert_eq!(receiver.recv_bytes()?, b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        self.bytes_within(Patience::Until(Deadline::NEVER))?.ok_or(RecvError::Closed)
    }

    /// [`recv_bytes`](Self::recv_bytes) if it can be done at once; `None` when there is no whole message yet.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes).
    ///
    /// ```
    /// let (sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// assert_eq!(receiver.try_recv_bytes()?, None);
    /// sender.send_bytes(b"abc")?;
    /// assert_eq!(receiver.try_recv_bytes()?.unwrap(), b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv_bytes(&self) -> Result<Option<Vec<u8>>, RecvError> {
        self.bytes_within(Patience::None)
    }

    /// [`recv_bytes`](Self::recv_bytes) within `timeout`; `None` when the time is over.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// assert_eq!(receiver.recv_bytes_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<Vec<u8>>, RecvError> {
        self.bytes_within(Patience::Until(timeout.into().into()))
    }

    /// Receives bytes into the front of `buffer` and returns how many they are. Blocks as [`recv`](Self::recv) does. They are
    /// copied once, parts of a long message as they come. The rest of `buffer` may be written to as well, and all of it when the
    /// receive fails.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes), and [`BufferTooShort`](RecvError::BufferTooShort): the message is still there, for a
    /// larger buffer or for `recv_bytes`.
    ///
    /// ```
    /// use procession_channel::pipe::{self, RecvError};
    ///
    /// let (sender, receiver) = pipe::simplex::<()>()?;
    /// sender.send_bytes(b"abc")?;
    /// let short = receiver.recv_bytes_into(&mut [0; 2]);
    /// assert!(matches!(short, Err(RecvError::BufferTooShort { len: 3, room: 2 })));
    /// let mut buffer = [0; 8];
    /// assert_eq!(receiver.recv_bytes_into(&mut buffer)?, 3); // it was still there
    /// assert_eq!(&buffer[..3], b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let never = Patience::Until(Deadline::NEVER);
        self.bytes_into_within(buffer, never)?.ok_or(RecvError::Closed)
    }

    /// [`recv_bytes_into`](Self::recv_bytes_into) if it can be done at once; `None` when there is no whole message yet.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes_into`](Self::recv_bytes_into).
    ///
    /// ```
    /// let (sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// let mut buffer = [0; 8];
    /// assert_eq!(receiver.try_recv_bytes_into(&mut buffer)?, None);
    /// sender.send_bytes(b"abc")?;
    /// assert_eq!(receiver.try_recv_bytes_into(&mut buffer)?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv_bytes_into(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        self.bytes_into_within(buffer, Patience::None)
    }

    /// [`recv_bytes_into`](Self::recv_bytes_into) within `timeout`; `None` when the time is over. The parts of a long message that
    /// came are kept, as with [`recv_timeout`](Self::recv_timeout); any buffer will do for the next receive.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes_into`](Self::recv_bytes_into).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_sender, receiver) = procession_channel::pipe::simplex::<()>()?;
    /// assert_eq!(receiver.recv_bytes_into_timeout(&mut [0; 8], Duration::from_millis(1))?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes_into_timeout(
        &self,
        buffer: &mut [u8],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<usize>, RecvError> {
        self.bytes_into_within(buffer, Patience::Until(timeout.into().into()))
    }

    /// Waits up to `timeout` (`None`: for ever) for something to receive: whether a receive would now return at once, be it with
    /// a message, an error or the end of the stream.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = procession_channel::pipe::simplex::<u64>()?;
    /// assert!(!receiver.poll(Duration::from_millis(1)));
    /// drop(sender);
    /// assert!(receiver.poll(None));                         // the end of the stream is news, too
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll(&self, timeout: impl Into<Option<Duration>>) -> bool {
        let patience = match timeout.into() {
            Some(Duration::ZERO) => Patience::None,
            other => Patience::Until(other.into()),
        };
        // The error itself is for the receive, which finds it again.
        let found = self.end.with(|end| match end {
            Some(inlet) => !matches!(inlet.await_message(patience), Ok(None)),
            None => true,
        });
        !matches!(found, Ok(false))
    }

    /// Closes the end: the sender's next sends are `Closed`, and what was not received is lost. Does nothing if the end is closed
    /// already or not here.
    ///
    /// ```
    /// use procession_channel::pipe::{self, RecvError};
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// sender.send(7)?;
    /// receiver.close();
    /// assert!(matches!(receiver.recv(), Err(RecvError::Closed))); // what was not received is lost
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.end.close();
    }

    fn bytes_into_within(
        &self,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Option<usize>, RecvError> {
        self.use_inlet(|inlet| {
            let mut place = Place::over(buffer);
            let Some(delivery) = inlet.receive_at(&mut place, patience)? else { return Ok(None) };
            let rest = into_bytes(delivery)?;
            let len = place.append(&rest);
            inlet.frames.reuse(rest);
            Ok(Some(len))
        })
    }

    pub(super) fn bytes_within(&self, patience: Patience) -> Result<Option<Vec<u8>>, RecvError> {
        match self.use_inlet(|inlet| inlet.receive(patience))? {
            Some(delivery) => into_bytes(delivery).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    pub(super) fn use_inlet<R>(
        &self,
        work: impl FnOnce(&mut Inlet) -> Result<R, RecvError>,
    ) -> Result<R, RecvError> {
        let worked = self.end.with(|end| {
            let result = work(end.as_mut().ok_or(RecvError::Closed)?);
            if result.as_ref().is_err_and(Inlet::is_over) {
                *end = None;
            }
            result
        });
        worked.unwrap_or_else(|Moved| Err(RecvError::Moved(Moved)))
    }
}

impl<T: Message> Receiver<T> {
    /// Receives a value. Blocks until there is one; the sender's progress, and its end or death, wake it.
    ///
    /// # Errors
    ///
    /// * [`Closed`](RecvError::Closed): the stream has ended, and all that was sent was received.
    /// * [`Died`](RecvError::Died): the sender died in the middle of a message.
    /// * [`Decode`](RecvError::Decode), [`Untrusted`](RecvError::Untrusted): the message is gone, the next can be received.
    /// * [`Corrupt`](RecvError::Corrupt): the sender broke the rules; the pipe is closed.
    /// * [`Moved`](RecvError::Moved): this end was sent away.
    /// * [`Io`](RecvError::Io): a system call failed.
    ///
    /// ```
    /// use procession_channel::pipe::{self, RecvError};
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// sender.send(7)?;
    /// drop(sender);
    /// assert_eq!(receiver.recv()?, 7);
    /// assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        let never = Patience::Until(Deadline::NEVER);
        if let Some(value) = self.take_fixed(never) {
            return Ok(value);
        }
        match self.recv_other_ways(never)? {
            Some(value) => Ok(value),
            None => Err(RecvError::Closed),
        }
    }

    /// [`recv`](Self::recv) if it can be done at once; `None` when there is no whole message yet. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// ```
    /// let (sender, receiver) = procession_channel::pipe::simplex()?;
    /// assert_eq!(receiver.try_recv()?, None);
    /// sender.send(7)?;
    /// assert_eq!(receiver.try_recv()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<Option<T>, RecvError> {
        self.recv_within(Patience::None)
    }

    /// [`recv`](Self::recv) within `timeout`, which covers the whole message however many parts it has; `None` when the time is
    /// over. The parts that came are kept, also if the end is sent on, and the next receive continues with them.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = procession_channel::pipe::simplex()?;
    /// assert_eq!(receiver.recv_timeout(Duration::from_millis(1))?, None);
    /// sender.send(7)?;
    /// assert_eq!(receiver.recv_timeout(None)?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<T>, RecvError> {
        self.recv_within(Patience::Until(timeout.into().into()))
    }

    #[inline]
    fn recv_within(&self, patience: Patience) -> Result<Option<T>, RecvError> {
        match self.take_fixed(patience) {
            Some(value) => Ok(Some(value)),
            None => self.recv_other_ways(patience),
        }
    }

    /// Takes a value if it is there and the program knows before it runs how long it is.
    ///
    /// It comes into its place by one copy. On the way through a result it would lie where an error may lie, too, and be moved on by
    /// loads that are wider than the stores before them, which wait for the cache.
    #[inline(always)]
    fn take_fixed(&self, patience: Patience) -> Option<T> {
        let len = codec::fixed_len::<T>()?;
        let mut short = Short::default();
        let take = |frames: &mut FrameReader<Ring>| frames.take_fixed_at_once(&mut short, len);
        match self.end.with(|end| end.as_mut()?.take_at_once(patience, take)) {
            // Never `None`, because it has the length that was asked for.
            Ok(Some(len)) => codec::read_fixed(&bytes_of(&short)[..len]),
            // Why there is none the other ways find out.
            _ => None,
        }
    }

    /// For values of other lengths, and for one that is not there.
    #[inline]
    fn recv_other_ways(&self, patience: Patience) -> Result<Option<T>, RecvError> {
        if codec::fixed_len::<T>().is_some() {
            return self.recv_after_a_look(patience);
        }
        if codec::keeps_message::<T>() {
            return self.recv_vector_within(patience);
        }
        let mut short = Short::default();
        let taken = self.end.with(|end| {
            let inlet = end.as_mut()?;
            let len = inlet.take_at_once(patience, |frames| frames.take_at_once(&mut short))?;
            Some((len, inlet.terms()))
        });
        match taken {
            Ok(Some((len, terms))) => decode_short(&bytes_of(&short)[..len], terms).map(Some),
            _ => self.recv_after_a_look(patience),
        }
    }

    /// As [`recv_within`](Self::recv_within), for a value that is its message.
    #[inline]
    fn recv_vector_within(&self, patience: Patience) -> Result<Option<T>, RecvError> {
        let taken = self.end.with(|end| {
            let inlet = end.as_mut()?;
            let body = inlet.take_at_once(patience, FrameReader::take_vector_at_once)?;
            Some((body, inlet.terms()))
        });
        match taken {
            Ok(Some((body, terms))) => {
                decode(Strangers::default(), terms, |limits| codec::decode_owned(body, limits))
                    .map(Some)
            }
            _ => self.recv_after_a_look(patience),
        }
    }

    /// For all that cannot be received at once.
    #[inline(never)]
    fn recv_after_a_look(&self, patience: Patience) -> Result<Option<T>, RecvError> {
        let mut short = Short::default();
        let received = self.use_inlet(|inlet| {
            let arrival = inlet.receive_to(&mut short, patience)?;
            Ok(arrival.map(|arrival| (arrival, inlet.terms())))
        })?;
        match received {
            None => Ok(None),
            Some((Arrival::Short(len), terms)) => {
                decode_short(&bytes_of(&short)[..len], terms).map(Some)
            }
            Some((Arrival::Long(delivery), terms)) => self.decode_long(delivery, terms).map(Some),
        }
    }

    fn decode_long(&self, delivery: Delivery, terms: Terms) -> Result<T, RecvError> {
        let Delivery { body, is_bytes, descriptors } = delivery;
        if is_bytes {
            return Err(wrong_form("it is bytes as they are: receive it with recv_bytes"));
        }
        if codec::keeps_message::<T>() {
            return decode(descriptors, terms, |limits| codec::decode_owned(body, limits));
        }
        let value = decode(descriptors, terms, |limits| codec::decode(&body, limits))?;
        // Whether the buffer can be used again is of no consequence.
        let _moved = self.end.with(|end| {
            if let Some(inlet) = end {
                inlet.frames.reuse(body);
            }
        });
        Ok(value)
    }
}

#[inline]
fn decode_short<T: Message>(body: &[u8], terms: Terms) -> Result<T, RecvError> {
    decode(Strangers::default(), terms, |limits| codec::decode(body, limits))
}

#[inline]
fn decode<T: Message>(
    descriptors: Strangers,
    terms: Terms,
    decode: impl FnOnce(&Limits) -> Result<T, DecodeError>,
) -> Result<T, RecvError> {
    let allocation_bytes =
        terms.len_max.saturating_mul(ALLOCATION_FACTOR).max(ALLOCATION_BYTES_MIN);
    let limits = Limits { allocation_bytes, ..Limits::DEFAULT };
    if codec::is_plain::<T>() {
        return decode(&limits).map_err(RecvError::Decode);
    }
    let trust = if terms.is_trusting {
        Trust::Trusting
    } else {
        Trust::Untrusting { copy_bytes_max: allocation_bytes }
    };
    let Received { value, failure } = receive_scope(descriptors, trust, || decode(&limits));
    value.map_err(|error| match failure {
        Some(untrusted @ TransferError::Untrusted { .. }) => RecvError::Untrusted(untrusted),
        _ => RecvError::Decode(error),
    })
}

fn into_bytes(delivery: Delivery) -> Result<Vec<u8>, RecvError> {
    if delivery.is_bytes {
        Ok(delivery.body)
    } else {
        Err(wrong_form("it is a value and not bytes as they are: receive it with recv"))
    }
}

fn wrong_form(reason: &'static str) -> RecvError {
    RecvError::Decode(DecodeError::Invalid { reason: Cow::Borrowed(reason) })
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
