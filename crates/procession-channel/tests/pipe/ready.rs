//! Waiting for several ends.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Receiver, Sender};
use procession_channel::queue::Queue;
use procession_shm::{Shared, Waitable, wait_any};
use procession_sync::Event;

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

/// Of all kinds together more than the kernel takes, and each of them twice.
#[test]
fn a_wait_for_many_of_all_kinds_tells_each_that_is_ready_wherever_it_is_named() {
    const COUNT: usize = 40;
    let pipes = (0..COUNT).map(|_| pipe::builder().capacity(1).simplex().unwrap());
    let (senders, receivers): (Vec<Sender<u32>>, Vec<Receiver<u32>>) = pipes.unzip();
    let queue = || Queue::<u32>::builder().capacity(1).items(1).build().unwrap();
    let [empty, full] = [(); 2].map(|()| (0..COUNT).map(|_| queue()).collect::<Vec<_>>());
    full.iter().for_each(|full| full.put(0).unwrap());
    let rooms: Vec<_> = full.iter().map(Queue::putter).collect();
    let events: Vec<_> = (0..COUNT).map(|_| Shared::new(Event::new()).unwrap()).collect();
    let mut on: Vec<&dyn Waitable> = Vec::new();
    on.extend(receivers.iter().map(|receiver| receiver as &dyn Waitable));
    on.extend(empty.iter().map(|queue| queue as &dyn Waitable));
    on.extend(rooms.iter().map(|putter| putter as &dyn Waitable));
    on.extend(events.iter().map(|event| &**event as &dyn Waitable));
    on.extend_from_within(..);
    assert!(wait_any(&on, Duration::from_millis(1)).unwrap().is_empty());
    let senders = Mutex::new(senders);
    let make = |kind, number: usize| match kind {
        0 => senders.lock().unwrap()[number].send(1).unwrap(),
        1 => empty[number].put(1).unwrap(),
        2 => assert_eq!(full[number].get().unwrap(), 0),
        _ => events[number].set(),
    };
    let unmake = |kind, number: usize| match kind {
        0 => assert_eq!(receivers[number].recv().unwrap(), 1),
        1 => assert_eq!(empty[number].get().unwrap(), 1),
        2 => full[number].put(0).unwrap(),
        _ => events[number].clear(),
    };
    for (kind, number) in (0..4).flat_map(|kind| [0, COUNT / 2, COUNT - 1].map(|at| (kind, at))) {
        let ready = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                make(kind, number);
            });
            wait_any(&on, None).unwrap().into_iter().collect::<Vec<_>>()
        });
        let first = kind * COUNT + number;
        assert_eq!(ready, [first, on.len() / 2 + first]);
        unmake(kind, number);
    }
    assert!(wait_any(&on, Duration::ZERO).unwrap().is_empty());
}
