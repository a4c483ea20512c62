//! How an end gets from process to process: its descriptors beside the message, its private cursors in it.
//!
//! The process that sends an end need not be trusted. What it says is checked before it is used, and the memory before it is
//! mapped; what passes the checks can still make the pipe useless, and nothing else. That the pipe is a trusting one it may say
//! only if it is trusted itself: nobody else can make this process trust a peer.

use std::fmt;
use std::os::fd::OwnedFd;

use procession_shm::transfer::{self, Strangers, TransferError, Trust};
use procession_shm::{Segment, page_size};
use serde::de::{Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::end::HasLine;
use super::frame::Last;
use super::inlet::Inlet;
use super::line::{Line, Side};
use super::outlet::{Outlet, UNDELIVERED_MAX};
use super::stream::{FrameReader, FrameWriter, Gathered};
use super::{CAPACITY_MAX, DEFAULT_LEN_MAX, Receiver, Sender};
use crate::budget::Account;
use crate::packet::is_channel_socket;
use crate::ring::{Consumer, Producer, Ring};

const SENDER: &str = "Sender";
const RECEIVER: &str = "Receiver";

/// So many messages nobody sends; a counter that starts there does not overflow.
const SEQUENCE_MAX: u64 = 1 << 62;

impl HasLine for Outlet {
    fn line(&self) -> &Line {
        &self.line
    }
}

impl HasLine for Inlet {
    fn line(&self) -> &Line {
        &self.line
    }
}

/// What both ends say of themselves.
#[derive(Debug, Serialize, Deserialize)]
struct LinePlace {
    memory: u32,
    socket: u32,
    capacity: u64,
    sequence: u64,
    len_max: u64,
    is_trusting: bool,
}

impl LinePlace {
    fn attach(
        handle: &'static str,
        line: &Line,
        sequence: u64,
        len_max: usize,
    ) -> Result<Self, TransferError> {
        let is_trusting = line.is_trusting();
        if is_trusting {
            transfer::need_family(handle)?;
        }
        let memory = transfer::attach(handle, line.memory())?;
        let socket = transfer::attach(handle, line.socket())?;
        let (capacity, len_max) = (line.capacity() as u64, len_max as u64);
        Ok(Self { memory, socket, capacity, sequence, len_max, is_trusting })
    }

    /// The memory and the line, and the longest message.
    fn take_over(
        &self,
        handle: &'static str,
        side: Side,
    ) -> Result<(Ring, Line, usize), TransferError> {
        let malformed = |reason| TransferError::Malformed { handle, reason };
        if self.is_trusting {
            transfer::require_trust(handle)?;
        }
        let closer = transfer::closer();
        let mut arrived = Strangers::new(Vec::new(), Some(&closer));
        arrived.push(transfer::take_descriptor(self.memory)?);
        arrived.push(transfer::take_descriptor(self.socket)?);
        let capacity = usize::try_from(self.capacity).unwrap_or(usize::MAX);
        if capacity > CAPACITY_MAX || self.sequence > SEQUENCE_MAX {
            return Err(malformed("a number in it is too large"));
        }
        let len = page_size() + capacity;
        Segment::check(&arrived[0], len)?;
        if !is_paid_for(&arrived[0], len) || !is_channel_socket(&arrived[1]) {
            return Err(malformed("a descriptor is not what it should be"));
        }
        let len_max = self.len_max()?;
        let two = arrived.into_known().try_into();
        let [memory, socket] = two.map_err(|_| malformed("a descriptor is missing"))?;
        let segment = Segment::from_fd(memory, len)?;
        match Ring::over(&segment) {
            Ok(ring) => {
                let memory = segment.into_fd().into();
                let line = Line::new(ring.clone(), memory, socket, side, self.is_trusting)?;
                Ok((ring, line, len_max))
            }
            Err(error) => {
                transfer::hang_up(socket, &closer);
                Err(error.into())
            }
        }
    }

    /// A process that is not trusted cannot raise what this one may be made to allocate.
    fn len_max(&self) -> Result<usize, TransferError> {
        let announced = usize::try_from(self.len_max).unwrap_or(usize::MAX);
        Ok(match transfer::trust()? {
            Trust::Trusting => announced,
            Trust::Untrusting { .. } => announced.min(DEFAULT_LEN_MAX),
        })
    }
}

/// Whether its pages exist, so that touching them costs this process nothing that its sender has not paid for.
fn is_paid_for(memory: &OwnedFd, len: usize) -> bool {
    rustix::fs::fstat(memory).is_ok_and(|stat| {
        let claimed = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        claimed >= len as u64
    })
}

#[derive(Debug, Serialize, Deserialize)]
struct SenderPlace {
    line: LinePlace,
    written: u64,
    released: u64,
    undelivered: Vec<u64>,
}

impl SenderPlace {
    fn of(outlet: &mut Outlet) -> Result<Self, TransferError> {
        // One that somebody has begun to send, and leaked: nobody can go on with it.
        outlet.give_up();
        let (frames, producer) = (&outlet.frames, outlet.frames.producer());
        Ok(Self {
            line: LinePlace::attach(SENDER, &outlet.line, frames.sequence(), outlet.len_max)?,
            written: producer.position(),
            released: producer.released(),
            undelivered: outlet.undelivered.iter().copied().collect(),
        })
    }

    fn take_over(self) -> Result<Outlet, TransferError> {
        let reason = "its positions contradict each other";
        let malformed = TransferError::Malformed { handle: SENDER, reason };
        let (ring, line, len_max) = self.line.take_over(SENDER, Side::Writer)?;
        let producer = Producer::resume(ring, self.written, self.released);
        let (Some(producer), 0..=UNDELIVERED_MAX) = (producer, self.undelivered.len()) else {
            return Err(malformed);
        };
        let frames = FrameWriter::new(producer, self.line.sequence);
        let (undelivered, account) = (self.undelivered.into(), Account::default());
        Ok(Outlet { line, frames, undelivered, account, len_max })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ReceiverPlace {
    line: LinePlace,
    read: u64,
    is_open: bool,
    /// Of a message that is complete: whether it is bytes, and how many descriptors it has.
    whole: Option<(bool, u16)>,
    body: Bytes,
}

impl ReceiverPlace {
    fn of(inlet: &mut Inlet) -> Result<Self, TransferError> {
        let (frames, gathered) = (&inlet.frames, inlet.frames.gathered());
        let (sequence, len_max) = (gathered.sequence, frames.len_max());
        Ok(Self {
            line: LinePlace::attach(RECEIVER, &inlet.line, sequence, len_max)?,
            read: frames.consumer().position(),
            is_open: gathered.is_open,
            whole: gathered.whole.map(|last| (last.is_bytes, last.descriptors)),
            body: Bytes(gathered.body.clone()),
        })
    }

    fn take_over(self) -> Result<Inlet, TransferError> {
        let reason = "its positions contradict each other";
        let malformed = TransferError::Malformed { handle: RECEIVER, reason };
        let (ring, line, len_max) = self.line.take_over(RECEIVER, Side::Reader)?;
        let Bytes(body) = self.body;
        let is_idle = !self.is_open && self.whole.is_none();
        if body.len() > len_max || (is_idle && !body.is_empty()) {
            return Err(malformed);
        }
        let whole = self.whole.map(|(is_bytes, descriptors)| Last { is_bytes, descriptors });
        let (sequence, is_open) = (self.line.sequence, self.is_open);
        let gathered = Gathered { sequence, body, is_open, whole };
        let consumer = Consumer::resume(ring, self.read).ok_or(malformed)?;
        Ok(Inlet { line, frames: FrameReader::new(consumer, gathered, len_max) })
    }
}

/// Bytes that serde copies at once.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Copy;
        impl Visitor<'_> for Copy {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Copy)
    }
}

/// Works inside a channel only. The end then belongs to the receiver, unless sending it fails.
impl<T> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.end.leave(SENDER, SenderPlace::of).map_err(S::Error::custom)?;
        place.serialize(serializer)
    }
}

/// Works inside a channel only, from any process; an end of a trusting pipe from one that is trusted.
impl<'de, T> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = SenderPlace::deserialize(deserializer)?;
        place.take_over().map(Self::over).map_err(D::Error::custom)
    }
}

/// Works inside a channel only. The end then belongs to the receiver, unless sending it fails.
impl<T> Serialize for Receiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.end.leave(RECEIVER, ReceiverPlace::of).map_err(S::Error::custom)?;
        place.serialize(serializer)
    }
}

/// Works inside a channel only, from any process; an end of a trusting pipe from one that is trusted.
impl<'de, T> Deserialize<'de> for Receiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = ReceiverPlace::deserialize(deserializer)?;
        place.take_over().map(Self::over).map_err(D::Error::custom)
    }
}
