//! The event within one process.

use std::thread;
use std::time::Duration;

use procession_sync::Event;

#[test]
fn it_is_set_until_it_is_cleared() {
    let event = Event::default();
    assert!(!event.is_set());
    assert!(!event.wait_timeout(Duration::ZERO).unwrap());
    assert!(!event.wait_timeout(Duration::from_millis(5)).unwrap());
    event.set();
    event.set();
    assert!(event.is_set());
    event.wait().unwrap();
    assert!(event.wait_timeout(Duration::ZERO).unwrap());
    event.clear();
    event.clear();
    assert!(!event.wait_timeout(Duration::ZERO).unwrap());
    assert_eq!(format!("{event:?}"), "Event { is_set: false }");
}

#[test]
fn all_who_wait_are_woken() {
    static EVENT: Event = Event::new();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| EVENT.wait().unwrap());
        }
        thread::sleep(Duration::from_millis(10));
        EVENT.set();
    });
}

/// Python misses a set that is cleared before the waiter has looked.
#[test]
fn a_set_that_is_cleared_at_once_wakes_who_waits() {
    let event = Event::new();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| event.wait());
        thread::sleep(Duration::from_millis(10));
        // Whoever comes too late for one pulse gets the next.
        while !waiter.is_finished() {
            event.set();
            event.clear();
            thread::sleep(Duration::from_millis(1));
        }
        waiter.join().unwrap().unwrap();
    });
    assert!(!event.is_set());
}
