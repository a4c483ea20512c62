//! `procession_channel`: ring, bell and gate.
//!
//! A message is its length and then so many bytes that follow from its number. The reader's or writer's sleep ends by the
//! bell or, as in a pool, by a death word that whoever notices the death moves and wakes.

use std::io;

use procession_channel::bell::{AT_ONCE, Bell};
use procession_channel::gate::Gate;
use procession_channel::ring::{Consumer, Memory, Producer, Ring};
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::sync::one_sided::{Fences, enlist};
use procession_shm::{Deadline, Segment, Watch, page_size, wait, wake_all};

use super::{ALONE, NOBODY, SLEEPER};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Place, Plot, Scene};

const CAPACITY: usize = 4096;
const BODY_LEN: usize = 24;
const MESSAGE_LEN: usize = 8 + BODY_LEN;
/// So many messages fill the ring.
const FULL: u64 = (CAPACITY / MESSAGE_LEN) as u64;

/// The reader comes between kill point and death, and reads on after it.
const READER_AT_POINT: Plot =
    Plot { setting: "reader at the point", at_point: &[Role::Sleeper], ..NOBODY };
/// The writer has filled the ring and looks after the death.
const WRITER_BUSY: Plot = Plot { setting: "alone", first: &[Role::Holder], ..NOBODY };
/// The writer sleeps because the ring is full.
const WRITER_ASLEEP: Plot = Plot { setting: "sleeper", first: &[Role::Sleeper], ..NOBODY };
/// The parent takes items back between kill point and death.
const REVOKED: Plot = Plot { setting: "barger", at_point: &[Role::Barger], ..ALONE };

pub(super) fn cases() -> Vec<Case> {
    let sleeper = Plot { late: &[], ..SLEEPER };
    let reader = [ALONE, sleeper, READER_AT_POINT];
    let producers = reader.into_iter().map(|plot| Case::new("ring producer", plot, Channel::build));
    let writer = [WRITER_BUSY, WRITER_ASLEEP];
    let consumers = writer.into_iter().map(|plot| Case::new("ring consumer", plot, Drain::build));
    let gates = [ALONE, REVOKED];
    let gates = gates.into_iter().map(|plot| Case::new("gate begin", plot, Start::build));
    producers.chain(consumers).chain(gates).collect()
}

/// The ring, which each process maps for itself, and the word by which a death is told.
struct Pipe {
    ring: Ring,
    segment: Segment,
    deaths: ForkShared<AtomicU32>,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (ring, segment) = Ring::new(CAPACITY).map_err(io::Error::other)?;
        Ok(Self { ring, segment, deaths: ForkShared::new(AtomicU32::new(0))? })
    }

    fn open(&self) -> Result<Ring, String> {
        Ring::over(&self.segment).map_err(|error| error.to_string())
    }

    fn views(&self) -> Vec<View> {
        let start = self.ring.tail().as_ptr().cast_const().cast();
        // SAFETY: the tail is at the start of the mapping of the head page and the bytes, which the pipe keeps.
        vec![unsafe { View::new(start, page_size() + CAPACITY) }]
    }

    fn tell_death(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
        wake_all(&self.deaths, false);
    }

    /// Sleeps until the bell rings or somebody dies, unless there is news or a death already.
    fn sleep(&self, bell: Bell<'_>, has_news: impl FnOnce() -> bool) {
        bell.announce(AT_ONCE);
        if !has_news() && !self.is_death_told() {
            wait(&[bell.watch(AT_ONCE), Watch::shared(&self.deaths, 0)], &Deadline::NEVER);
        }
        bell.retract();
    }

    fn is_death_told(&self) -> bool {
        self.deaths.load(Ordering::SeqCst) != 0
    }
}

fn body(number: u64) -> [u8; BODY_LEN] {
    std::array::from_fn(|at| (number * 31 + at as u64 + 1).to_le_bytes()[0])
}

fn send(producer: &mut Producer, number: u64) -> Result<(), String> {
    let header = (BODY_LEN as u64).to_le_bytes();
    for bytes in [&header[..], &body(number)] {
        let written = producer.write(bytes).map_err(|error| error.to_string())?;
        if written != bytes.len() {
            return Err("the ring is full".to_owned());
        }
    }
    producer.publish();
    Ok(())
}

/// Reads the next message if there is one. It must be whole, and the one after the last.
fn receive(consumer: &mut Consumer, next: &mut u64) -> Result<bool, String> {
    match consumer.available().map_err(|error| error.to_string())? {
        0 => return Ok(false),
        len if len < MESSAGE_LEN => return Err(format!("{len} bytes of a message")),
        _ => {}
    }
    let mut bytes = Vec::new();
    consumer.read(MESSAGE_LEN, &mut bytes);
    consumer.release();
    let (header, text) = bytes.split_at(8);
    if header != (BODY_LEN as u64).to_le_bytes() || text != body(*next) {
        return Err(format!("message {next} is garbled: {bytes:?}"));
    }
    *next += 1;
    Ok(true)
}

/// A producer is killed while it sends its second message.
struct Channel(Pipe);

impl Channel {
    fn build() -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self(Pipe::new()?)))
    }

    /// Reads until the producer is dead and nothing more can come.
    fn read_to_the_end(&self) -> Result<String, String> {
        let mut consumer = Consumer::new(self.0.open()?);
        let mut next = 0;
        loop {
            let is_last = self.0.is_death_told();
            while receive(&mut consumer, &mut next)? {}
            if is_last {
                return Ok(next.to_string());
            }
            let ring = consumer.memory().clone();
            self.0.sleep(ring.reader_bell(), || consumer.available() != Ok(0));
        }
    }
}

impl Scene for Channel {
    fn views(&self) -> Vec<View> {
        self.0.views()
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role != Role::Victim {
            return self.read_to_the_end();
        }
        let mut producer = Producer::new(self.0.open()?);
        send(&mut producer, 0)?;
        producer.memory().reader_bell().ring(AT_ONCE);
        cue.operate(|| {
            let sent = send(&mut producer, 1);
            producer.memory().reader_bell().ring(AT_ONCE);
            sent
        })??;
        Ok(String::new())
    }

    fn after_death(&self) {
        self.0.tell_death();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let sent = self.0.ring.tail().load(Ordering::SeqCst) / MESSAGE_LEN as u64;
        let may_be = match ending.place {
            Place::First => sent == 1,
            Place::Last => sent == 2,
            Place::Inside => sent == 1 || sent == 2,
        };
        if may_be && ending.all().all(|read| read == sent.to_string()) {
            return Ok(());
        }
        Err(format!("{sent} messages were committed"))
    }
}

/// A consumer is killed while it takes its first message out of a full ring.
struct Drain(Pipe);

impl Drain {
    fn build() -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self(Pipe::new()?)))
    }

    fn fill(&self) -> Result<Producer, String> {
        let mut producer = Producer::new(self.0.open()?);
        (0..FULL).try_for_each(|number| send(&mut producer, number))?;
        Ok(producer)
    }

    /// Says how much room there is once the consumer is dead.
    fn write(&self, role: Role, cue: &Cue) -> Result<String, String> {
        let mut producer = self.fill()?;
        if role == Role::Holder {
            cue.hold()?;
        }
        while role == Role::Sleeper && !self.0.is_death_told() {
            let ring = producer.memory().clone();
            self.0.sleep(ring.writer_bell(), || producer.free() != Ok(0));
        }
        producer.free().map(|room| room.to_string()).map_err(|error| error.to_string())
    }
}

impl Scene for Drain {
    fn views(&self) -> Vec<View> {
        self.0.views()
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role != Role::Victim {
            return self.write(role, cue);
        }
        let mut consumer = Consumer::new(self.0.open()?);
        let mut next = 0;
        cue.operate(|| {
            let received = receive(&mut consumer, &mut next);
            consumer.memory().writer_bell().ring(AT_ONCE);
            received
        })??;
        Ok(String::new())
    }

    fn after_death(&self) {
        self.0.tell_death();
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let taken = self.0.ring.head().load(Ordering::SeqCst);
        let (whole, all) = (MESSAGE_LEN as u64, FULL * MESSAGE_LEN as u64);
        let may_be = match ending.place {
            Place::First => taken == 0,
            Place::Last => taken == whole,
            Place::Inside => taken == 0 || taken == whole,
        };
        let is_all_there = self.0.ring.tail().load(Ordering::SeqCst) == all;
        if may_be && is_all_there && ending.all().all(|room| room == taken.to_string()) {
            return Ok(());
        }
        Err(format!("{taken} bytes were taken"))
    }
}

/// A worker is killed while it begins an item.
struct Start {
    started: ForkShared<AtomicU64>,
    ruling: ForkShared<AtomicU64>,
}

impl Start {
    fn build() -> io::Result<Box<dyn Scene>> {
        let word = || ForkShared::new(AtomicU64::new(0));
        Ok(Box::new(Self { started: word()?, ruling: word()? }))
    }

    fn gate(&self, fences: Fences) -> Gate<'_> {
        Gate::new(&self.started, &self.ruling, fences)
    }
}

impl Scene for Start {
    fn views(&self) -> Vec<View> {
        vec![self.started.view(), self.ruling.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        match role {
            Role::Victim => {
                // As a worker that goes along with what its parent offers, if it can.
                let fences = if enlist() { Fences::offer() } else { Fences::Mutual };
                let gate = self.gate(fences);
                cue.operate(|| gate.begin(0)).map(|began| began.to_string())
            }
            _ => match self.gate(Fences::offer()).revoke() {
                Some(started) => Ok(started.to_string()),
                None => Err("the fence was granted before".to_owned()),
            },
        }
    }

    fn judge(&self, ending: &Ending) -> Result<(), String> {
        let gate = self.gate(Fences::offer());
        let started = gate.started();
        let may_be = match ending.place {
            Place::First => started == 0,
            Place::Last => started == 1,
            Place::Inside => started <= 1,
        };
        let agreed = ending.all().all(|seen| seen == started.to_string());
        if may_be && agreed && gate.is_revoked() { Ok(()) } else { Err(format!("{gate:?}")) }
    }
}
