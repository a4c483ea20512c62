//! Peers that are stopped in the middle of a message: deadlines hold, and all goes on when they do.

use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Connection, SendErrorKind};
use procession_shm::wait_any;
use rustix::process::{Pid, Signal, kill_process};

use crate::messages::SOON;
use crate::stage::{Other, play};

const LEN: usize = 1 << 20;

fn signal(other: &Other, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(other.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    // Until it has stopped, the test is easier and not wrong.
    thread::sleep(SOON);
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
        parent.send(vec![7; LEN]).unwrap();
        parent.send_bytes(&[8; LEN]).unwrap();
    });
    let (here, there) = small();
    let child = Other::start(TEST, there);
    let receiver = here.receiver();
    // A part of it is there, and nothing more comes.
    assert_eq!(receiver.recv_timeout(SOON).unwrap(), None);
    signal(&child, Signal::STOP);
    for _ in 0..2 {
        assert_eq!(receiver.try_recv().unwrap(), None);
        assert_eq!(receiver.recv_timeout(SOON).unwrap(), None);
        assert_eq!(receiver.recv_bytes_timeout(SOON).unwrap(), None);
        assert_eq!(receiver.recv_bytes_into_timeout(&mut [0; 9], SOON).unwrap(), None);
        assert!(!receiver.poll(SOON) && wait_any(&[receiver], SOON).unwrap().is_empty());
    }
    signal(&child, Signal::CONT);
    assert!(receiver.recv().unwrap() == vec![7; LEN]);
    assert_eq!(receiver.recv_bytes_timeout(Duration::from_micros(1)).unwrap(), None);
    signal(&child, Signal::STOP);
    let mut room = vec![0; LEN];
    assert_eq!(receiver.recv_bytes_into_timeout(&mut room, SOON).unwrap(), None);
    signal(&child, Signal::CONT);
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
    signal(&child, Signal::STOP);
    for n in 2..4 {
        let late = here.send_timeout(vec![n; LEN], SOON).unwrap_err();
        assert!(matches!(late.kind, SendErrorKind::TimedOut), "{late}");
        assert!(late.value == vec![n; LEN], "it comes back");
        let late = here.sender().send_bytes_timeout(&[n; LEN], SOON);
        assert!(matches!(late, Err(SendErrorKind::TimedOut)));
    }
    while here.try_send(vec![4; 1000]).is_ok() {}
    assert!(wait_any(&[&here.sender().room()], SOON).unwrap().is_empty());
    signal(&child, Signal::CONT);
    here.send(vec![5; LEN]).unwrap();
    let answers = here.receiver().into_iter().map(Result::unwrap);
    let taken: Vec<u8> = answers.map(|answer| answer[0]).take_while(|&first| first != 5).collect();
    assert!(taken.iter().all(|&first| first == 4), "nothing that expired: {taken:?}");
    drop(here);
    child.join();
}
