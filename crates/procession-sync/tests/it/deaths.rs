//! A process is killed while it holds something. The others wait for it meanwhile, and must get on.

use procession_shm::Shared;
use procession_sync::{BarrierError, LockError};
use rustix::process::Signal;

use crate::player::{PERMITS, Table};
use crate::stage::Player;

fn table() -> Shared<Table> {
    Shared::new(Table::new()).unwrap()
}

#[test]
fn four_processes_count_together() {
    needs_pidfds!();
    const ROUNDS: u64 = 25_000;
    let table = table();
    let players = [(); 4].map(|()| Player::start(&table));
    players.iter().for_each(|player| player.tell(&format!("count {ROUNDS}")));
    players.iter().for_each(|player| assert_eq!(player.hear(), "done"));
    assert_eq!(*table.mutex.lock().unwrap(), [4 * ROUNDS; 2]);
}

#[test]
fn who_waits_for_a_mutex_whose_owner_dies_learns_its_pid() {
    needs_pidfds!();
    let table = table();
    let [owner, one, two] = [(); 3].map(|()| Player::start(&table));
    assert_eq!(owner.ask("lock"), "held");
    assert_eq!(owner.ask("write_half"), "done");
    one.ask_to_wait("lock");
    two.ask_to_wait("lock_or_reset");
    let pid = owner.pid();
    owner.kill_at_once();
    assert_eq!(two.hear(), "held");
    assert_eq!(two.ask("values"), "[0, 0]");
    assert_eq!(two.ask("unlock"), "done");
    // The repairer may have been faster than who only waits.
    let answer = one.hear();
    assert!(answer == format!("died {pid}") || answer == "held", "{answer}");
    one.ask("unlock");
    assert!(table.mutex.lock().is_ok());
}

#[test]
fn a_torn_value_is_kept_only_by_who_asks_for_it() {
    needs_pidfds!();
    let table = table();
    let [owner, other] = [(); 2].map(|()| Player::start(&table));
    owner.ask("lock");
    owner.ask("write_half");
    let pid = owner.pid();
    owner.kill();
    assert_eq!(other.ask("lock"), format!("died {pid}"));
    assert_eq!(other.ask("try_lock"), format!("died {pid}"));
    assert!(matches!(table.mutex.lock(), Err(LockError::OwnerDied { pid: its }) if its == pid));
    assert!(format!("{:?}", table.mutex).contains("OwnerDied"));
    assert_eq!(other.ask("lock_or_keep"), "held");
    assert_eq!(other.ask("values"), "[1, 0]");
    other.kill();
    assert!(table.mutex.lock().is_err(), "torn again, for its repairer died in it");
    assert_eq!(*table.mutex.lock_or_reset(|| [7; 2]), [7; 2]);
    assert_eq!(*table.mutex.lock_or_reset(|| [8; 2]), [7; 2], "repaired once");
}

#[test]
fn a_reader_that_dies_lets_the_writer_in() {
    needs_pidfds!();
    let table = table();
    let [reader, writer] = [(); 2].map(|()| Player::start(&table));
    assert_eq!(reader.ask("read"), "held");
    assert_eq!(reader.ask("read"), "held");
    writer.ask_to_wait("write");
    reader.kill_at_once();
    assert_eq!(writer.hear(), "held");
}

#[test]
fn a_writer_that_dies_tears_and_one_that_only_waits_does_not() {
    needs_pidfds!();
    let table = table();
    let [reader, writer] = [(); 2].map(|()| Player::start(&table));
    reader.ask("read");
    writer.ask_to_wait("write");
    writer.kill();
    assert_eq!(reader.ask("end_read"), "done");
    assert_eq!(reader.ask("read"), "held");
    assert_eq!(reader.ask("end_read"), "done");
    let writer = Player::start(&table);
    assert_eq!(writer.ask("write"), "held");
    reader.ask_to_wait("read");
    let pid = writer.pid();
    writer.kill_at_once();
    assert_eq!(reader.hear(), format!("died {pid}"));
    assert_eq!(reader.ask("write_or_reset"), "held");
    assert_eq!(reader.ask("end_write"), "done");
    assert!(table.lock.read().is_ok());
}

#[test]
fn a_table_full_of_the_dead_has_room() {
    needs_pidfds!();
    let table = table();
    let [one, two] = [(); 2].map(|()| Player::start(&table));
    assert_eq!(one.ask("read_narrow"), "held");
    assert_eq!(two.ask("read_narrow"), "full 1");
    one.kill();
    assert_eq!(two.ask("read_narrow"), "held");
}

#[test]
fn the_permits_of_the_dead_come_back() {
    needs_pidfds!();
    let table = table();
    let [holder, waiter] = [(); 2].map(|()| Player::start(&table));
    for _ in 0..PERMITS {
        assert_eq!(holder.ask("acquire"), "held");
    }
    waiter.ask_to_wait("acquire");
    holder.kill_at_once();
    assert_eq!(waiter.hear(), "held");
    assert_eq!(waiter.ask("available"), (PERMITS - 1).to_string());
}

#[test]
fn what_was_added_and_used_up_outlives_its_process() {
    needs_pidfds!();
    let table = table();
    let player = Player::start(&table);
    player.ask("acquire");
    player.ask("forget");
    player.ask("acquire");
    player.ask("add 10");
    player.kill();
    assert_eq!(table.seats.available_permits(), PERMITS - 1 + 10);
}

#[test]
fn a_dead_waiter_swallows_no_notification() {
    needs_pidfds!();
    let table = table();
    let [dead, living] = [(); 2].map(|()| Player::start(&table));
    dead.ask_to_wait("take");
    living.ask_to_wait("take");
    dead.kill_at_once();
    let bringer = Player::start(&table);
    assert_eq!(bringer.ask("bring"), "done");
    assert_eq!(living.hear(), "taken");
}

#[test]
fn a_notification_that_the_dead_still_owed_is_given() {
    needs_pidfds!();
    let table = table();
    let [bringer, taker] = [(); 2].map(|()| Player::start(&table));
    taker.ask_to_wait("take");
    assert_eq!(bringer.ask("bring_silently"), "done");
    bringer.kill_at_once();
    assert_eq!(taker.hear(), "taken");
}

#[test]
fn an_arrival_that_dies_breaks_the_barrier_until_it_is_reset() {
    needs_pidfds!();
    let table = table();
    let wide = [(); 2].map(|()| Player::start(&table));
    let [dead, late] = wide;
    dead.ask_to_wait("meet");
    dead.kill();
    assert_eq!(late.ask("meet"), "broken");
    assert!(table.barrier.is_broken());
    assert!(matches!(table.barrier.wait(), Err(BarrierError::Broken)));
    table.barrier.reset().unwrap();
    late.ask_to_wait("meet");
    assert!(table.barrier.wait().unwrap().is_leader());
    assert_eq!(late.hear(), "met as 0");
}

#[test]
fn a_process_too_many_at_a_barrier_leaves_nobody_waiting() {
    needs_pidfds!();
    let table = table();
    let [one, two, three] = [(); 3].map(|()| Player::start(&table));
    one.ask_to_wait("meet_in_small");
    two.ask_to_wait("meet_in_small");
    assert_eq!(three.ask("meet_in_small"), "full 2");
    assert_eq!([one.hear(), two.hear()], ["broken", "broken"]);
    assert_eq!(three.ask("meet_in_small"), "broken");
}

#[test]
fn an_event_stays_set_when_its_setter_dies() {
    needs_pidfds!();
    let table = table();
    let [setter, waiter] = [(); 2].map(|()| Player::start(&table));
    waiter.ask_to_wait("await_set");
    setter.ask("set");
    setter.kill();
    assert_eq!(waiter.hear(), "set");
    assert!(table.event.is_set());
}

#[test]
fn an_initializer_that_dies_is_followed_by_the_next() {
    needs_pidfds!();
    let table = table();
    let [first, second, third] = [(); 3].map(|()| Player::start(&table));
    assert_eq!(first.ask("init_and_stop"), "in it");
    second.ask_to_wait("init 2");
    third.ask_to_wait("init 3");
    assert_eq!(table.cell.get(), None);
    first.kill_at_once();
    let answer = second.hear();
    assert!(answer == "2" || answer == "3", "{answer}");
    assert_eq!(third.hear(), answer);
    assert_eq!(table.cell.get().map(u64::to_string), Some(answer));
}

/// Stopped is not dead: the lock is waited for.
#[test]
fn a_stopped_owner_keeps_its_lock() {
    needs_pidfds!();
    let table = table();
    let owner = Player::start(&table);
    owner.ask("lock");
    owner.send_signal(Signal::STOP);
    // Longer than the first check-up, which must not take it for dead.
    let waited = table.mutex.lock_timeout(std::time::Duration::from_millis(300)).unwrap();
    assert!(waited.is_none());
    owner.send_signal(Signal::CONT);
    owner.ask("unlock");
    assert!(table.mutex.lock().is_ok());
}
