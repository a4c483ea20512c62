//! iceoryx2: samples in shared memory, for which both sides spin.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::process;
use std::sync::atomic::Ordering;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use procession_bench_harness::payload::{source, touch};
use procession_bench_harness::twin::fork;
use procession_bench_harness::words::Words;
use procession_bench_harness::{Case, Effort, Outcome, cpu, round_trip, throughput};

type Failed = Box<dyn Error>;
type Out = Publisher<ipc::Service, [u8], ()>;
type In = Subscriber<ipc::Service, [u8], ()>;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run: fn(Effort) -> Outcome| Case::new("pipe", name, "iceoryx2", run);
    vec![
        case("round-trip-8B-awake", round_trips),
        case("throughput-8B", |effort| one_way(effort, 8)),
        case("throughput-64B", |effort| one_way(effort, 64)),
        case("throughput-1KiB", |effort| one_way(effort, 1 << 10)),
        case("throughput-64KiB", |effort| one_way(effort, 1 << 16)),
        case("throughput-1MiB", |effort| one_way(effort, 1 << 20)),
    ]
}

/// As many samples as a ring of some hundred KiB would hold.
fn depth(len: usize) -> usize {
    (512 * 1024 / len).clamp(8, 1024)
}

fn node() -> Result<Node<ipc::Service>, Failed> {
    Ok(NodeBuilder::new().create::<ipc::Service>()?)
}

/// Nothing is lost: who finds the buffer full waits.
macro_rules! service {
    ($node:expr, $name:expr, $depth:expr) => {
        $node
            .service_builder(&ServiceName::new(&$name)?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size($depth)
            .open_or_create()?
    };
}

fn publisher(node: &Node<ipc::Service>, name: &str, len: usize) -> Result<Out, Failed> {
    let service = service!(node, name, depth(len));
    let builder = service.publisher_builder().initial_max_slice_len(len);
    Ok(builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?)
}

fn subscriber(node: &Node<ipc::Service>, name: &str, len: usize) -> Result<In, Failed> {
    Ok(service!(node, name, depth(len)).subscriber_builder().create()?)
}

fn send(publisher: &Out, bytes: &[u8]) -> Result<(), Failed> {
    publisher.loan_slice_uninit(bytes.len())?.write_from_slice(bytes).send()?;
    Ok(())
}

/// Spins until there is something, and says how long it is. One byte is the last.
fn receive(subscriber: &In) -> Result<usize, Failed> {
    loop {
        if let Some(sample) = subscriber.receive()? {
            black_box(touch(&sample));
            return Ok(sample.len());
        }
        spin_loop();
    }
}

fn names() -> [String; 2] {
    ["requests", "answers"].map(|name| format!("procession-peers/{}/{name}", process::id()))
}

/// Both sides wait for each other before anything is sent: a late subscriber would miss it.
fn meet(words: &Words) {
    words.u64(0).fetch_add(1, Ordering::AcqRel);
    while words.u64(0).load(Ordering::Acquire) < 2 {
        spin_loop();
    }
}

fn round_trips(effort: Effort) -> Outcome {
    let ([here, there], words, [requests, answers]) = (cpu::two()?, Words::new()?, names());
    let twin = fork(|| {
        cpu::pin(there)?;
        let node = node()?;
        let (inlet, outlet) = (subscriber(&node, &requests, 8)?, publisher(&node, &answers, 8)?);
        meet(&words);
        while receive(&inlet)? != 1 {
            send(&outlet, &[7; 8])?;
        }
        Ok(())
    })?;
    cpu::pin(here)?;
    let node = node()?;
    let (outlet, inlet) = (publisher(&node, &requests, 8)?, subscriber(&node, &answers, 8)?);
    meet(&words);
    let figures = round_trip::awake(effort, 50_000, || {
        send(&outlet, &[7; 8])?;
        receive(&inlet).map(drop)
    })?;
    send(&outlet, &[0])?;
    twin.join()?;
    Ok(figures)
}

fn one_way(effort: Effort, len: usize) -> Outcome {
    let ([here, there], words, [requests, _]) = (cpu::two()?, Words::new()?, names());
    let done = words.u64(1);
    let twin = fork(|| {
        cpu::pin(there)?;
        let node = node()?;
        let inlet = subscriber(&node, &requests, len)?;
        meet(&words);
        while receive(&inlet)? != 1 {}
        done.store(1, Ordering::Release);
        Ok(())
    })?;
    cpu::pin(here)?;
    let node = node()?;
    let outlet = publisher(&node, &requests, len)?;
    meet(&words);
    let source = source(len);
    let finish = || {
        send(&outlet, &[0])?;
        while done.load(Ordering::Acquire) == 0 {
            spin_loop();
        }
        Ok(())
    };
    let figures = throughput::of_messages(effort, len, || send(&outlet, &source), finish)?;
    twin.join()?;
    Ok(figures)
}
