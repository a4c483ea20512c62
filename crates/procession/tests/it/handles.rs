//! Pipes, shared memory and files as arguments of processes.

use std::fs::File;
use std::io::{Read, Seek, Write};

use procession::Fd;
use procession::pipe::{self, Connection, Receiver, Sender};
use procession::prelude::*;
use procession::sync::{Barrier, LockError, Mutex};

fn doubler(parent: Connection<u64, u64>) -> procession::Result<()> {
    for n in &parent {
        parent.send(n? * 2)?;
    }
    Ok(())
}

#[test]
fn a_duplex_pipe_connects_parent_and_child() {
    let (here, there) = pipe::duplex::<u64, u64>().unwrap();
    let child = Process::spawn(doubler, there).unwrap();
    for n in 0..1000 {
        here.send(n).unwrap();
        assert_eq!(here.recv().unwrap(), 2 * n);
    }
    drop(here); // the child's loop ends
    child.join().unwrap();
}

fn count(to: Sender<u32>, end: u32) -> procession::Result<()> {
    (0..end).try_for_each(|n| to.send(n))?;
    Ok(())
}

fn sum(from: Receiver<u32>) -> procession::Result<u64> {
    let mut sum = 0;
    for n in from {
        sum += u64::from(n?);
    }
    Ok(sum)
}

#[test]
fn a_simplex_pipe_connects_two_children() {
    let (to, from) = pipe::simplex().unwrap();
    let reader = Process::spawn(sum, from).unwrap();
    spawn!(count(to, 100_000)).unwrap().join().unwrap();
    assert_eq!(reader.join().unwrap(), (0..100_000).sum());
}

fn increment(counter: Shared<Mutex<u64>>) -> procession::Result<()> {
    for _ in 0..100_000 {
        *counter.lock()? += 1;
    }
    Ok(())
}

#[test]
fn four_processes_count_to_exactly_400_000() {
    skips::needs_pidfds!();
    let counter = Shared::new(Mutex::new(0_u64)).unwrap();
    let children: Vec<_> = (0..4).map(|_| Process::spawn(increment, &counter).unwrap()).collect();
    for child in children {
        child.join().unwrap();
    }
    assert_eq!(*counter.lock().unwrap(), 400_000);
}

fn die_holding(lock: Shared<Mutex<u64>>) -> procession::Result<()> {
    let mut guard = lock.lock()?;
    *guard = 13;
    std::process::abort();
}

#[test]
fn a_lock_outlives_the_process_that_held_it() {
    skips::needs_pidfds!();
    let lock = Shared::new(Mutex::new(1_u64)).unwrap();
    let child = Process::spawn(die_holding, &lock).unwrap();
    let pid = child.pid();
    child.join().unwrap_err();
    let error = lock.lock().unwrap_err();
    assert!(matches!(error, LockError::OwnerDied { pid: dead } if dead == pid), "{error}");
    assert_eq!(*lock.lock_or_reset(|| 7), 7);
    assert_eq!(*lock.lock().unwrap(), 7);
}

#[derive(Shareable)]
struct Meeting {
    barrier: Barrier,
    met: Mutex<[u32; 4]>,
}

fn meet(meeting: Shared<Meeting>, number: u32) -> procession::Result<u32> {
    meeting.met.lock()?[number as usize] = number + 1;
    meeting.barrier.wait()?;
    Ok(meeting.met.lock()?.iter().sum())
}

#[test]
fn a_struct_of_primitives_is_shared_by_all() {
    skips::needs_pidfds!();
    let meeting = Meeting { barrier: Barrier::new(4), met: Mutex::new([0; 4]) };
    let meeting = Shared::new(meeting).unwrap();
    let children: Vec<_> = (0..4).map(|n| spawn!(meet(&meeting, n)).unwrap()).collect();
    for child in children {
        assert_eq!(child.join().unwrap(), 10, "everybody saw everybody");
    }
}

fn total(slice: SharedSlice<u64>) -> u64 {
    slice.iter().sum()
}

#[test]
fn a_slice_is_read_by_many_without_a_copy() {
    let numbers: Vec<u64> = (0..1 << 20).collect();
    let slice = SharedSlice::from_slice(&numbers).unwrap();
    let children: Vec<_> = (0..3).map(|_| Process::spawn(total, &slice).unwrap()).collect();
    for child in children {
        assert_eq!(child.join().unwrap(), numbers.iter().sum());
    }
}

fn write_to(file: Fd<File>, text: String) -> procession::Result<()> {
    file.into_inner()?.write_all(text.as_bytes())?;
    Ok(())
}

#[test]
fn a_file_travels() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("a_file_travels");
    let mut file =
        File::create_new(&path).and_then(|_| File::options().read(true).write(true).open(&path));
    std::fs::remove_file(&path).unwrap();
    let file = file.as_mut().unwrap();
    spawn!(write_to(Fd::new(file.try_clone().unwrap()), "from the child")).unwrap().join().unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the child");
}

#[test]
fn a_handle_is_given_to_a_task() {
    let pool = Pool::with_workers(1).unwrap();
    let slice = SharedSlice::from_slice(&[1_u64, 2]).unwrap();
    assert_eq!(pool.apply(total, &slice).unwrap(), 3);
}

type Order = (Shared<Mutex<u64>>, Queue<u64>);

/// Locks what comes through a trusting pipe, and puts what it finds into the queue that came with it.
fn serve_trusted(from: Receiver<Order>) -> procession::Result<()> {
    for order in from {
        let (counter, queue) = order?;
        let mut counter = counter.lock()?;
        *counter += 1;
        queue.put(*counter)?;
    }
    Ok(())
}

#[test]
fn trusting_handles_go_through_a_trusting_pipe() {
    skips::needs_pidfds!();
    let (to, from) = pipe::builder().trusting().simplex::<Order>().unwrap();
    let child = Process::spawn(serve_trusted, from).unwrap();
    let (counter, queue) = (Shared::new(Mutex::new(0)).unwrap(), Queue::new().unwrap());
    for n in 1..=20 {
        to.send((counter.clone(), queue.clone())).unwrap();
        assert_eq!(queue.get().unwrap(), n);
    }
    drop(to);
    child.join().unwrap();
    assert_eq!(*counter.lock().unwrap(), 20);
}

fn make_trusting(_: ()) -> Sender<u8> {
    pipe::builder().trusting().simplex().unwrap().0
}

#[test]
fn an_end_of_a_trusting_pipe_from_a_worker_is_refused_unless_the_pool_trusts_it() {
    let pool = Pool::with_workers(1).unwrap();
    let refused = pool.apply(make_trusting, ()).unwrap_err();
    assert!(matches!(refused, TaskError::Untrusted { .. }), "{refused}");
    let pool = Pool::builder().workers(1).trusting().build().unwrap();
    pool.apply(make_trusting, ()).unwrap();
}

fn hold_and_close_all(lock: Shared<Mutex<u64>>, told: Sender<()>) -> procession::Result<()> {
    let guard = lock.lock()?;
    told.send(())?;
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<i32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let is_open = |number: &i32| std::fs::exists(format!("/proc/self/fd/{number}")).unwrap();
    for number in numbers.into_iter().filter(|number| *number > 2 && is_open(number)) {
        // SAFETY: none. They have owners in this process, who will find them closed, which is what this is about.
        unsafe { rustix::io::close(number) };
    }
    std::thread::sleep(std::time::Duration::from_secs(600));
    drop(guard);
    Ok(())
}

/// As the page of the crash model says: it holds nothing by which others could know that it lives.
#[test]
fn who_closes_all_descriptors_has_left_the_family() {
    skips::needs_pidfds!();
    let lock = Shared::new(Mutex::new(0)).unwrap();
    let (told, hear) = pipe::simplex().unwrap();
    let holder = spawn!(hold_and_close_all(&lock, told)).unwrap();
    hear.recv().unwrap();
    let pid = holder.pid();
    assert!(matches!(lock.lock(), Err(LockError::OwnerDied { pid: dead }) if dead == pid));
    assert!(holder.is_alive());
    *lock.lock_or_reset(|| 1) += 1;
    assert_eq!(*lock.lock().unwrap(), 2);
    holder.kill().unwrap();
    assert!(holder.join().is_err());
}
