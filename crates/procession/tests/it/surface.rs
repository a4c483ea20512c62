//! The public surface: that programs can be written as they are meant to be, and that types are what they are meant to be.
//!
//! Most of these tests do not fail, they stop compiling.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressIterator;
use procession::pipe::{self, Connection, Receiver, RecvError, SendError, SendErrorKind, Sender};
use procession::prelude::*;
use procession::sync::{
    Barrier, Condvar, Event, LockError, Mutex, MutexGuard, OnceLock, Permit, RwLock, Semaphore,
};
use procession::{
    Canceller, Exit, Fd, Imap, Job, Limits, PoolError, ProcessError, ProcessHandle, Report,
    SpawnError, SubmitError, doctor,
};

use crate::odd_tree::OddTree;

mod auto_traits;
mod waiting;

/// Any error takes `?`.
fn thumbnail(image: PathBuf) -> procession::Result<PathBuf> {
    let _pixels = fs::read(&image)?;
    Ok(image.with_extension("thumb"))
}

#[test]
fn items_by_reference_with_options_and_errors_as_data() -> procession::Result<()> {
    let tree = OddTree::empty("thumbnails");
    tree.add(b"there.png", b"");
    let images = [tree.root().join("there.png"), tree.root().join("not there.png")];
    let pool = Pool::new()?;
    let job = pool.job().timeout(Duration::from_secs(60));
    let thumbs: Vec<_> = job.imap(thumbnail, &images).collect();
    assert_eq!(thumbs[0].as_ref().unwrap(), &images[0].with_extension("thumb"));
    match &thumbs[1] {
        Err(TaskError::Failed { item: 1, report, .. }) => {
            assert!(report.to_string().contains("No such file"), "{report}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

#[test]
fn functions_are_items_pointers_and_closures_that_capture_nothing() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    assert_eq!(pool.map(|n: u64| n * n, 0..4)?, [0, 1, 4, 9]);
    assert_eq!(pool.map(u64::count_ones, [7, 8])?, [3, 1]);
    let pointer: fn(u64) -> u64 = |n| n + 1;
    assert_eq!(pool.apply(pointer, 1_u64)?, 2);
    assert_eq!(pool.map(|(base, exponent)| power(base, exponent), [(2, 3), (3, 2)])?, [8, 9]);
    assert_eq!(pool.starmap(power, [(2, 3), (3, 2), (10, 0)])?, [8, 9, 1]);
    Ok(())
}

fn join(words: Vec<String>, end: String) -> String {
    words.join(" ") + &end
}

#[test]
fn references_stand_for_clones() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    let words = ["one".to_owned(), "two".to_owned()];
    let pairs = [(words.to_vec(), "!".to_owned())];
    assert_eq!(pool.starmap(join, [(&words[..], "!")])?, ["one two!"]);
    assert_eq!(pool.starmap(join, pairs.iter().map(|(words, end)| (words, end)))?, ["one two!"]);
    assert_eq!(pool.map(|word: String| word.len(), ["one", "three"])?, [3, 5]);
    assert_eq!(pool.map(|word: String| word.len(), &words)?, [3, 3]);
    assert!(pool.apply(|path: PathBuf| path.is_absolute(), std::path::Path::new("/"))?);
    assert_eq!(pool.starmap(join, &pairs)?, ["one two!"]);
    for joined in pool.istarmap(join, &pairs).progress() {
        assert_eq!(joined?, "one two!");
    }
    assert_eq!(pool.istarmap_unordered(join, pairs.iter()).count(), 1);
    let numbers = vec![(2, 3), (3, 2)];
    assert_eq!(pool.starmap(power, &numbers)?.len(), numbers.len());
    assert_eq!(spawn!(join(&words[..], "?"))?.join()?, "one two?");
    Ok(())
}

#[test]
fn a_stream_is_an_iterator_of_known_length() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    let powers: Imap<'_, _, u64> = pool.istarmap(power, vec![(2, 3), (3, 2)]);
    assert_eq!(powers.len(), 2);
    let sum: u64 = powers.progress().sum::<Result<_, _>>()?;
    assert_eq!(sum, 17);
    let mut unordered: Vec<u64> =
        pool.imap_unordered(|n: u64| n * 2, 0..3).collect::<Result<_, _>>()?;
    unordered.sort_unstable();
    assert_eq!(unordered, [0, 2, 4]);
    let endless = pool.imap(|n: u64| n + 1, 0..);
    assert_eq!(endless.take(3).collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    Ok(())
}

#[test]
fn a_context_goes_to_all_items() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    let scale = |factor: &u64, n: u64| factor * n;
    assert_eq!(pool.map_with(&3, scale, 0..3)?, [0, 3, 6]);
    assert_eq!(pool.imap_with(&3, scale, 0..3).collect::<Result<Vec<_>, _>>()?, [0, 3, 6]);
    assert_eq!(pool.imap_unordered_with(&3, scale, 0..3).sum::<Result<u64, _>>()?, 9);
    Ok(())
}

#[test]
fn a_task_is_waited_for_in_many_ways() -> procession::Result<()> {
    let pool = Pool::with_workers(2)?;
    let square = |n: u64| n * n;
    let task: Task<u64> = pool.submit(square, 3)?;
    let canceller: Canceller = task.canceller();
    assert_eq!(task.get()?, 9);
    assert!(!canceller.cancel(), "it was done");
    let mut task = pool.submit(square, 4)?;
    assert_eq!(task.get_timeout(Duration::from_secs(60))?, Some(16));
    assert!(matches!(task.try_get(), Err(TaskError::Taken)));
    let all: Task<Vec<u64>> = pool.map_async(square, [1, 2])?;
    assert_eq!(all.get()?, [1, 4]);
    let (done, result) = std::sync::mpsc::channel();
    pool.submit(square, 5)?.on_done(move |result| done.send(result).unwrap());
    assert_eq!(result.recv()??, 25);
    pool.for_each(|n: u64| assert!(n > 0), [1, 2])?;
    drop(pool.submit(square, 6)?.cancel_on_drop());
    Ok(())
}

#[test]
fn a_pool_ends_by_reference() -> procession::Result<()> {
    let pool = std::sync::Arc::new(Pool::builder().workers(2).backlog(8).name("ends").build()?);
    let job: Job<'_> = pool.job().retries(1).priority(3).window(4).chunk(1);
    assert_eq!(job.map(|n: u64| n, 0..3)?, [0, 1, 2]);
    pool.close();
    assert!(matches!(pool.submit(|n: u64| n, 1), Err(SubmitError::Closed)));
    pool.join();
    assert!(pool.shutdown(Duration::from_secs(60)));
    pool.terminate();
    Ok(())
}

fn doubler(parent: Connection<u64, u64>) -> procession::Result<()> {
    for n in &parent {
        parent.send(n? * 2)?;
    }
    Ok(())
}

#[test]
fn a_pipe_end_is_an_argument() -> procession::Result<()> {
    let (here, there) = pipe::duplex()?;
    let child = Process::spawn(doubler, there)?;
    here.send(21)?;
    assert_eq!(here.recv()?, 42);
    let (sender, receiver): (Sender<u64>, Receiver<u64>) = here.split();
    assert_eq!(receiver.try_recv()?, None);
    assert_eq!(receiver.recv_timeout(Duration::ZERO)?, None);
    sender.send(1)?;
    drop(sender);
    assert_eq!(receiver.into_iter().collect::<Result<Vec<_>, _>>()?, [2]);
    child.join()?;
    Ok(())
}

fn consumer(queue: Queue<u64>, _name: String) -> procession::Result<u64> {
    let mut sum = 0;
    for item in &queue {
        sum += item?;
    }
    Ok(sum)
}

fn producer(queue: Queue<u64>) -> procession::Result<()> {
    queue.put_many(1..=100)?;
    Ok(())
}

#[test]
fn a_queue_has_many_at_both_ends() -> procession::Result<()> {
    if !skips::has_pidfds("surface::a_queue_has_many_at_both_ends") {
        return Ok(());
    }
    let queue = Queue::new()?;
    let consumers = [spawn!(consumer(&queue, "A"))?, spawn!(consumer(&queue, "B"))?];
    Process::spawn(producer, &queue)?.join()?;
    queue.close();
    let [a, b] = consumers.map(Process::join);
    assert_eq!(a? + b?, 5050);
    let bounded: Queue<u64> = Queue::bounded(2)?;
    assert_eq!((bounded.capacity(), bounded.len(), bounded.is_empty()), (Some(2), 0, true));
    bounded.put(1)?;
    bounded.put_timeout(2, Duration::ZERO)?;
    assert!(bounded.is_full() && bounded.try_put(3).is_err());
    drop(bounded.claim()?);
    assert_eq!(bounded.claim()?.done(), 1, "what was claimed and not done is offered again");
    assert_eq!(bounded.get_timeout(Duration::ZERO)?, Some(2));
    assert_eq!(bounded.try_get()?, None);
    let (putter, getter) = (bounded.putter(), bounded.getter());
    drop(bounded);
    putter.put(4)?;
    drop(putter);
    assert_eq!(getter.get()?, 4);
    let end = getter.get().unwrap_err();
    assert!(matches!(end, procession::queue::RecvError::Disconnected), "{end}");
    Ok(())
}

fn scale(factor: &f64, mut part: SharedBuf<f64>) -> SharedBuf<f64> {
    part.as_mut_slice().iter_mut().for_each(|x| *x *= factor);
    part
}

fn sum_of_row(matrix: &SharedSlice<f64>, row: usize) -> f64 {
    matrix[row * 1024..][..1024].iter().sum()
}

#[test]
fn memory_goes_through_a_pool_and_comes_back() -> procession::Result<()> {
    let pool = Pool::builder().workers(2).trusting().build()?;
    let ones = SharedBuf::from_slice(&vec![1.0; 8 * 1024])?.split_into(8);
    let matrix = SharedBuf::unsplit(pool.map_with(&2.0, scale, ones)?)?.freeze()?;
    assert_eq!(pool.map_with(&matrix, sum_of_row, 0..8)?, [2048.0; 8]);
    Ok(())
}

#[test]
fn tasks_are_waited_for_together() -> procession::Result<()> {
    use procession::task::{Until, as_completed, wait};

    let pool = Pool::with_workers(2)?;
    let submit = |n: u64| pool.submit(|n: u64| n * n, n);
    let tasks = (0..4).map(submit).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(wait(&tasks, Until::All, None), [0, 1, 2, 3]);
    for (index, square) in as_completed(tasks) {
        assert_eq!(square?, (index * index) as u64);
    }
    Ok(())
}

#[test]
fn what_is_not_sent_comes_back() -> procession::Result<()> {
    let (sender, receiver) = pipe::builder().capacity(4096).max_message(64).simplex::<String>()?;
    let SendError { kind, value, .. } = sender.send("x".repeat(65)).unwrap_err();
    assert!(matches!(kind, SendErrorKind::TooLarge { .. }) && value.len() == 65);
    drop(receiver);
    let error = sender.try_send("word".to_owned()).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed) && error.value == "word");
    Ok(())
}

#[test]
fn processes_are_named_limited_watched_and_killed() -> procession::Result<()> {
    let builder =
        Process::builder().name("sleeper").daemon(true).limits(Limits::new().open_files(64));
    let mut process = builder.spawn(std::thread::sleep, Duration::from_secs(3600))?;
    assert_eq!(process.name(), "sleeper");
    assert_eq!(process.join_timeout(Duration::ZERO)?, None);
    let handle: ProcessHandle = (*process).clone();
    assert!(handle.is_alive() && handle.exit_status().is_none());
    handle.kill()?;
    assert_eq!(handle.wait(), Exit::Signal(9));
    let died = process.join().unwrap_err();
    assert!(matches!(died, ProcessError::Died { exit: Exit::Signal(9), .. }), "{died}");
    assert_eq!(died.to_string(), format!("process {} died: SIGKILL (killed)", handle.pid()));
    Ok(())
}

#[derive(Shareable)]
struct Everything {
    mutex: Mutex<u64>,
    lock: RwLock<u64>,
    changed: Condvar,
    permits: Semaphore,
    barrier: Barrier,
    event: Event,
    once: OnceLock<u64>,
}

fn use_everything(all: Shared<Everything>) -> procession::Result<()> {
    *all.mutex.lock()? += 1;
    *all.lock.write()? += *all.mutex.lock()?;
    all.changed.notify_all();
    all.permits.acquire()?.forget();
    all.event.set();
    all.once.set(7)?;
    all.barrier.wait()?;
    Ok(())
}

#[test]
fn every_primitive_is_shared() -> procession::Result<()> {
    if !skips::has_pidfds("surface::every_primitive_is_shared") {
        return Ok(());
    }
    let all = Shared::new(Everything {
        mutex: Mutex::new(0),
        lock: RwLock::new(0),
        changed: Condvar::new(),
        permits: Semaphore::new(1),
        barrier: Barrier::new(2),
        event: Event::new(),
        once: OnceLock::new(),
    })?;
    let child = Process::spawn(use_everything, &all)?;
    all.barrier.wait()?;
    child.join()?;
    let guard: MutexGuard<'_, u64> = all.changed.wait_while(all.mutex.lock()?, |n| *n == 0)?;
    assert_eq!((*guard, *all.lock.read()?, all.once.get()), (1, 1, Some(&7)));
    assert!(all.event.is_set() && all.permits.try_acquire()?.is_none());
    all.permits.add_permits(1)?;
    let permit: Permit<'_> = all.permits.acquire()?;
    drop((permit, guard));
    assert!(all.mutex.try_lock()?.is_some() && all.mutex.lock_timeout(Duration::ZERO)?.is_some());
    assert_eq!(*all.mutex.lock_or_reset(|| 0), 1);
    assert_eq!(*all.mutex.lock_or_keep(), 1);
    Ok(())
}

#[test]
fn a_buffer_is_split_filled_united_and_frozen() -> procession::Result<()> {
    let mut parts = SharedBuf::<f64>::zeroed(1 << 10)?.split_into(8);
    for (n, part) in parts.iter_mut().enumerate() {
        part.as_mut_slice().fill(n as f64);
    }
    let matrix = SharedBuf::unsplit(parts)?.freeze()?;
    assert_eq!(matrix.slice(128..256).iter().sum::<f64>(), 128.0);
    assert_eq!(SharedSlice::from_slice(&[1_u8, 2])?[..], [1, 2]);
    Ok(())
}

#[test]
fn the_findings_of_the_doctor_have_names() {
    let report: doctor::Report = doctor();
    let kernel: &doctor::Check = report.get("kernel").unwrap();
    let found: doctor::Status = kernel.status;
    assert!(found == report.worst() || found == doctor::Status::Full, "{report}");
}

#[test]
fn a_failure_is_made_of_anything_and_reported_as_an_error() {
    let failures: [Failure; 4] = [
        "text".into(),
        String::from("string").into(),
        std::io::Error::other("error").into(),
        Failure::msg("message").context("context"),
    ];
    let texts = failures.map(|failure| format!("{:#}", failure.into_report()));
    assert_eq!(texts, ["text", "string", "error", "context: message"]);
    let error: Box<dyn std::error::Error> = Report::msg("report").into();
    assert_eq!(error.to_string(), "report");
}
