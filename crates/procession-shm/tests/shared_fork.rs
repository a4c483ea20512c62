//! What a process that was forked by hand has of the handles. In a binary of its own: a fork copies what other tests map.

use std::os::fd::AsRawFd;

use procession_shm::{SharedBuf, SharedSlice};

fn exit_status(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the child is ours and `status` is a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn a_fork_by_hand_does_not_keep_it_from_freezing() {
    let buffer = SharedBuf::from_slice(&[0_u64, 1, 2, 3]).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child only waits for the end of the pipe and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(writer);
        let mut byte = 0_u8;
        let at = (&raw mut byte).cast();
        // SAFETY: one byte is written to `byte` at most.
        unsafe { libc::read(reader.as_raw_fd(), at, 1) };
        // SAFETY: it ends the child at once, without its destructors.
        unsafe { libc::_exit(0) };
    }
    let frozen = buffer.freeze();
    drop(writer);
    assert_eq!(exit_status(child), 0);
    assert_eq!(frozen.unwrap()[..], [0, 1, 2, 3]);
}

#[test]
fn a_process_forked_by_hand_still_reads_it() {
    let slice = SharedSlice::from_slice(&(0..100).collect::<Vec<u32>>()).unwrap();
    // SAFETY: the child only reads memory and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let right = slice[99] == 99;
        // SAFETY: it ends the child at once, without its destructors.
        unsafe { libc::_exit(if right { 41 } else { 1 }) };
    }
    let status = exit_status(child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 41, "status {status}");
}
