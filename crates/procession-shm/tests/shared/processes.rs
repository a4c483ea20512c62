//! The same handles in real processes: each test starts this binary again, which finds by its environment that it is the
//! other process.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::travel::{Message, UNTRUSTING, receive, send};
use procession_shm::transfer::Trust;
use procession_shm::{SegmentError, Shared, SharedBuf, SharedSlice};
use serde::de::DeserializeOwned;

const MESSAGE: &str = "PROCESSION_TEST_MESSAGE";

/// How the other process ends when all went well there. A run of no test would end with 0.
const DONE: i32 = 42;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// This binary again, running one test, with a message whose one descriptor is its standard input.
fn other_process(test: &str, mut message: Message) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let fd = message.fds.remove(0);
    assert!(message.fds.is_empty(), "one descriptor fits");
    command
        .args([&format!("processes::{test}"), "--exact", "--nocapture"])
        .env(MESSAGE, hex(&message.bytes));
    command.stdin(Stdio::from(fd)).stdout(Stdio::null());
    command
}

/// What was sent to this process, if it is the other one.
fn sent_to_us<T: DeserializeOwned>() -> Option<T> {
    let bytes = unhex(&std::env::var(MESSAGE).ok()?);
    let fds = vec![std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap()];
    Some(receive(Message { bytes, fds }, Trust::Trusting).unwrap())
}

fn copy_of(message: &Message) -> Message {
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    Message { bytes: message.bytes.clone(), fds }
}

#[test]
fn two_processes_count_together() {
    const ROUNDS: u64 = 100_000;
    let count = |counter: &AtomicU64| {
        for _ in 0..ROUNDS {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    if let Some(counter) = sent_to_us::<Shared<AtomicU64>>() {
        count(&counter);
        std::process::exit(DONE);
    }
    let counter = Shared::new(AtomicU64::new(0)).unwrap();
    let mut child = other_process("two_processes_count_together", send(&counter)).spawn().unwrap();
    count(&counter);
    assert_eq!(child.wait().unwrap().code(), Some(DONE));
    assert_eq!(counter.load(Ordering::Relaxed), 2 * ROUNDS);
}

#[test]
fn another_process_fills_the_buffer() {
    if let Some(mut buffer) = sent_to_us::<SharedBuf<u64>>() {
        buffer.as_mut_slice().iter_mut().for_each(|element| *element *= *element);
        std::process::exit(DONE);
    }
    let numbers: Vec<u64> = (0..3000).collect();
    let mut parts = Vec::new();
    for part in SharedBuf::from_slice(&numbers).unwrap().split_into(2) {
        let message = send(part);
        let back = copy_of(&message);
        let status = other_process("another_process_fills_the_buffer", message).status().unwrap();
        assert_eq!(status.code(), Some(DONE));
        parts.push(receive::<SharedBuf<u64>>(back, Trust::Trusting).unwrap());
    }
    let squares = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
    assert!(squares.iter().copied().eq(numbers.iter().map(|number| number * number)));
}

#[test]
fn a_killed_owner_leaves_nothing_behind_that_writes() {
    if let Some(mut buffer) = sent_to_us::<SharedBuf<u64>>() {
        buffer.as_mut_slice()[0] = 1;
        std::process::abort();
    }
    let message = send(SharedBuf::<u64>::zeroed(10).unwrap());
    let back = copy_of(&message);
    let mut command = other_process("a_killed_owner_leaves_nothing_behind_that_writes", message);
    let status = command.stderr(Stdio::null()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6));
    let buffer: SharedBuf<u64> = receive(back, Trust::Trusting).unwrap();
    assert_eq!(buffer.freeze().unwrap()[0], 1);
}

#[test]
fn a_slice_shows_the_same_elements_in_both() {
    if let Some(slice) = sent_to_us::<SharedSlice<u16>>() {
        assert_eq!(slice[..], [20, 30]);
        std::process::exit(DONE);
    }
    let slice = SharedSlice::from_slice(&[10_u16, 20, 30, 40]).unwrap();
    let message = send(slice.slice(1..3));
    let status =
        other_process("a_slice_shows_the_same_elements_in_both", copy_of(&message)).status();
    assert_eq!(status.unwrap().code(), Some(DONE));
    assert!(receive::<SharedSlice<u16>>(message, UNTRUSTING).is_ok());
}

/// The kernel's own answer would be a deadly signal.
#[test]
fn the_file_size_limit_is_an_error() {
    if sent_to_us::<SharedSlice<u8>>().is_some() {
        let limit = rustix::process::Rlimit { current: Some(1 << 20), maximum: None };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
        let (zeroed, copied) =
            (SharedBuf::<u8>::zeroed(2 << 20), SharedSlice::from_slice(&vec![1_u8; 2 << 20]));
        assert!(matches!(zeroed, Err(SegmentError::FileSizeLimit { .. })), "{zeroed:?}");
        assert!(matches!(copied, Err(SegmentError::FileSizeLimit { .. })));
        assert!(SharedBuf::<u8>::zeroed(1 << 20).is_ok());
        std::process::exit(DONE);
    }
    let message = send(SharedSlice::from_slice(&[0_u8]).unwrap());
    let status = other_process("the_file_size_limit_is_an_error", message).status().unwrap();
    assert_eq!(status.code(), Some(DONE));
}
