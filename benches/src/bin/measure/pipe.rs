//! Pipes: one sends, one receives.

use std::cell::Cell;
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use procession::Message;
use procession::pipe::{self, Receiver, RecvError, Sender};
use procession::prelude::*;
use procession_bench_harness::clock::time_ns;
use procession_bench_harness::payload::{self, Record, touch};
use procession_bench_harness::{Case, Effort, Outcome, cpu, round_trip, throughput};

use crate::bare::ring::{PIECE, copied};
use crate::{bare, memory};

const OURS: &str = "procession";

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, contestant, run: fn(Effort) -> Outcome| Case::new("pipe", name, contestant, run);
    vec![
        case("round-trip-8B-awake", OURS, awake),
        case("round-trip-8B-awake", "cache-line", bare::line::round_trips),
        case("round-trip-8B-asleep", OURS, asleep),
        case("round-trip-8B-asleep", "futex", bare::futex::asleep),
        case("throughput-8B", OURS, |effort| values(effort, 8, || 7_u64)),
        case("throughput-8B", "bare-ring", |effort| copied::<8>(effort, 8)),
        case("throughput-64B", OURS, |effort| values(effort, 64, || [7_u64; 8])),
        case("throughput-64B", "bare-ring", |effort| copied::<64>(effort, 64)),
        case("throughput-record", OURS, records),
        case("throughput-1KiB", OURS, |effort| vectors(effort, 1 << 10)),
        case("throughput-1KiB", "procession-bytes", |effort| bytes(effort, 1 << 10)),
        case("throughput-1KiB", "bare-ring", |effort| copied::<1024>(effort, 1 << 10)),
        case("throughput-64KiB", OURS, |effort| vectors(effort, 1 << 16)),
        case("throughput-64KiB", "procession-bytes", |effort| bytes(effort, 1 << 16)),
        case("throughput-64KiB", "bare-ring", |effort| copied::<PIECE>(effort, 1 << 16)),
        case("throughput-64KiB", "memcpy", |effort| memory::copied(effort, 1 << 16)),
        case("throughput-1MiB", OURS, |effort| vectors(effort, 1 << 20)),
        case("throughput-1MiB", "procession-bytes", |effort| bytes(effort, 1 << 20)),
        case("throughput-1MiB", "bare-ring", |effort| copied::<PIECE>(effort, 1 << 20)),
        case("throughput-1MiB", "memcpy", |effort| memory::copied(effort, 1 << 20)),
        case("hand-over", "8B", |effort| handed_over(effort, 7_u64)),
        case("hand-over", "SharedSlice-1GiB", |effort| {
            handed_over(effort, buffer(1 << 30)?.freeze()?)
        }),
        case("hand-over", "SharedBuf-4KiB", |effort| handed_over(effort, buffer(1 << 12)?)),
        case("hand-over", "SharedBuf-1GiB", |effort| handed_over(effort, buffer(1 << 30)?)),
        // Who makes a buffer of 1 GiB for each message has nothing of his own left in the caches.
        case("hand-over-of-new", "8B", |effort| {
            handed_over_new(effort, 10, || buffer(1 << 30).map(|_| 7_u64))
        }),
        case("hand-over-of-new", "SharedBuf-1GiB", |effort| {
            handed_over_new(effort, 10, || buffer(1 << 30))
        }),
    ]
}

/// One side of a pair of pipes, and the processor that it stays on.
type Place<A, B> = (usize, Receiver<A>, Sender<B>);

/// How many processors there are is asked for when somebody waits for the first time. That must come before the pinning, or
/// both sides would believe that there is but one.
const SETTLE: Duration = Duration::from_millis(1);

fn settle<T>(inlet: &Receiver<T>, processor: usize) -> procession::Result<()> {
    inlet.poll(SETTLE);
    Ok(cpu::pin(processor)?)
}

/// This side's ends, and the process that has the others.
type Link<A, B> = (Sender<A>, Receiver<B>, Process<()>);

/// Two pipes to a process that runs `serve` on the second processor; this one is on the first.
fn connect<A: Message, B: Message>(
    serve: fn(Place<A, B>) -> procession::Result<()>,
) -> Result<Link<A, B>, Box<dyn Error>> {
    connect_by(|builder| builder, serve)
}

/// As [`connect`], with pipes that are built so.
fn connect_by<A: Message, B: Message>(
    build: fn(pipe::Builder) -> pipe::Builder,
    serve: fn(Place<A, B>) -> procession::Result<()>,
) -> Result<Link<A, B>, Box<dyn Error>> {
    let [here, there] = cpu::two()?;
    let (requests, inlet) = build(pipe::builder()).simplex()?;
    let (outlet, answers) = build(pipe::builder()).simplex()?;
    let child = Process::spawn(serve, (there, inlet, outlet))?;
    answers.poll(SETTLE);
    cpu::pin(here)?;
    Ok((requests, answers, child))
}

fn awake(effort: Effort) -> Outcome {
    fn echo((processor, requests, answers): Place<u64, u64>) -> procession::Result<()> {
        settle(&requests, processor)?;
        for request in &requests {
            answers.send(request?)?;
        }
        Ok(())
    }
    let (requests, answers, child) = connect(echo)?;
    let figures = round_trip::awake(effort, 200_000, || -> Result<(), Box<dyn Error>> {
        requests.send(7)?;
        answers.recv()?;
        Ok(())
    })?;
    drop(requests);
    child.join()?;
    Ok(figures)
}

/// One side of two pipes that both say of each message for how long it was held.
type Held<T> = Place<T, (T, u64)>;

fn asleep(effort: Effort) -> Outcome {
    handed_over_new(effort, 1_000, || Ok(7_u64))
}

/// A value that goes there and comes back, and finds both sides asleep.
fn handed_over<T: Message>(effort: Effort, value: T) -> Outcome {
    fn hand_back<T: Message>((processor, requests, answers): Held<T>) -> procession::Result<()> {
        settle(&requests, processor)?;
        for request in &requests {
            let request = request?;
            answers.send((request, round_trip::hold())).map_err(|error| error.kind)?;
        }
        Ok(())
    }
    // Only from a process that is trusted is a buffer taken as it is, and not copied.
    let (requests, answers, child) = connect_by(pipe::Builder::trusting, hand_back::<T>)?;
    let mut held = Some(value);
    let figures = round_trip::asleep(effort, 1_000, || -> Result<u64, Box<dyn Error>> {
        let value = held.take().ok_or("there is nothing to send")?;
        requests.send(value).map_err(|error| error.kind)?;
        let (value, held_ns) = answers.recv()?;
        held = Some(value);
        Ok(held_ns)
    })?;
    drop(requests);
    child.join()?;
    Ok(figures)
}

/// A new value each time, which its receiver drops. How long it takes to make and to drop it is another question and is not
/// counted.
fn handed_over_new<T: Message>(
    effort: Effort,
    count: u64,
    make: impl Fn() -> Result<T, Box<dyn Error>>,
) -> Outcome {
    fn hold<T: Message>((processor, requests, answers): Place<T, u64>) -> procession::Result<()> {
        settle(&requests, processor)?;
        for request in &requests {
            let request = request?;
            answers.send(round_trip::hold())?;
            drop(request);
        }
        Ok(())
    }
    let (requests, answers, child) = connect_by(pipe::Builder::trusting, hold::<T>)?;
    let mut next = Some(make()?);
    let figures = round_trip::asleep(effort, count, || -> Result<u64, Box<dyn Error>> {
        let value = next.take().ok_or("there is nothing to send")?;
        requests.send(value).map_err(|error| error.kind)?;
        let held_ns = answers.recv()?;
        let (making_ns, made) = time_ns(&make);
        next = Some(made?);
        Ok(held_ns + making_ns)
    })?;
    drop(requests);
    child.join()?;
    Ok(figures)
}

fn buffer(len: usize) -> Result<SharedBuf<u8>, Box<dyn Error>> {
    Ok(SharedBuf::zeroed(len)?)
}

/// Typed values of `len` bytes.
fn values<T: Message>(effort: Effort, len: usize, make: fn() -> T) -> Outcome {
    fn drain<T: Message>((processor, values, done): Place<T, u64>) -> procession::Result<()> {
        settle(&values, processor)?;
        for value in &values {
            black_box(value?);
        }
        Ok(done.send(0)?)
    }
    one_way(effort, len, drain, |values| Ok(values.send(make()).map_err(|error| error.kind)?))
}

/// Values of several parts, each made by its sender.
fn records(effort: Effort) -> Outcome {
    fn drain((processor, records, done): Place<Record, u64>) -> procession::Result<()> {
        settle(&records, processor)?;
        let mut sum = 0_u64;
        for record in &records {
            sum = sum.wrapping_add(record?.touch());
        }
        Ok(done.send(sum)?)
    }
    let (records, done, child) = connect(drain)?;
    let (count, sum) = (Cell::new(0), Cell::new(0_u64));
    let send = || -> Result<(), Box<dyn Error>> {
        let record = Record::new(count.replace(count.get() + 1));
        sum.set(sum.get().wrapping_add(record.touch()));
        Ok(records.send(record).map_err(|error| error.kind)?)
    };
    let finish = || {
        records.close();
        if done.recv()? == sum.get() {
            Ok(())
        } else {
            Err("the parts have changed on their way".into())
        }
    };
    let figures = throughput::of_messages(effort, payload::RECORD_LEN, send, finish)?;
    child.join()?;
    Ok(figures)
}

/// Vectors of `len` bytes, each made by its sender, as values are.
fn vectors(effort: Effort, len: usize) -> Outcome {
    fn drain((processor, vectors, done): Place<Vec<u8>, u64>) -> procession::Result<()> {
        settle(&vectors, processor)?;
        let sum: u64 = (&vectors)
            .into_iter()
            .map(|vector| Ok(touch(&vector?)))
            .sum::<Result<_, RecvError>>()?;
        Ok(done.send(sum)?)
    }
    let source = payload::source(len);
    one_way(effort, len, drain, |vectors| {
        Ok(vectors.send(source.clone()).map_err(|error| error.kind)?)
    })
}

/// Bytes out of one buffer into another, without any vector.
fn bytes(effort: Effort, len: usize) -> Outcome {
    fn drain((processor, inlet, done): Place<Vec<u8>, u64>) -> procession::Result<()> {
        settle(&inlet, processor)?;
        let (mut buffer, mut sum) = (vec![0; 1 << 20], 0);
        loop {
            match inlet.recv_bytes_into(&mut buffer) {
                Ok(len) => sum += touch(&buffer[..len]),
                Err(RecvError::Closed) => return Ok(done.send(sum)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let source = payload::source(len);
    one_way(effort, len, drain, |outlet| Ok(outlet.send_bytes(&source)?))
}

/// Sends for a while to a process that runs `drain`, which says when it has taken everything.
fn one_way<T: Message>(
    effort: Effort,
    len: usize,
    drain: fn(Place<T, u64>) -> procession::Result<()>,
    send: impl Fn(&Sender<T>) -> Result<(), Box<dyn Error>>,
) -> Outcome {
    let (outlet, done, child) = connect(drain)?;
    let figures = throughput::of_messages(
        effort,
        len,
        || send(&outlet),
        || {
            outlet.close();
            done.recv()?;
            Ok(())
        },
    )?;
    child.join()?;
    Ok(figures)
}
