//! The worker's side: a subscriber that sends what it is told.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use procession_channel::codec::encode;
use procession_process::link::{Aside, current_call};
use rustix::net::SendFlags;
use tracing::span::{Attributes, Id, Record as NewValues};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::record::{PACKET_LEN_MAX, Place, Record, Values};
use super::{SAID_MAX, Throttle, number};

/// How long nothing is sent after there was no room for something: to wait for room costs time, and must not do so each time.
const SILENCE: Duration = Duration::from_millis(200);

/// Sends what this thread tells into a socket, as long as the guard is there.
pub(crate) fn forward(socket: OwnedFd, aside: Aside) -> DefaultGuard {
    let inner = Inner {
        socket,
        spans: HashMap::new(),
        entered: Vec::new(),
        last: 0,
        throttle: Throttle::new(),
        silent_until: None,
        lost: 0,
    };
    tracing::subscriber::set_default(Forwarder { aside, inner: Mutex::new(inner) })
}

#[derive(Debug)]
struct Forwarder {
    aside: Aside,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    socket: OwnedFd,
    spans: HashMap<u64, Open>,
    /// The spans that this thread is in, the innermost last.
    entered: Vec<u64>,
    /// The number of the last span that was made.
    last: u64,
    throttle: Throttle,
    /// Nobody listens, and nothing is sent before this.
    silent_until: Option<Instant>,
    /// What was not sent and has not been told of.
    lost: u64,
}

#[derive(Debug)]
struct Open {
    handles: usize,
    metadata: &'static Metadata<'static>,
}

impl Forwarder {
    /// Nothing that calls back is called while this is locked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, inner: &mut Inner, record: &Record) {
        if !inner.throttle.allows(SAID_MAX) || !self.write(inner, record) {
            inner.lost += 1;
            return;
        }
        if inner.lost > 0 {
            let lost = Record::Lost { call: current_call(), count: inner.lost };
            if self.write(inner, &lost) {
                inner.lost = 0;
            }
        }
    }

    /// Whether it is sent: it may be too long, or the socket full.
    fn write(&self, inner: &mut Inner, record: &Record) -> bool {
        let mut packet = Vec::new();
        let is_short = encode(record, &mut packet).is_ok() && packet.len() <= PACKET_LEN_MAX;
        if !is_short || inner.silent_until.is_some_and(|end| Instant::now() < end) {
            return false;
        }
        let send = || rustix::net::send(&inner.socket, &packet, SendFlags::NOSIGNAL);
        let is_sent = rustix::io::retry_on_intr(send).is_ok();
        if is_sent {
            self.aside.note();
        }
        inner.silent_until = (!is_sent).then(|| Instant::now() + SILENCE);
        is_sent
    }
}

impl Inner {
    /// The span that this happens in: the one that is named, or the current one if none is.
    fn parent(&self, named: Option<&Id>, is_root: bool) -> Option<u64> {
        let current = || self.entered.last().copied().filter(|_| !is_root);
        named.map(Id::into_u64).or_else(current)
    }
}

impl Subscriber for Forwarder {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // What the parent wants changes.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        u64::from(number(*metadata.level())) <= self.aside.verbosity()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut values = Values::default();
        attributes.record(&mut values);
        let metadata = attributes.metadata();
        let place = Place::of(metadata);
        let mut inner = self.lock();
        inner.last += 1;
        let span = inner.last;
        let parent = inner.parent(attributes.parent(), attributes.is_root());
        inner.spans.insert(span, Open { handles: 1, metadata });
        let record = Record::Open { span, parent, call: current_call(), place, values };
        self.send(&mut inner, &record);
        Id::from_u64(span)
    }

    fn record(&self, span: &Id, new: &NewValues<'_>) {
        let mut values = Values::default();
        new.record(&mut values);
        self.send(&mut self.lock(), &Record::Values { span: span.into_u64(), values });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut values = Values::default();
        event.record(&mut values);
        let place = Place::of(event.metadata());
        let mut inner = self.lock();
        let parent = inner.parent(event.parent(), event.is_root());
        let record = Record::Event { parent, call: current_call(), place, values };
        self.send(&mut inner, &record);
    }

    fn enter(&self, span: &Id) {
        self.lock().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        let mut inner = self.lock();
        if let Some(at) = inner.entered.iter().rposition(|entered| *entered == span.into_u64()) {
            inner.entered.remove(at);
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(open) = self.lock().spans.get_mut(&span.into_u64()) {
            open.handles += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let (mut inner, span) = (self.lock(), span.into_u64());
        let Some(open) = inner.spans.get_mut(&span) else { return false };
        open.handles -= 1;
        let is_last = open.handles == 0;
        if is_last {
            inner.spans.remove(&span);
            self.send(&mut inner, &Record::Close { span });
        }
        is_last
    }

    fn current_span(&self) -> Current {
        let inner = self.lock();
        let Some(&span) = inner.entered.last() else { return Current::none() };
        let open = inner.spans.get(&span);
        open.map_or_else(Current::none, |open| Current::new(Id::from_u64(span), open.metadata))
    }
}
