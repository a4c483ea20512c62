//! The parent's side: hears what a worker sends, and tells it again.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use procession_channel::codec::{Limits, decode};
use procession_shm::transfer::{Closer, Packet, hang_up, receive_packet};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use tracing::dispatcher::{self, Dispatch};
use tracing::field::{Field, display};
use tracing::{Event, Metadata, Span};
use tracing_core::field::{FieldSet, Value as FieldValue};

use super::record::{FIELDS_MAX, PACKET_LEN_MAX, Record, Value, Values};
use super::{HEARD_MAX, Throttle, site};
use crate::core::chunk::CallId;

/// How many packets are read at a time: more than lie in a socket.
const PACKETS_AT_A_TIME: u32 = 1024;

/// How many spans of a worker may be open. More are not told of.
const SPANS_MAX: usize = 256;

/// How long a worker waits for room in the socket before it drops what it wanted to say.
const PATIENCE: Duration = Duration::from_millis(20);

/// Where a call was made: what its workers say belongs there.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    dispatch: Dispatch,
    span: Span,
}

impl Origin {
    /// Here.
    pub(crate) fn here() -> Self {
        Self { dispatch: dispatcher::get_default(Clone::clone), span: Span::current() }
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self { dispatch: Dispatch::none(), span: Span::none() }
    }
}

/// The end of the socket at which the parent listens.
///
/// It is one of connected packets: over a datagram socket a worker could talk to anybody else as well, whatever its sandbox forbids.
#[derive(Debug)]
pub(crate) struct Ear {
    /// `None` only while it is dropped.
    socket: Option<OwnedFd>,
    /// For descriptors, which no honest worker sends.
    closer: Closer,
    /// How many packets the worker had said that it has sent when all had been heard.
    heard: u64,
    throttle: Throttle,
    spans: Arc<Spans>,
}

type Spans = Mutex<HashMap<u64, (Span, Dispatch)>>;

/// What a worker said, to be told again when no lock is held.
#[derive(Debug)]
pub(crate) struct Telling {
    origin: Origin,
    record: Record,
    spans: Arc<Spans>,
}

/// The worker says what no worker says, or too much.
#[derive(Debug)]
pub(crate) struct Babble;

impl Ear {
    /// One end, and the descriptor of the worker's.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&theirs, Timeout::Send, Some(PATIENCE))?;
        let (socket, closer) = (Some(ours), Closer::new());
        let (throttle, spans) = (Throttle::new(), Arc::default());
        Ok((Self { socket, closer, heard: 0, throttle, spans }, theirs))
    }

    /// Whether there may be something to hear: it has said that it has sent `said` packets.
    #[inline]
    pub(crate) fn has_news(&self, said: u64) -> bool {
        said != self.heard
    }

    /// Hears what there is, for the origins that `of` knows.
    pub(crate) fn listen(
        &mut self,
        said: u64,
        mut of: impl FnMut(Option<CallId>) -> Option<Origin>,
        out: &mut impl FnMut(Telling),
    ) -> Result<u32, Babble> {
        let mut packet = vec![0; PACKET_LEN_MAX + 1];
        for count in 0..PACKETS_AT_A_TIME {
            let Some(len) = self.receive(&mut packet)? else {
                self.heard = said;
                return Ok(count);
            };
            let record = decode::<Record>(&packet[..len], &Limits::DEFAULT);
            let record = record.ok().filter(|_| len <= PACKET_LEN_MAX).ok_or(Babble)?;
            if !self.throttle.allows(HEARD_MAX) {
                return Err(Babble);
            }
            if let Some(origin) = of(record.call()) {
                out(Telling { origin, record, spans: Arc::clone(&self.spans) });
            }
        }
        Ok(PACKETS_AT_A_TIME)
    }

    /// The length of the next packet, if there is one. Never blocks.
    fn receive(&self, packet: &mut [u8]) -> Result<Option<usize>, Babble> {
        let Some(socket) = &self.socket else { return Ok(None) };
        match receive_packet(socket.as_fd(), packet, RecvFlags::DONTWAIT) {
            Ok(Packet { descriptors, .. }) if !descriptors.is_empty() => {
                // To be closed they may take as long as their sender likes.
                self.closer.close(descriptors);
                Err(Babble)
            }
            // At the end of it there is nothing either.
            Ok(Packet { len, .. }) => Ok(Some(len).filter(|len| *len > 0)),
            Err(_) => Ok(None),
        }
    }
}

/// What is left in it may take its time to be closed.
impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            hang_up(socket, &self.closer);
        }
    }
}

impl Telling {
    /// Tells it. Calls the caller's subscriber.
    pub(crate) fn tell(self) {
        let Origin { dispatch, span } = &self.origin;
        let parent = |number: Option<u64>| {
            let inner = number.and_then(|number| Some(self.spans().get(&number)?.0.clone()));
            inner.unwrap_or_else(|| span.clone()).id()
        };
        match &self.record {
            Record::Open { span, parent: outer, place, values, .. } => {
                let Some(metadata) = site::of(place).filter(|site| dispatch.enabled(site)) else {
                    return;
                };
                let outer = parent(*outer);
                if self.spans().len() < SPANS_MAX {
                    let opened = dispatcher::with_default(dispatch, || {
                        with_values(metadata, values, |set| Span::child_of(outer, metadata, set))
                    });
                    self.spans().insert(*span, (opened, dispatch.clone()));
                }
            }
            Record::Values { span, values } => {
                let found = self.spans().get(span).cloned();
                let Some((span, dispatch)) = found else { return };
                if let Some(metadata) = span.metadata() {
                    dispatcher::with_default(&dispatch, || {
                        with_values(metadata, values, |set| {
                            span.record_all(set);
                        });
                    });
                }
            }
            Record::Close { span } => {
                let closed = self.spans().remove(span);
                drop(closed);
            }
            Record::Event { parent: outer, place, values, .. } => {
                let Some(metadata) = site::of(place).filter(|site| dispatch.enabled(site)) else {
                    return;
                };
                let outer = parent(*outer);
                dispatcher::with_default(dispatch, || {
                    with_values(metadata, values, |set| Event::child_of(outer, metadata, set));
                });
            }
            Record::Lost { count, .. } => dispatcher::with_default(dispatch, || {
                tracing::warn!(parent: span, count, "a worker had more to say than was heard");
            }),
        }
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<u64, (Span, Dispatch)>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands over the values of fields in the form that subscribers take.
fn with_values<T>(
    metadata: &'static Metadata<'static>,
    values: &Values,
    take: impl FnOnce(&tracing_core::field::ValueSet<'_>) -> T,
) -> T {
    let set: &FieldSet = metadata.fields();
    let fields: Vec<Field> = set.iter().take(FIELDS_MAX).collect();
    let owned: Vec<(usize, Box<dyn FieldValue>)> = values
        .0
        .iter()
        .filter_map(|(index, value)| Some((usize::try_from(*index).ok()?, boxed(value))))
        .filter(|(index, _)| *index < fields.len())
        .take(FIELDS_MAX)
        .collect();
    let Some(first) = fields.first() else {
        let none: [(&Field, Option<&dyn FieldValue>); 0] = [];
        return take(&set.value_set(&none));
    };
    // The number of values is part of the type: what is left over has none.
    let mut array: [(&Field, Option<&dyn FieldValue>); FIELDS_MAX] = [(first, None); FIELDS_MAX];
    for (place, (index, value)) in array.iter_mut().zip(&owned) {
        *place = (&fields[*index], Some(&**value));
    }
    take(&set.value_set(&array))
}

fn boxed(value: &Value) -> Box<dyn FieldValue> {
    match value {
        Value::Bool(value) => Box::new(*value),
        Value::Signed(value) => Box::new(*value),
        Value::Unsigned(value) => Box::new(*value),
        Value::Float(value) => Box::new(*value),
        Value::Text(text) => Box::new(text.clone()),
        Value::Shown(text) => Box::new(display(text.clone())),
    }
}
