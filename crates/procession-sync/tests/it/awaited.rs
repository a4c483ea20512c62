//! Events and semaphores that are awaited.

use std::task::{Context, Waker};
use std::thread;

use backstage::executor::block_on;
use procession_shm::{Shared, until_ready};
use procession_sync::{Event, Semaphore};

#[test]
fn an_event_in_shared_memory_is_awaited() {
    let event = Shared::new(Event::new()).unwrap();
    let setter = event.clone();
    let waiting = thread::spawn(move || block_on(until_ready(&event)));
    thread::yield_now();
    setter.set();
    waiting.join().unwrap().unwrap();
}

#[test]
fn one_that_lives_on_the_stack_cannot_be_awaited() {
    let error = block_on(until_ready(&Event::new())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

/// The one wake-up for a permit may reach a future that is dropped before it is polled.
#[test]
fn a_future_that_is_dropped_does_not_keep_a_permit_from_who_takes_it() {
    let semaphore = Shared::new(Semaphore::new(0)).unwrap();
    for _ in 0..100 {
        let mut future = Box::pin(until_ready(&semaphore));
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        thread::scope(|scope| {
            let taker = scope.spawn(|| semaphore.acquire().unwrap().forget());
            thread::yield_now();
            semaphore.add_permits(1).unwrap();
            drop(future);
            taker.join().unwrap();
        });
    }
}
