//! Waiting for several ends.

use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Receiver, Sender};
use procession_shm::{Waitable, wait_any};

use crate::stage::{Other, play};

/// The kernel waits for 128 words at once.
#[test]
fn a_message_ends_a_wait_for_any_of_many() {
    let pipes: Vec<(Sender<u32>, Receiver<u32>)> =
        (0..150).map(|_| pipe::builder().capacity(1).simplex().unwrap()).collect();
    let (senders, receivers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
    let on: Vec<&dyn Waitable> = receivers.iter().map(|end| end as &dyn Waitable).collect();
    assert!(wait_any(&on, Duration::from_millis(1)).unwrap().is_empty());
    let sending = thread::spawn(move || {
        for (n, sender) in (0..).zip(senders) {
            thread::sleep(Duration::from_millis(u64::from(n % 10 == 0)));
            sender.send(n).unwrap();
        }
    });
    let mut got = vec![false; receivers.len()];
    let mut open = receivers.len();
    while open > 0 {
        for index in wait_any(&on, None).unwrap() {
            match receivers[index].try_recv() {
                Ok(Some(n)) => {
                    assert_eq!(n as usize, index);
                    got[index] = true;
                }
                Ok(None) => panic!("nobody else receives"),
                Err(_) => open -= usize::from(std::mem::replace(&mut got[index], false)),
            }
        }
        // An end that is over stays ready.
    }
    sending.join().unwrap();
}

#[test]
fn a_death_ends_a_wait_for_any() {
    const TEST: &str = "ready::a_death_ends_a_wait_for_any";
    play(TEST, |parent: Sender<u8>| {
        parent.send(1).unwrap();
        thread::sleep(Duration::from_secs(60));
    });
    let (sender, dying) = pipe::simplex::<u8>().unwrap();
    let (_open, idle) = pipe::simplex::<u8>().unwrap();
    let child = Other::start(TEST, sender);
    assert!(wait_any(&[&idle, &dying], None).unwrap().has(&dying));
    assert_eq!(dying.recv().unwrap(), 1);
    assert!(wait_any(&[&idle, &dying], Duration::from_millis(20)).unwrap().is_empty());
    let waiting = thread::spawn(move || {
        let ready = wait_any(&[&idle, &dying], None).unwrap();
        (ready.has(&idle), ready.has(&dying), dying.recv().is_err())
    });
    thread::sleep(Duration::from_millis(30));
    child.kill();
    assert_eq!(waiting.join().unwrap(), (false, true, true));
}

#[test]
fn a_sender_is_ready_when_it_has_room() {
    let (sender, receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
    assert_eq!(wait_any(&[&sender.room()], None).unwrap().len(), 1);
    while sender.try_send(vec![1; 500]).is_ok() {}
    assert!(wait_any(&[&sender.room()], Duration::from_millis(1)).unwrap().is_empty());
    let drained = thread::spawn(move || {
        let first = receiver.into_iter().take(5).map(Result::unwrap).count();
        assert_eq!(first, 5);
    });
    assert_eq!(wait_any(&[&sender.room()], None).unwrap().len(), 1);
    drained.join().unwrap();
}

#[test]
fn a_connection_is_ready_as_its_receiver_is() {
    let (here, there) = pipe::duplex::<u8, u8>().unwrap();
    assert!(wait_any(&[&here, &there], Duration::from_millis(1)).unwrap().is_empty());
    here.send(1).unwrap();
    let ready = wait_any(&[&here, &there], None).unwrap();
    assert!(ready.has(&there) && !ready.has(&here));
    there.close();
    assert!(wait_any(&[&here], None).unwrap().has(&here), "the end is something to receive");
}
