//! rtrb: a ring between two threads that spin, as bare as it gets.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::thread;

use procession_bench_harness::{Case, Effort, Outcome, cpu, round_trip, throughput};
use rtrb::{Consumer, Producer, RingBuffer};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run: fn(Effort) -> Outcome| Case::new("pipe", name, "rtrb-threads", run);
    vec![
        case("round-trip-8B-awake", round_trips),
        case("throughput-8B", |effort| one_way(effort, [7_u64; 1])),
        case("throughput-64B", |effort| one_way(effort, [7_u64; 8])),
        case("throughput-1KiB", |effort| one_way(effort, [7_u64; 128])),
    ]
}

/// Spins until there is room.
fn push<T>(producer: &mut Producer<T>, mut value: T) {
    while let Err(rtrb::PushError::Full(back)) = producer.push(value) {
        value = back;
        spin_loop();
    }
}

/// Spins until there is something; `None` at the end.
fn pop<T>(consumer: &mut Consumer<T>) -> Option<T> {
    loop {
        match consumer.pop() {
            Ok(value) => return Some(value),
            Err(_) if consumer.is_abandoned() && consumer.is_empty() => return None,
            Err(_) => spin_loop(),
        }
    }
}

fn round_trips(effort: Effort) -> Outcome {
    let [here, there] = cpu::two()?;
    let ((mut requests, mut inlet), (mut outlet, mut answers)) =
        (RingBuffer::new(1024), RingBuffer::new(1024));
    thread::scope(|scope| {
        let other = scope.spawn(move || -> std::io::Result<()> {
            cpu::pin(there)?;
            while let Some(value) = pop(&mut inlet) {
                push::<u64>(&mut outlet, value);
            }
            Ok(())
        });
        cpu::pin(here)?;
        let figures = round_trip::awake(effort, 200_000, || {
            push(&mut requests, 7);
            pop(&mut answers).map(drop).ok_or("the other thread is gone")
        })?;
        drop(requests);
        other.join().map_err(|_| "the other thread panicked")??;
        Ok(figures)
    })
}

fn one_way<T: Copy + Send>(effort: Effort, message: T) -> Outcome {
    let [here, there] = cpu::two()?;
    let (producer, mut consumer) = RingBuffer::new(1024);
    thread::scope(|scope| {
        let other = scope.spawn(move || -> std::io::Result<()> {
            cpu::pin(there)?;
            while let Some(message) = pop(&mut consumer) {
                black_box(message);
            }
            Ok(())
        });
        cpu::pin(here)?;
        let producer = std::cell::RefCell::new(Some(producer));
        let send = || -> Result<(), Box<dyn Error>> {
            let mut producer = producer.borrow_mut();
            push(producer.as_mut().ok_or("the ring is closed")?, message);
            Ok(())
        };
        let finish = || -> Result<(), Box<dyn Error>> {
            drop(producer.take());
            Ok(other.join().map_err(|_| "the other thread panicked")??)
        };
        throughput::of_messages(effort, size_of::<T>(), send, finish)
    })
}
