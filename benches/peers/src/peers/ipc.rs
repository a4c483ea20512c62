//! ipc-channel: a socket between two processes.

use std::error::Error;
use std::hint::black_box;

use ipc_channel::ipc::{self, IpcSender};
use procession_bench_harness::payload::{source, touch};
use procession_bench_harness::twin::fork;
use procession_bench_harness::{Case, Effort, Outcome, cpu, round_trip, throughput};

const TYPED: &str = "ipc-channel";
const BYTES: &str = "ipc-channel-bytes";

/// What ends the other side.
const END: u64 = u64::MAX;

pub(crate) fn cases() -> Vec<Case> {
    let case =
        |name, contestant, run: fn(Effort) -> Outcome| Case::new("pipe", name, contestant, run);
    vec![
        case("round-trip-8B-awake", TYPED, |effort| round_trips(effort, false)),
        case("round-trip-8B-asleep", TYPED, |effort| round_trips(effort, true)),
        case("throughput-8B", TYPED, |effort| typed(effort, 8)),
        case("throughput-64B", BYTES, |effort| bytes(effort, 64)),
        case("throughput-1KiB", BYTES, |effort| bytes(effort, 1 << 10)),
        case("throughput-64KiB", TYPED, |effort| typed(effort, 1 << 16)),
        case("throughput-64KiB", BYTES, |effort| bytes(effort, 1 << 16)),
        case("throughput-1MiB", BYTES, |effort| bytes(effort, 1 << 20)),
    ]
}

fn round_trips(effort: Effort, is_asleep: bool) -> Outcome {
    let [here, there] = cpu::two()?;
    let (requests, inlet) = ipc::channel::<u64>()?;
    let (outlet, answers) = ipc::channel::<u64>()?;
    let twin = fork(|| {
        cpu::pin(there)?;
        while inlet.recv()? != END {
            let answer = if is_asleep { round_trip::hold() } else { 7 };
            outlet.send(answer)?;
        }
        Ok(())
    })?;
    cpu::pin(here)?;
    let exchange = || -> Result<u64, Box<dyn Error>> {
        requests.send(7)?;
        Ok(answers.recv()?)
    };
    let figures = if is_asleep {
        round_trip::asleep(effort, 1_000, exchange)?
    } else {
        round_trip::awake(effort, 10_000, || exchange().map(drop))?
    };
    requests.send(END)?;
    twin.join()?;
    Ok(figures)
}

/// Vectors, through serde. An empty one is the last.
fn typed(effort: Effort, len: usize) -> Outcome {
    let [here, there] = cpu::two()?;
    let (vectors, inlet) = ipc::channel::<Vec<u8>>()?;
    let (outlet, done) = ipc::channel::<u64>()?;
    let twin = fork(|| {
        cpu::pin(there)?;
        drain(|| Ok(inlet.recv()?), &outlet)
    })?;
    cpu::pin(here)?;
    let source = source(len);
    let finish = || {
        vectors.send(Vec::new())?;
        done.recv()?;
        Ok(())
    };
    let figures =
        throughput::of_messages(effort, len, || Ok(vectors.send(source.clone())?), finish)?;
    twin.join()?;
    Ok(figures)
}

/// Bytes as they are.
fn bytes(effort: Effort, len: usize) -> Outcome {
    let [here, there] = cpu::two()?;
    let (messages, inlet) = ipc::bytes_channel()?;
    let (outlet, done) = ipc::channel::<u64>()?;
    let twin = fork(|| {
        cpu::pin(there)?;
        drain(|| Ok(inlet.recv()?), &outlet)
    })?;
    cpu::pin(here)?;
    let source = source(len);
    let finish = || {
        messages.send(&[])?;
        done.recv()?;
        Ok(())
    };
    let figures = throughput::of_messages(effort, len, || Ok(messages.send(&source)?), finish)?;
    twin.join()?;
    Ok(figures)
}

fn drain(
    receive: impl Fn() -> Result<Vec<u8>, Box<dyn Error>>,
    done: &IpcSender<u64>,
) -> Result<(), Box<dyn Error>> {
    loop {
        let bytes = receive()?;
        if bytes.is_empty() {
            return Ok(done.send(END)?);
        }
        black_box(touch(&bytes));
    }
}
