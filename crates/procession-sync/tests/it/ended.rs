//! The root of the family is dead. Who waits learns of it, also where what it waits for is held by somebody who died after that.

use crate::stage::{Player, engage};

/// The first one does something and dies after its root. Returns what the second one says, who waits for it.
fn after_the_end(hold: &str, held: &str, wait: &str) -> String {
    let (root, [holder, waiter]): (_, [Player; 2]) = engage();
    assert_eq!(holder.ask(hold), held);
    waiter.ask_to_wait(wait);
    drop(root);
    drop(holder);
    waiter.hear()
}

#[track_caller]
fn assert_tells_of_the_end(answer: &str) {
    assert!(answer.starts_with("nobody: "), "{answer}");
}

#[test]
fn who_waits_for_a_mutex_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("lock", "held", "lock"));
}

#[test]
fn who_waits_for_a_lock_to_read_or_to_write_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("write", "held", "read"));
    assert_tells_of_the_end(&after_the_end("read", "held", "write"));
}

#[test]
fn who_waits_for_an_initializer_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("init_and_stop", "in it", "init 2"));
}

/// What it has made is nobody's, and nothing says that it is done.
#[test]
fn who_initializes_when_it_ends_is_told() {
    needs_pidfds!();
    for command in ["init_until_the_end 7", "once_until_the_end"] {
        let (root, [player]): (_, [Player; 1]) = engage();
        player.tell(command);
        assert_eq!(player.hear(), "in it");
        drop(root);
        assert_tells_of_the_end(&player.hear());
    }
}

#[test]
fn who_waits_for_an_event_or_a_notification_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("clear", "done", "await_set"));
    assert_tells_of_the_end(&after_the_end("clear", "done", "take"));
}

#[test]
fn who_waits_at_a_barrier_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("clear", "done", "meet"));
}

/// Also those who cannot be told otherwise than by a panic.
#[test]
fn who_comes_to_repair_does_not_wait_for_ever() {
    needs_pidfds!();
    assert_eq!(after_the_end("lock", "held", "lock_or_reset"), "panicked");
    assert_eq!(after_the_end("write", "held", "write_or_reset"), "panicked");
}

#[test]
fn who_waits_for_any_of_several_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("acquire_all", "held", "wait_for_a_seat"));
}

/// A future is asked again by the reactor's check-up, which comes after 10 s: here its executor asks it earlier.
#[test]
fn a_future_is_told_when_it_is_polled_again() {
    needs_pidfds!();
    let (root, [waiter]): (_, [Player; 1]) = engage();
    assert_eq!(waiter.ask("poll_until_the_end"), "pending");
    drop(root);
    assert_tells_of_the_end(&waiter.hear());
}

/// The holder dies in the few instructions that it spends behind the gate.
#[test]
fn who_waits_at_a_gate_is_told() {
    needs_pidfds!();
    assert_tells_of_the_end(&after_the_end("stay_behind_gate_of_seats", "done", "acquire"));
    assert_tells_of_the_end(&after_the_end("stay_behind_gate_of_barrier", "done", "meet"));
}
