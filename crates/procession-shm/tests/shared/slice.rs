//! `SharedSlice`: constant for ever, and the receiver makes sure.

use std::os::fd::OwnedFd;

use crate::travel::{UNTRUSTING, forged, receive, send, travel};
use procession_shm::transfer::{TransferError, Trust};
use procession_shm::{SegmentError, SharedBuf, SharedSlice, page_size};
use rustix::fs::{MemfdFlags, SealFlags};

const ALL: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

fn numbers(len: u32) -> Vec<u32> {
    (0..len).collect()
}

fn memfd(len: usize, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create(c"forged", MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(rustix::io::pwrite(&fd, &vec![7; len], 0), Ok(len));
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn received(fd: OwnedFd, offset: u64, len: u64) -> Result<SharedSlice<u32>, TransferError> {
    receive(forged(fd, offset, len), UNTRUSTING)
}

#[test]
fn it_reads_like_a_slice() {
    let slice = SharedSlice::from_slice(&numbers(10)).unwrap();
    assert_eq!(*slice, numbers(10)[..]);
    assert_eq!(slice.iter().sum::<u32>(), 45);
    assert_eq!((&slice).into_iter().count(), 10);
    assert_eq!(format!("{:?}", slice.slice(..2)), "[0, 1]");
    assert_eq!(slice.clone(), slice);
}

#[test]
fn parts_are_parts() {
    let slice = SharedSlice::from_slice(&numbers(10)).unwrap();
    assert_eq!(slice.slice(2..5)[..], [2, 3, 4]);
    assert_eq!(slice.slice(2..=5).slice(1..)[..], [3, 4, 5]);
    assert_eq!(slice.slice(..).len(), 10);
    assert!(slice.slice(10..).is_empty());
    let part = slice.slice(9..);
    drop(slice);
    assert_eq!(part[..], [9], "a part keeps the memory");
}

#[test]
#[should_panic(expected = "out of range")]
fn a_part_beyond_the_end_panics_like_an_index() {
    drop(SharedSlice::from_slice(&[1_u8]).unwrap().slice(..3));
}

#[test]
fn no_elements_need_no_memory() {
    let empty = SharedSlice::<u64>::from_slice(&[]).unwrap();
    assert!(empty.is_empty());
    let message = send(empty);
    assert!(message.fds.is_empty());
    assert!(receive::<SharedSlice<u64>>(message, UNTRUSTING).unwrap().is_empty());
}

#[test]
fn it_travels_whole_and_in_parts() {
    let slice = SharedSlice::from_slice(&numbers(5000)).unwrap();
    let part = slice.slice(3001..4999);
    let both: (SharedSlice<u32>, SharedSlice<u32>) = travel((&slice, &part));
    assert_eq!(both, (slice, part));
    let again: SharedSlice<u32> = travel(both.1.slice(500..));
    assert_eq!(again[0], 3501);
}

#[test]
fn clones_and_parts_share_one_descriptor() {
    let slice = SharedSlice::from_slice(&numbers(10)).unwrap();
    assert_eq!(send((&slice, slice.clone(), slice.slice(3..))).fds.len(), 1);
}

#[test]
fn it_comes_from_strangers() {
    let slice = SharedSlice::from_slice(&numbers(5000)).unwrap();
    let got: SharedSlice<u32> = receive(send(&slice), UNTRUSTING).unwrap();
    assert_eq!(got, slice);
}

#[test]
fn memory_that_may_change_is_refused() {
    assert!(received(memfd(64, ALL), 0, 16).is_ok());
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE, SealFlags::SEAL] {
        let result = received(memfd(64, ALL - missing), 0, 16);
        let refused = matches!(result, Err(TransferError::Memory(SegmentError::Foreign { .. })));
        assert!(refused, "without {missing:?}: {result:?}");
    }
    let future = (ALL - SealFlags::WRITE) | SealFlags::FUTURE_WRITE;
    assert!(received(memfd(64, future), 0, 16).is_err(), "an old mapping could still write");
}

#[test]
fn a_buffer_that_was_not_frozen_is_refused() {
    let message = send(SharedBuf::from_slice(&numbers(4)).unwrap());
    assert!(receive::<SharedSlice<u32>>(message, Trust::Trusting).is_err());
}

#[test]
fn lies_about_size_and_place_are_refused() {
    for (offset, len) in
        [(0, 17), (64, 1), (60, 2), (0, 1 << 62), (u64::MAX - 3, 1), (2, 1), (0, 0)]
    {
        let result = received(memfd(64, ALL), offset, len);
        assert!(
            matches!(result, Err(TransferError::Malformed { .. })),
            "{offset} {len}: {result:?}"
        );
    }
    assert_eq!(received(memfd(64, ALL), 60, 1).unwrap()[..], [0x0707_0707]);
}

#[test]
fn a_descriptor_that_did_not_come_is_refused() {
    let mut message = forged(memfd(64, ALL), 0, 1);
    message.fds.clear();
    let result = receive::<SharedSlice<u32>>(message, UNTRUSTING);
    assert!(
        matches!(result, Err(TransferError::NoDescriptor { index: 0, count: 0 })),
        "{result:?}"
    );
}

#[test]
fn memory_without_pages_behind_it_is_refused() {
    let fd = rustix::fs::memfd_create(c"forged", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, 1 << 44).unwrap();
    rustix::fs::fcntl_add_seals(&fd, ALL).unwrap();
    let result = received(fd, 0, 1 << 40);
    assert!(matches!(result, Err(TransferError::Memory(_))), "{result:?}");
}

#[test]
fn a_part_far_inside_is_mapped_from_its_page_on() {
    let elements = page_size() / 4;
    let slice = SharedSlice::from_slice(&numbers(5 * u32::try_from(elements).unwrap())).unwrap();
    let part: SharedSlice<u32> = travel(slice.slice(3 * elements + 5..3 * elements + 7));
    assert_eq!(part[..], slice[3 * elements + 5..3 * elements + 7]);
}
