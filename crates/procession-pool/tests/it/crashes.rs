//! The crash matrix: what can happen, times where it happens, times how the task was handed in.
//!
//! Each cell asserts that exactly the item concerned gets the documented error, that every other item ran exactly once and
//! its result arrived, and that the pool is whole afterwards.

use procession_pool::{Pool, TaskError};

use super::guard::guarded;
use super::ledger::Ledger;
use super::trap::{How, PLACES, Place, Reply, Trap, assert_documented, assert_sound, job, spring};

const ITEMS: u32 = 24;
const VICTIM: u32 = 11;

type Outcome = Result<Reply, TaskError>;
/// Gives the index of each item and its outcome, in the order in which they came.
type Verb = fn(&Pool, Vec<Trap>, How) -> Vec<Outcome>;

fn imap(pool: &Pool, traps: Vec<Trap>, how: How) -> Vec<Outcome> {
    job(pool, how).imap(spring, traps).collect()
}

fn imap_unordered(pool: &Pool, traps: Vec<Trap>, how: How) -> Vec<Outcome> {
    let number = |outcome: &Outcome| match outcome {
        Ok(reply) => reply.number as usize,
        Err(error) => error.item().unwrap(),
    };
    let mut outcomes: Vec<_> = job(pool, how).imap_unordered(spring, traps).collect();
    outcomes.sort_by_key(number);
    outcomes
}

fn submit(pool: &Pool, traps: Vec<Trap>, how: How) -> Vec<Outcome> {
    let tasks: Vec<_> = traps.into_iter().map(|trap| job(pool, how).submit(spring, trap)).collect();
    tasks.into_iter().map(|task| task.unwrap().get()).collect()
}

fn each(pool: &Pool, place: Place, how: How, verb: Verb, victim: usize) {
    let ledger = Ledger::new();
    let traps = Trap::series(&ledger, ITEMS, VICTIM, place, how);
    let outcomes = verb(pool, traps, how);
    assert_eq!(outcomes.len(), ITEMS as usize);
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(reply) => assert_eq!(reply.number as usize, index),
            Err(error) if index == VICTIM as usize => {
                assert_documented(error, victim, place, how);
            }
            Err(error) => panic!("item {index} after {how:?} at {place:?}: {error:?}"),
        }
    }
    assert!(outcomes[VICTIM as usize].is_err(), "{how:?} at {place:?}");
    let once: Vec<_> = (0..ITEMS).map(|number| (number, 1)).collect();
    assert_eq!(ledger.counts().into_iter().collect::<Vec<_>>(), once, "{how:?} at {place:?}");
    assert_sound(pool);
}

/// `map` gives only the first error, but it runs every item at most once and those before the victim for certain.
fn map(pool: &Pool, place: Place, how: How) {
    let ledger = Ledger::new();
    let traps = Trap::series(&ledger, ITEMS, VICTIM, place, how);
    let error = job(pool, how).map(spring, traps).unwrap_err();
    assert_documented(&error, VICTIM as usize, place, how);
    assert_sound(pool);
    let counts = ledger.counts();
    for number in 0..ITEMS {
        let count = counts.get(&number).copied().unwrap_or_default();
        assert!(count == 1 || count == 0 && number > VICTIM, "item {number} ran {count} times");
    }
}

fn matrix(how: How) {
    guarded(move || {
        let pool = Pool::with_workers(2).unwrap();
        for place in PLACES {
            map(&pool, place, how);
            each(&pool, place, how, imap, VICTIM as usize);
            each(&pool, place, how, imap_unordered, VICTIM as usize);
            each(&pool, place, how, submit, 0);
        }
    });
}

#[test]
fn a_panic_costs_its_item() {
    matrix(How::Panic);
}

#[test]
fn an_error_costs_its_item() {
    matrix(How::Fail);
}

#[test]
fn an_exit_with_success_costs_its_item() {
    matrix(How::Exit(0));
}

#[test]
fn an_exit_with_a_code_costs_its_item() {
    matrix(How::Exit(3));
}

#[test]
fn an_abort_costs_its_item() {
    matrix(How::Abort);
}

#[test]
fn a_segmentation_fault_costs_its_item() {
    matrix(How::Segfault);
}

#[test]
fn a_stack_overflow_costs_its_item() {
    matrix(How::StackOverflow);
}

#[test]
fn a_kill_costs_its_item() {
    matrix(How::Kill);
}

#[test]
fn a_stop_past_the_deadline_costs_its_item() {
    matrix(How::Stop);
}

#[test]
fn running_out_of_memory_costs_its_item() {
    matrix(How::OutOfMemory);
}

#[test]
fn a_death_with_a_context_costs_its_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let table: Vec<u64> = (0..500).map(|n| n * 7).collect();
        let look_up = |table: &Vec<u64>, n: usize| {
            if n == 250 {
                std::process::abort();
            }
            table[n]
        };
        let outcomes: Vec<_> = pool.imap_with(&table, look_up, 0..500).collect();
        for (n, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Ok(value) => assert_eq!(*value, table[n]),
                Err(error) => {
                    assert!(matches!(error, TaskError::Died { item: 250, .. }), "{error}");
                }
            }
        }
        assert!(outcomes[250].is_err());
        assert_sound(&pool);
    });
}

#[test]
fn the_text_names_item_process_and_signal() {
    let pool = Pool::with_workers(1).unwrap();
    let kill = |_: u8| How::Kill.happen().unwrap();
    let text = pool.map(kill, [0]).unwrap_err().to_string();
    assert!(text.starts_with("item 0: worker "), "{text}");
    assert!(text.ends_with("died: SIGKILL (killed)"), "{text}");
}
