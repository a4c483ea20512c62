//! `SharedBuf`: one owner at a time, here or elsewhere, until it is frozen.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::travel::{Message, UNTRUSTING, duplicates, encode, forged, receive, send, travel};
use procession_shm::transfer::{TransferError, Trust};
use procession_shm::{
    FreezeErrorKind, SegmentError, SharedBuf, SharedSlice, UnsplitErrorKind, page_size,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

fn counted(len: usize) -> SharedBuf<u64> {
    let mut buffer = SharedBuf::zeroed(len).unwrap();
    (0..).zip(buffer.as_mut_slice()).for_each(|(number, element)| *element = number);
    buffer
}

/// A writable mapping as a process would have that did not let go.
fn map_writable(fd: impl AsFd) -> Result<*mut std::ffi::c_void, Errno> {
    let (protection, len) = (ProtFlags::READ | ProtFlags::WRITE, page_size());
    // SAFETY: the kernel picks addresses at which nothing is mapped.
    unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, fd, 0) }
}

fn unmap(at: *mut std::ffi::c_void) {
    // SAFETY: `map_writable` mapped one page there, which nobody refers to.
    unsafe { rustix::mm::munmap(at, page_size()) }.unwrap();
}

#[test]
fn it_starts_as_zeros_or_as_a_copy() {
    assert_eq!(SharedBuf::<u32>::zeroed(5).unwrap().as_mut_slice(), [0; 5]);
    let mut copy = SharedBuf::from_slice(&[1.5, 2.5]).unwrap();
    copy.as_mut_slice()[0] += 1.0;
    assert_eq!(copy.as_mut_slice(), [2.5, 2.5]);
    assert_eq!((copy.len(), copy.is_empty()), (2, false));
    assert_eq!(format!("{copy:?}"), "SharedBuf { len: 2, .. }");
}

#[test]
fn no_elements_are_no_error() {
    let mut empty = SharedBuf::<u64>::zeroed(0).unwrap();
    assert!(empty.is_empty() && empty.as_mut_slice().is_empty());
    let message = send(SharedBuf::<u64>::from_slice(&[]).unwrap());
    assert!(message.fds.is_empty());
    let mut parts = receive::<SharedBuf<u64>>(message, UNTRUSTING).unwrap().split_into(3);
    assert_eq!(parts.len(), 3);
    assert!(parts[2].as_mut_slice().is_empty());
    assert!(SharedBuf::unsplit(parts).unwrap().freeze().unwrap().is_empty());
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    assert!(matches!(SharedBuf::<u64>::zeroed(usize::MAX), Err(SegmentError::TooLarge { .. })));
    let more_than_there_is = SharedBuf::<u64>::zeroed(1 << 43);
    assert!(matches!(more_than_there_is, Err(SegmentError::OutOfMemory { .. })));
}

#[test]
fn parts_are_even_and_in_order() {
    let lengths =
        |len, n| counted(len).split_into(n).iter().map(SharedBuf::len).collect::<Vec<_>>();
    assert_eq!(lengths(10, 3), [4, 3, 3]);
    assert_eq!(lengths(2, 4), [1, 1, 0, 0]);
    assert_eq!(lengths(6, 1), [6]);
    let mut parts = counted(10).split_into(3);
    assert_eq!(parts[1].as_mut_slice(), [4, 5, 6]);
}

#[test]
#[should_panic(expected = "no parts")]
fn no_parts_are_a_mistake() {
    counted(3).split_into(0);
}

#[test]
fn parts_go_together_again() {
    let mut parts = counted(1000).split_into(7);
    for part in &mut parts {
        part.as_mut_slice().iter_mut().for_each(|element| *element *= 2);
    }
    let mut whole = SharedBuf::unsplit(parts).unwrap();
    assert!(whole.as_mut_slice().iter().copied().eq((0..1000).map(|number| 2 * number)));
}

#[test]
fn parts_of_parts_go_together_again() {
    let mut parts = counted(100).split_into(4);
    let second = parts.remove(1).split_into(3);
    parts.insert(1, SharedBuf::unsplit(second).unwrap());
    let frozen = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
    assert!(frozen.iter().copied().eq(0..100));
}

#[test]
fn parts_that_travelled_go_together_again() {
    let len = 3 * page_size() / 8 + 11;
    let mut parts = Vec::new();
    for part in counted(len).split_into(5) {
        let mut part: SharedBuf<u64> = travel(part);
        part.as_mut_slice().iter_mut().for_each(|element| *element += 1);
        parts.push(travel::<_, SharedBuf<u64>>(part));
    }
    let frozen = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
    assert!(frozen.iter().copied().eq((0..len as u64).map(|number| number + 1)));
}

#[test]
fn a_part_travels_beside_one_that_stays() {
    let mut parts = counted(10).split_into(2).into_iter();
    let (mut stays, leaves) = (parts.next().unwrap(), parts.next().unwrap());
    let mut arrived: SharedBuf<u64> = travel(leaves);
    arrived.as_mut_slice().fill(7);
    stays.as_mut_slice().fill(1);
    let mut whole = SharedBuf::unsplit([stays, arrived]).unwrap();
    assert_eq!(whole.as_mut_slice(), [1, 1, 1, 1, 1, 7, 7, 7, 7, 7]);
}

#[test]
fn parts_that_do_not_fit_come_back() {
    let wrong_order = counted(9).split_into(3).into_iter().rev();
    let error = SharedBuf::unsplit(wrong_order).unwrap_err();
    assert!(matches!(error.kind(), UnsplitErrorKind::NotAdjacent { index: 1 }), "{error}");
    let mut parts = error.into_parts();
    parts.reverse();
    let with_a_gap = [parts.remove(0), parts.remove(1)];
    let error = SharedBuf::unsplit(with_a_gap).unwrap_err();
    assert!(matches!(error.kind(), UnsplitErrorKind::NotAdjacent { index: 1 }), "{error}");
    let mut back = error.into_parts();
    assert_eq!(back[1].as_mut_slice(), [6, 7, 8], "they are as they were");

    let error = SharedBuf::unsplit([counted(3), counted(3)]).unwrap_err();
    assert!(matches!(error.kind(), UnsplitErrorKind::OtherMemory { index: 1 }), "{error}");
    assert_eq!(error.into_parts().len(), 2);
}

#[test]
fn frozen_memory_cannot_be_written_by_anybody() {
    let buffer = counted(4);
    // Somebody had the descriptor before.
    let (bytes, outgoing) = encode(&buffer).unwrap();
    let kept = duplicates(&outgoing).remove(0);
    drop((bytes, outgoing));

    let frozen: SharedSlice<u64> = buffer.freeze().unwrap();
    assert_eq!(frozen[..], [0, 1, 2, 3]);
    assert_eq!(map_writable(&kept), Err(Errno::PERM));
    assert_eq!(rustix::io::pwrite(&kept, b"x", 0), Err(Errno::PERM));
    assert_eq!(rustix::fs::ftruncate(&kept, 0), Err(Errno::PERM));
    let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    assert_eq!(rustix::fs::fallocate(&kept, hole, 0, 4096), Err(Errno::PERM));
    assert!(forged_buffer(kept).is_err(), "nor taken for a buffer");
}

fn forged_buffer(fd: std::os::fd::OwnedFd) -> Result<SharedBuf<u64>, TransferError> {
    receive(forged(fd, 0, 4), Trust::Trusting)
}

#[test]
fn somebody_who_still_writes_keeps_it_from_freezing() {
    let buffer = counted(4);
    let (_, outgoing) = encode(&buffer).unwrap();
    let kept = duplicates(&outgoing).remove(0);
    drop(outgoing);
    let elsewhere = map_writable(&kept).unwrap();

    let error = buffer.freeze().unwrap_err();
    assert!(matches!(error.kind(), FreezeErrorKind::Busy), "{error}");
    let mut buffer = error.into_buffer();
    buffer.as_mut_slice()[0] = 9;

    unmap(elsewhere);
    assert_eq!(buffer.freeze().unwrap()[..], [9, 1, 2, 3]);
}

#[test]
fn a_part_cannot_be_frozen_alone() {
    let mut parts = counted(10).split_into(2);
    let error = parts.pop().unwrap().freeze().unwrap_err();
    assert!(matches!(error.kind(), FreezeErrorKind::Part), "{error}");
    parts.push(error.into_buffer());
    assert_eq!(SharedBuf::unsplit(parts).unwrap().freeze().unwrap().len(), 10);
}

#[test]
fn a_message_takes_the_buffer_away() {
    let buffer = counted(4);
    let (bytes, outgoing) = encode(&buffer).unwrap();
    let again = encode(&buffer).unwrap_err();
    assert!(matches!(again, TransferError::Moved { handle: "SharedBuf" }), "{again}");
    outgoing.commit();
    assert!(matches!(encode(&buffer), Err(TransferError::Moved { .. })));
    assert_eq!(buffer.len(), 4);
    let error = buffer.freeze().unwrap_err();
    assert!(matches!(error.kind(), FreezeErrorKind::Moved));
    let error = SharedBuf::unsplit([counted(1), error.into_buffer()]).unwrap_err();
    assert!(matches!(error.kind(), UnsplitErrorKind::Moved { index: 1 }));
    assert!(!bytes.is_empty());
}

#[test]
#[should_panic(expected = "already sent to another process")]
fn there_is_no_access_to_what_was_sent() {
    let mut buffer = Rc::new(counted(4));
    encode(&*buffer).unwrap().1.commit();
    Rc::get_mut(&mut buffer).unwrap().as_mut_slice();
}

#[test]
#[should_panic(expected = "already sent to another process")]
fn what_is_in_a_message_cannot_be_looked_at() {
    let mut buffer = counted(4);
    let _in_flight = encode(&buffer).unwrap();
    buffer.as_mut_slice();
}

#[test]
#[should_panic(expected = "already sent to another process")]
fn what_was_sent_cannot_be_split() {
    let buffer = counted(4);
    encode(&buffer).unwrap().1.commit();
    buffer.split_into(2);
}

#[test]
fn a_message_that_fails_gives_the_buffer_back() {
    let mut buffer = counted(4);
    drop(encode(&buffer).unwrap());
    assert_eq!(buffer.as_mut_slice(), [0, 1, 2, 3]);

    let twice = Arc::new(buffer);
    let error = encode(&(&*twice, &*twice)).unwrap_err();
    assert!(matches!(error, TransferError::Moved { .. }), "{error}");
    let mut buffer = Arc::into_inner(twice).unwrap();
    assert_eq!(buffer.as_mut_slice(), [0, 1, 2, 3]);
    let mut arrived: SharedBuf<u64> = travel(buffer);
    assert_eq!(arrived.as_mut_slice(), [0, 1, 2, 3]);
}

#[test]
fn the_receiver_can_freeze_before_the_sender_has_returned() {
    let buffer = counted(4);
    let (bytes, outgoing) = encode(&buffer).unwrap();
    let fds = duplicates(&outgoing);
    outgoing.commit();
    let arrived: SharedBuf<u64> = receive(Message { bytes, fds }, Trust::Trusting).unwrap();
    assert_eq!(arrived.freeze().unwrap()[..], [0, 1, 2, 3]);
    drop(buffer);
}

#[test]
fn from_a_stranger_it_is_a_copy() {
    let message = send(counted(4));
    let kept = message.fds[0].try_clone().unwrap();
    let mut arrived: SharedBuf<u64> = receive(message, UNTRUSTING).unwrap();
    assert_eq!(rustix::io::pwrite(&kept, &[0xff; 32], 0), Ok(32));
    assert_eq!(arrived.as_mut_slice(), [0, 1, 2, 3]);
    assert_eq!(arrived.freeze().unwrap()[..], [0, 1, 2, 3], "nobody else has it");
}

#[test]
fn from_a_stranger_a_part_is_a_copy_of_that_part() {
    let part = counted(2000).split_into(4).remove(2);
    let mut arrived: SharedBuf<u64> = receive(send(part), UNTRUSTING).unwrap();
    assert!(arrived.as_mut_slice().iter().copied().eq(1000..1500));
}

#[test]
fn strangers_cannot_have_us_copy_without_limit() {
    let parts = || counted(100).split_into(2);
    let limit = |copy_bytes_max| Trust::Untrusting { copy_bytes_max };
    assert!(receive::<Vec<SharedBuf<u64>>>(send(parts()), limit(800)).is_ok());
    let result = receive::<Vec<SharedBuf<u64>>>(send(parts()), limit(799));
    let refused = matches!(result, Err(TransferError::CopyLimit { len: 400, left: 399 }));
    assert!(refused, "{result:?}");
}

#[test]
fn lies_about_size_and_place_are_refused() {
    for trust in [Trust::Trusting, UNTRUSTING] {
        for (offset, len) in [(0, 5), (32, 1), (0, u64::MAX), (u64::MAX - 7, 1), (4, 1), (0, 0)] {
            let fd = send(counted(4)).fds.remove(0);
            let result = receive::<SharedBuf<u64>>(forged(fd, offset, len), trust);
            let refused = matches!(result, Err(TransferError::Malformed { .. }));
            assert!(refused, "{offset} {len}: {result:?}");
        }
    }
}

#[test]
fn a_large_one_is_touched_only_where_it_is_used() {
    const LEN: usize = 1 << 30;
    let mut buffer = match SharedBuf::<u8>::zeroed(LEN) {
        Ok(buffer) => buffer,
        Err(SegmentError::OutOfMemory { .. }) => {
            return skips::skipped(
                "a_large_one_is_touched_only_where_it_is_used",
                "less than 1 GiB is free",
            );
        }
        Err(error) => panic!("{error}"),
    };
    buffer.as_mut_slice()[LEN - 1] = 3;
    let parts: Vec<SharedBuf<u8>> = buffer.split_into(1000).into_iter().map(travel).collect();
    let frozen = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
    assert_eq!((frozen[0], frozen[LEN / 2], frozen[LEN - 1]), (0, 0, 3));
}
