//! Peers that are stopped in the middle of a message: deadlines hold, and all goes on when they do.

use std::thread;

use procession_channel::pipe::{self, Connection, SendErrorKind};
use procession_shm::wait_any;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::messages::SOON;
use crate::stage::{Other, play};

const LEN: usize = 1 << 20;

fn pid(other: &Other) -> Pid {
    Pid::from_raw(i32::try_from(other.pid()).unwrap()).unwrap()
}

/// Comes back when it has stopped.
fn stop(other: &Other) {
    kill_process(pid(other), Signal::STOP).unwrap();
    let stopped = waitpid(Some(pid(other)), WaitOptions::UNTRACED).unwrap();
    assert!(stopped.unwrap().1.stopped());
}

fn go_on(other: &Other) {
    kill_process(pid(other), Signal::CONT).unwrap();
}

type End = Connection<Vec<u8>, Vec<u8>>;

fn small() -> (End, End) {
    pipe::builder().capacity(4096).duplex().unwrap()
}

#[test]
fn a_sender_that_is_stopped_in_a_message_holds_up_no_receive_that_has_a_deadline() {
    const TEST: &str =
        "stopped::a_sender_that_is_stopped_in_a_message_holds_up_no_receive_that_has_a_deadline";
    play(TEST, |parent: End| {
        parent.send(vec![6]).unwrap();
        parent.send(vec![7; LEN]).unwrap();
        parent.send_bytes(&[8; LEN]).unwrap();
    });
    let (here, there) = small();
    let child = Other::start(TEST, there);
    let receiver = here.receiver();
    assert_eq!(receiver.recv().unwrap(), [6]);
    // Until a part of the next one is there. More than its pipe holds is not, as long as nobody reads.
    thread::sleep(SOON);
    stop(&child);
    for _ in 0..2 {
        assert!(receiver.try_recv().unwrap().is_none());
        assert!(receiver.recv_timeout(SOON).unwrap().is_none());
        assert!(receiver.recv_bytes_timeout(SOON).unwrap().is_none());
        assert_eq!(receiver.recv_bytes_into_timeout(&mut [0; 9], SOON).unwrap(), None);
        assert!(!receiver.poll(SOON) && wait_any(&[receiver], SOON).unwrap().is_empty());
    }
    go_on(&child);
    assert!(receiver.recv().unwrap() == vec![7; LEN]);
    stop(&child);
    let mut room = vec![0; LEN];
    assert!(receiver.recv_bytes_timeout(SOON).unwrap().is_none());
    assert_eq!(receiver.recv_bytes_into_timeout(&mut room, SOON).unwrap(), None);
    go_on(&child);
    assert_eq!(receiver.recv_bytes_into(&mut room).unwrap(), LEN);
    assert!(room == [8; LEN]);
    child.join();
}

#[test]
fn a_receiver_that_is_stopped_in_a_message_holds_up_no_send_that_has_a_deadline() {
    const TEST: &str =
        "stopped::a_receiver_that_is_stopped_in_a_message_holds_up_no_send_that_has_a_deadline";
    play(TEST, |parent: End| {
        for message in &parent {
            parent.send(message.unwrap()[..3].to_vec()).unwrap();
        }
    });
    let (here, there) = small();
    let child = Other::start(TEST, there);
    here.send(vec![1; LEN]).unwrap();
    assert_eq!(here.recv().unwrap(), [1; 3]);
    stop(&child);
    for n in 2..4 {
        let late = here.send_timeout(vec![n; LEN], SOON).unwrap_err();
        assert!(matches!(late.kind, SendErrorKind::TimedOut), "{late}");
        assert!(late.value == vec![n; LEN], "it comes back");
        let late = here.sender().send_bytes_timeout(&[n; LEN], SOON);
        assert!(matches!(late, Err(SendErrorKind::TimedOut)));
    }
    while here.try_send(vec![4; 1000]).is_ok() {}
    assert!(wait_any(&[&here.sender().room()], SOON).unwrap().is_empty());
    go_on(&child);
    here.send(vec![5; LEN]).unwrap();
    let answers = here.receiver().into_iter().map(Result::unwrap);
    let taken: Vec<u8> = answers.map(|answer| answer[0]).take_while(|&first| first != 5).collect();
    assert!(taken.iter().all(|&first| first == 4), "nothing that expired: {taken:?}");
    drop(here);
    child.join();
}
