//! How a queue ends, and who is told.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use procession_channel::pipe;
use procession_channel::queue::{JoinError, Queue, RecvError, SendErrorKind, TaskDoneError};
use procession_shm::wait_any;

/// Nothing takes this long; it only keeps a broken test from running for ever.
const HANG: Duration = Duration::from_secs(60);

/// Gives a thread the time to fall asleep. If it does not, the test is easier and not wrong.
fn let_it_sleep() {
    thread::sleep(Duration::from_millis(10));
}

#[test]
fn a_closed_queue_is_drained_and_then_over() {
    let queue = Queue::new().unwrap();
    queue.put_many([1, 2]).unwrap();
    queue.close();
    queue.close();
    assert!(queue.is_closed());
    let error = queue.put(3).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed) && error.value == 3);
    assert_eq!(queue.get().unwrap(), 1);
    let rest: Vec<_> = (&queue).into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, [2]);
    assert!(matches!(queue.get(), Err(RecvError::Closed)));
    assert!(matches!(queue.try_get(), Err(RecvError::Closed)));
    assert!(matches!(queue.get_many(2).map(drop), Err(RecvError::Closed)));
    assert!(matches!(queue.claim().map(drop), Err(RecvError::Closed)));
}

#[test]
fn a_close_wakes_those_who_put_and_those_who_get() {
    let (empty, full) = (Queue::<u8>::new().unwrap(), Queue::bounded(1).unwrap());
    full.put(0_u8).unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| empty.get());
        let putter = scope.spawn(|| full.put(1));
        let_it_sleep();
        empty.close();
        full.close();
        assert!(matches!(getter.join().unwrap(), Err(RecvError::Closed)));
        let error = putter.join().unwrap().unwrap_err();
        assert!(matches!(error.kind, SendErrorKind::Closed));
    });
}

#[test]
fn a_getter_ends_when_nobody_is_left_who_puts() {
    let queue = Queue::new().unwrap();
    let (putter, getter) = (queue.putter(), queue.getter());
    queue.put(1).unwrap();
    drop(queue);
    let (told, hear) = mpsc::channel();
    let thread = thread::spawn(move || {
        let items: Vec<i32> = getter.into_iter().map(Result::unwrap).collect();
        told.send(items).unwrap();
    });
    let other = putter.clone();
    drop(putter);
    other.put(2).unwrap();
    let_it_sleep();
    drop(other);
    assert_eq!(hear.recv_timeout(HANG).unwrap(), [1, 2]);
    thread.join().unwrap();
}

/// Who has slept for a second or more looks every ten seconds, but more often once a half may be lost in a message: nobody tells of that.
#[test]
fn a_half_that_is_lost_on_its_way_while_somebody_sleeps_is_missed() {
    let queue = Queue::<u8>::new().unwrap();
    let (putter, getter) = (queue.putter(), queue.getter());
    drop(queue);
    let (told, hear) = mpsc::channel();
    let sleeper = thread::spawn(move || told.send(getter.get()).unwrap());
    thread::sleep(Duration::from_millis(1300));
    let (carrier, carried) = pipe::builder().trusting().simplex().unwrap();
    carrier.send(putter).unwrap();
    drop((carrier, carried));
    let got = hear.recv_timeout(Duration::from_secs(7)).expect("it looks every 100 ms");
    assert!(matches!(got, Err(RecvError::Disconnected)));
    sleeper.join().unwrap();
}

#[test]
fn a_putter_in_a_message_is_still_there() {
    let (queue, carrier) = (Queue::<u8>::new().unwrap(), Queue::new().unwrap());
    let getter = queue.getter();
    carrier.put(queue.putter()).unwrap();
    drop(queue);
    assert_eq!(getter.try_get().unwrap(), None);
    carrier.get().unwrap().put(7).unwrap();
    assert_eq!(getter.get().unwrap(), 7);
    assert!(matches!(getter.try_get(), Err(RecvError::Disconnected)));
}

#[test]
fn a_putter_without_a_getter_is_told_when_there_is_no_room() {
    let queue = Queue::bounded(1).unwrap();
    let putter = queue.putter();
    drop(queue);
    putter.put(1).unwrap();
    let error = putter.put(2).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed), "{error}");
}

#[test]
fn join_waits_until_all_is_done() {
    let queue = Queue::new().unwrap();
    assert!(matches!(queue.task_done(), Err(TaskDoneError::TooMany)));
    queue.join().unwrap();
    queue.put_many([1, 2, 3]).unwrap();
    assert!(!queue.join_timeout(Duration::ZERO).unwrap());
    thread::scope(|scope| {
        let joiner = scope.spawn(|| queue.join());
        for _ in 0..2 {
            queue.get().unwrap();
            queue.task_done().unwrap();
        }
        let claim = queue.claim().unwrap();
        let_it_sleep();
        assert!(!joiner.is_finished());
        claim.done();
        joiner.join().unwrap().unwrap();
    });
    assert!(matches!(queue.task_done(), Err(TaskDoneError::TooMany)));
    let never: Result<(), JoinError> = queue.join();
    never.unwrap();
}

#[test]
fn an_item_that_was_offered_again_and_got_counts_once() {
    let queue = Queue::new().unwrap();
    queue.put(1).unwrap();
    drop(queue.claim().unwrap());
    assert_eq!(queue.get().unwrap(), 1);
    assert!(!queue.join_timeout(Duration::ZERO).unwrap());
    queue.task_done().unwrap();
    assert!(queue.join_timeout(Duration::ZERO).unwrap());
    assert!(matches!(queue.task_done(), Err(TaskDoneError::TooMany)));
}

#[test]
fn a_queue_can_be_waited_for_with_others() {
    let (one, two) = (Queue::<u8>::new().unwrap(), Queue::bounded(1).unwrap());
    let room = two.putter();
    two.put(1).unwrap();
    assert!(wait_any(&[&one, &room], Duration::ZERO).unwrap().is_empty());
    assert!(wait_any(&[&one, &two], None).unwrap().has(&two));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_any(&[&one, &room], None).unwrap().into_iter().next());
        let_it_sleep();
        two.get().unwrap();
        assert_eq!(waiting.join().unwrap(), Some(1));
        let waiting = scope.spawn(|| wait_any(&[&two, &one], None).unwrap().into_iter().next());
        let_it_sleep();
        one.put(1).unwrap();
        assert_eq!(waiting.join().unwrap(), Some(1));
    });
    two.close();
    assert!(wait_any(&[&two], None).unwrap().has(&two), "the end is news, too");
}
