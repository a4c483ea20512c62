//! Waiting for any of several events and semaphores.

use std::thread;
use std::time::Duration;

use procession_shm::{Shared, Waitable, wait_any};
use procession_sync::{Event, Semaphore};

#[test]
fn an_event_that_is_set_ends_a_wait_for_any_of_many() {
    let events: Vec<Shared<Event>> = (0..40).map(|_| Shared::new(Event::new()).unwrap()).collect();
    let on: Vec<&dyn Waitable> = events.iter().map(|event| event as &dyn Waitable).collect();
    assert!(wait_any(&on, Duration::from_millis(1)).unwrap().is_empty());
    for (index, event) in events.iter().enumerate() {
        let ready = thread::scope(|scope| {
            scope.spawn(|| event.set());
            wait_any(&on, None).unwrap()
        });
        assert!(ready.has(event));
        assert_eq!(ready.into_iter().collect::<Vec<_>>(), [index]);
        event.clear();
    }
}

#[test]
fn a_permit_that_comes_free_ends_a_wait_for_any_and_is_still_there() {
    let (event, semaphore) = (Event::new(), Semaphore::new(0));
    let ready = thread::scope(|scope| {
        scope.spawn(|| semaphore.add_permits(1).unwrap());
        wait_any(&[&event, &semaphore], None).unwrap()
    });
    assert!(ready.has(&semaphore) && !ready.has(&event));
    assert!(semaphore.try_acquire().unwrap().is_some());
}

/// The wake-up for a permit goes to one sleeper. If that one only looks, it is passed on to one who takes it.
#[test]
fn who_only_looks_does_not_keep_a_permit_from_who_takes_it() {
    for _ in 0..50 {
        let semaphore = Semaphore::new(0);
        thread::scope(|scope| {
            let lookers = [(); 2].map(|()| scope.spawn(|| wait_any(&[&semaphore], None).unwrap()));
            let taker = scope.spawn(|| semaphore.acquire().unwrap().forget());
            thread::yield_now();
            semaphore.add_permits(1).unwrap();
            taker.join().unwrap();
            // Those who came too late for the permit.
            semaphore.add_permits(1).unwrap();
            for looker in lookers {
                assert!(looker.join().unwrap().has(&semaphore));
            }
        });
    }
}
