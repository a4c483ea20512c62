//! A death in the middle of a chunk of items that travel together.

use procession_pool::{Pool, TaskError};

use super::guard::guarded;
use super::ledger::Ledger;
use super::trap::{How, PLACES, Place, Trap, assert_sound, spring};

const ITEMS: u32 = 300;
const VICTIMS: [u32; 4] = [0, 99, 150, 299];

fn traps(ledger: &Ledger, place: Place) -> Vec<Trap> {
    let how = |number| if VICTIMS.contains(&number) { How::Kill } else { How::Well };
    (0..ITEMS).map(|number| Trap::new(ledger, number, place, how(number))).collect()
}

#[test]
fn items_before_and_after_a_death_in_their_chunk_run_once() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for (place, chunk) in PLACES.into_iter().flat_map(|place| [(place, 100), (place, 7)]) {
            let ledger = Ledger::new();
            let job = pool.job().chunk(chunk).window(1000);
            let outcomes: Vec<_> = job.imap(spring, traps(&ledger, place)).collect();
            for (number, outcome) in (0..).zip(&outcomes) {
                match outcome {
                    Ok(reply) => assert_eq!(reply.number, number),
                    Err(TaskError::Died { item, .. }) => {
                        assert!(VICTIMS.contains(&number) && *item == number as usize);
                    }
                    Err(error) => panic!("item {number}: {error:?}"),
                }
            }
            let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
            assert_eq!(failed, VICTIMS.len());
            let once: Vec<_> = (0..ITEMS).map(|number| (number, 1)).collect();
            assert_eq!(ledger.counts().into_iter().collect::<Vec<_>>(), once);
            assert_sound(&pool);
        }
    });
}

/// Messages so short that hundreds are handed over together.
#[test]
fn a_death_among_messages_that_were_handed_over_together_costs_its_item() {
    fn at_some_it_dies(number: u64) -> u64 {
        if number % 7001 == 7000 {
            std::process::abort();
        }
        number + 1
    }
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for chunk in [1, 3] {
            let outcomes = pool.job().chunk(chunk).imap(at_some_it_dies, 0..30_000_u64);
            for (number, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Ok(next) => assert!(next == number + 1 && number % 7001 != 7000),
                    Err(TaskError::Died { item, .. }) => {
                        assert!(item as u64 == number && number % 7001 == 7000);
                    }
                    Err(error) => panic!("item {number}: {error:?}"),
                }
            }
        }
        assert_sound(&pool);
    });
}

#[test]
fn retried_items_of_a_chunk_keep_their_place() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let job = pool.job().chunk(100).window(1000).retries(2);
        let outcomes: Vec<_> = job.imap(spring, traps(&ledger, Place::Function)).collect();
        for (number, outcome) in (0..).zip(&outcomes) {
            let runs = ledger.count(number);
            if VICTIMS.contains(&number) {
                assert_eq!(outcome.as_ref().unwrap_err().attempts().len(), 2);
                assert_eq!(runs, 3, "item {number}");
            } else {
                assert_eq!(outcome.as_ref().unwrap().number, number);
                assert_eq!(runs, 1, "item {number}");
            }
        }
        assert_sound(&pool);
    });
}

#[test]
fn a_whole_chunk_of_killers_fails_item_by_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let kill = |_: u32| How::Kill.happen().unwrap();
        let job = pool.job().chunk(20);
        let errors: Vec<_> = job.imap(kill, 0..60).map(Result::unwrap_err).collect();
        for (index, error) in errors.iter().enumerate() {
            assert!(matches!(error, TaskError::Died { item, .. } if *item == index), "{error:?}");
        }
        assert_eq!(errors.len(), 60);
        assert_sound(&pool);
    });
}

#[test]
fn a_task_of_many_items_tells_its_first_error() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let task = pool.job().chunk(50).map_async(spring, traps(&ledger, Place::Function)).unwrap();
        let error = task.get().unwrap_err();
        let victims = VICTIMS.map(|victim| victim as usize);
        let TaskError::Died { item, .. } = error else { panic!("{error:?}") };
        assert!(victims.contains(&item), "{item}");
        assert_sound(&pool);
    });
}

/// More than any input has is all of it, and no sum that overflows.
#[test]
fn a_chunk_may_be_as_large_as_a_number_can_be() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for chunk in [usize::MAX, 1 << 63, usize::MAX / 2] {
            let job = pool.job().chunk(chunk);
            assert_eq!(job.map(|n: u64| n + 1, 0..4).unwrap(), [1, 2, 3, 4]);
            let all = job.clone().window(usize::MAX).imap(|n: u64| n, 0..10_000);
            assert_eq!(all.map(Result::unwrap).sum::<u64>(), 49_995_000);
        }
    });
}
