//! crossbeam-channel: what the same costs between threads.

use std::error::Error;
use std::hint::black_box;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use procession_bench_harness::clock::{now_ns, time_ns};
use procession_bench_harness::payload::{source, touch};
use procession_bench_harness::{Case, Effort, Figure, Outcome, cpu, round_trip, throughput, work};

const NAME: &str = "crossbeam-threads";
const WORKERS: usize = 2;

pub(crate) fn cases() -> Vec<Case> {
    let case = |area, name, run: fn(Effort) -> Outcome| Case::new(area, name, NAME, run);
    vec![
        case("pipe", "round-trip-8B-awake", round_trips),
        case("pipe", "throughput-8B", |effort| one_way(effort, 8, 1024, || [7_u8; 8])),
        case("pipe", "throughput-64B", |effort| one_way(effort, 64, 1024, || [7_u8; 64])),
        case("pipe", "throughput-1KiB", |effort| {
            one_way(effort, 1 << 10, 1024, || [7_u8; 1 << 10])
        }),
        case("pipe", "throughput-64KiB", |effort| vectors(effort, 1 << 16, 32)),
        case("pipe", "throughput-1MiB", |effort| vectors(effort, 1 << 20, 8)),
        case("queue", "2-to-2-64B", two_to_two),
        case("pool", "submit-get-awake", submitted),
        case("pool", "map-200000-one-by-one", mapped),
        case("pool", "echo-64KiB", echoed),
        case("pool", "2000-x-1ms", busy),
    ]
}

fn panicked<T>(_: T) -> Box<dyn Error> {
    "a thread panicked".into()
}

fn round_trips(effort: Effort) -> Outcome {
    let [here, there] = cpu::two()?;
    let ((requests, inlet), (outlet, answers)) = (bounded(1024), bounded(1024));
    thread::scope(|scope| {
        let other = scope.spawn(move || -> std::io::Result<()> {
            cpu::pin(there)?;
            inlet
                .into_iter()
                .try_for_each(|value: u64| outlet.send(value))
                .map_err(std::io::Error::other)
        });
        cpu::pin(here)?;
        let figures = round_trip::awake(effort, 200_000, || -> Result<(), Box<dyn Error>> {
            requests.send(7)?;
            answers.recv()?;
            Ok(())
        })?;
        drop(requests);
        other.join().map_err(panicked)??;
        Ok(figures)
    })
}

fn vectors(effort: Effort, len: usize, depth: usize) -> Outcome {
    let source = source(len);
    one_way(effort, len, depth, || source.clone())
}

fn one_way<T: AsRef<[u8]> + Send>(
    effort: Effort,
    len: usize,
    depth: usize,
    make: impl Fn() -> T,
) -> Outcome {
    let [here, there] = cpu::two()?;
    let ((messages, inlet), (outlet, done)) = (bounded::<T>(depth), bounded(1));
    thread::scope(|scope| {
        let other = scope.spawn(move || -> std::io::Result<()> {
            cpu::pin(there)?;
            let sum: u64 = inlet.into_iter().map(|message| touch(message.as_ref())).sum();
            outlet.send(sum).map_err(std::io::Error::other)
        });
        cpu::pin(here)?;
        let messages = std::cell::RefCell::new(Some(messages));
        let send = || match &*messages.borrow() {
            Some(messages) => messages.send(make()).map_err(|_| "the other thread is gone".into()),
            None => Err("the channel is closed".into()),
        };
        let finish = || {
            drop(messages.take());
            black_box(done.recv()?);
            Ok(())
        };
        let figures = throughput::of_messages(effort, len, send, finish)?;
        other.join().map_err(panicked)??;
        Ok(figures)
    })
}

/// Two threads put and two take.
fn two_to_two(effort: Effort) -> Outcome {
    let (sender, receiver) = bounded::<[u64; 8]>(1024);
    let count = effort.count(4_000_000);
    let start_ns = now_ns();
    let taken: usize = thread::scope(|scope| {
        for sender in [sender.clone(), sender] {
            scope.spawn(move || (0..count / 2).try_for_each(|_| sender.send(black_box([7; 8]))));
        }
        let takers = [receiver.clone(), receiver]
            .map(|inlet| scope.spawn(move || inlet.into_iter().map(black_box).count()));
        takers.into_iter().map(|taker| taker.join().unwrap_or(0)).sum()
    });
    let ns = now_ns() - start_ns;
    if taken as u64 != count / 2 * 2 {
        return Err("messages were lost".into());
    }
    Ok(vec![Figure::rate("messages", count, ns)])
}

/// Threads that apply a function to what comes, and send it back.
fn with_workers<T: Send, R: Send>(
    work: fn(T) -> R,
    run: impl FnOnce(&Sender<T>, &Receiver<R>) -> Outcome,
) -> Outcome {
    let ((tasks, inlet), (outlet, results)) = (unbounded::<T>(), unbounded::<R>());
    thread::scope(|scope| {
        for (inlet, outlet) in [(inlet.clone(), outlet.clone()), (inlet, outlet)] {
            scope.spawn(move || inlet.into_iter().try_for_each(|task| outlet.send(work(task))));
        }
        let outcome = run(&tasks, &results);
        drop(tasks);
        outcome
    })
}

const _: () = assert!(WORKERS == 2);

fn successor(n: i64) -> i64 {
    n + 1
}

fn submitted(effort: Effort) -> Outcome {
    with_workers(successor, |tasks, results| {
        round_trip::awake(effort, 50_000, || -> Result<(), Box<dyn Error>> {
            tasks.send(1)?;
            black_box(results.recv()?);
            Ok(())
        })
    })
}

/// Sends them all and takes them all; gives how long it took.
fn all<T: Send + 'static, R: Send>(
    tasks: &Sender<T>,
    results: &Receiver<R>,
    items: impl ExactSizeIterator<Item = T>,
) -> Result<u64, Box<dyn Error>> {
    let (ns, ran) = time_ns(|| -> Result<(), Box<dyn Error>> {
        let count = items.len();
        items.into_iter().try_for_each(|item| tasks.send(item))?;
        results.iter().take(count).for_each(|result| drop(black_box(result)));
        Ok(())
    });
    ran.map(|()| ns)
}

fn mapped(effort: Effort) -> Outcome {
    let count = effort.count(200_000);
    with_workers(successor, |tasks, results| {
        let items: Vec<i64> = (0..count.cast_signed()).collect();
        let ns = all(tasks, results, items.into_iter())?;
        Ok(vec![Figure::rate("items", count, ns), Figure::ns("wall", ns)])
    })
}

fn echoed(effort: Effort) -> Outcome {
    const LEN: usize = 1 << 16;
    fn same(bytes: Vec<u8>) -> Vec<u8> {
        black_box(touch(&bytes));
        bytes
    }
    let count = effort.count((1 << 30) / LEN as u64);
    let source = source(LEN);
    with_workers(same, |tasks, results| {
        let items = (0..usize::try_from(count)?).map(|_| source.clone());
        let ns = all(tasks, results, items)?;
        Ok(vec![Figure::bandwidth("bytes", 2 * count * LEN as u64, ns)])
    })
}

fn busy(effort: Effort) -> Outcome {
    let (turns, tasks) = (work::turns_of_1ms(), usize::try_from(effort.count(2_000))?);
    with_workers(work::burn, |sender, results| {
        let ns = all(sender, results, std::iter::repeat_n(turns, tasks))?;
        Ok(vec![Figure::ns("wall", ns)])
    })
}
