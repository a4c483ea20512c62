//! Random pools, options and mishaps against a plain model of what must come out.

use procession_pool::{Job, Pool, TaskError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::guard::guarded;
use super::ledger::Ledger;
use super::trap::{How, Place, Reply, Trap, assert_sound, spring};

#[derive(Debug, Clone)]
struct Plan {
    workers: usize,
    chunk: Option<usize>,
    window: Option<usize>,
    retries: u32,
    verb: u8,
    items: Vec<(Place, How)>,
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Argument), Just(Place::Function), Just(Place::Result)]
}

fn mishaps() -> impl Strategy<Value = How> {
    prop_oneof![
        30 => Just(How::Well),
        2 => Just(How::Panic),
        2 => Just(How::Fail),
        1 => Just(How::Kill),
        1 => Just(How::Exit(3)),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let options = (1..5_usize, prop::option::of(1..30_usize), prop::option::of(1..80_usize));
    let items = vec((places(), mishaps()), 0..60);
    (options, 0..3_u32, 0..5_u8, items).prop_map(
        |((workers, chunk, window), retries, verb, items)| Plan {
            workers,
            chunk,
            window,
            retries,
            verb,
            items,
        },
    )
}

/// How often an item runs, and how many earlier tries its error lists; nothing if it succeeds.
fn expected(retries: u32, place: Place, how: How) -> (usize, Option<usize>) {
    let tries = retries as usize + 1;
    match (how, place) {
        (How::Well, _) => (1, None),
        (How::Fail, Place::Argument | Place::Result) | (How::Panic, Place::Argument) => {
            (1, Some(0))
        }
        _ => (tries, Some(tries - 1)),
    }
}

fn outcomes(job: &Job<'_>, verb: u8, traps: Vec<Trap>) -> Vec<Result<Reply, TaskError>> {
    let index = |outcome: &Result<Reply, TaskError>| match outcome {
        Ok(reply) => reply.number as usize,
        Err(error) => error.item().unwrap(),
    };
    match verb {
        0 => job.imap(spring, traps).collect(),
        1 => {
            let mut outcomes: Vec<_> = job.imap_unordered(spring, traps).collect();
            outcomes.sort_by_key(index);
            outcomes
        }
        2 => {
            let tasks = traps.into_iter().map(|trap| job.submit(spring, trap).unwrap());
            tasks.collect::<Vec<_>>().into_iter().map(|task| task.get()).collect()
        }
        3 => job.map(spring, traps).map_or_else(|error| vec![Err(error)], all_well),
        _ => {
            let task = job.map_async(spring, traps).unwrap();
            task.get().map_or_else(|error| vec![Err(error)], all_well)
        }
    }
}

fn all_well(replies: Vec<Reply>) -> Vec<Result<Reply, TaskError>> {
    replies.into_iter().map(Ok).collect()
}

fn check(plan: &Plan) {
    let pool = Pool::with_workers(plan.workers).unwrap();
    let ledger = Ledger::new();
    let traps = (0..).zip(&plan.items).map(|(n, &(place, how))| Trap::new(&ledger, n, place, how));
    let mut job = pool.job().retries(plan.retries);
    job = plan.chunk.into_iter().fold(job, Job::chunk);
    job = plan.window.into_iter().fold(job, Job::window);
    let outcomes = outcomes(&job, plan.verb, traps.collect());
    if plan.verb < 3 {
        check_each(plan, &ledger, &outcomes);
    } else {
        check_whole(plan, &outcomes);
    }
    assert_sound(&pool);
}

fn check_each(plan: &Plan, ledger: &Ledger, outcomes: &[Result<Reply, TaskError>]) {
    assert_eq!(outcomes.len(), plan.items.len());
    for (index, (outcome, &(place, how))) in outcomes.iter().zip(&plan.items).enumerate() {
        let number = u32::try_from(index).unwrap();
        let (runs, attempts) = expected(plan.retries, place, how);
        let found = outcome.as_ref().err().map(|error| error.attempts().len());
        assert_eq!(found, attempts, "item {index}: {outcome:?}");
        assert_eq!(ledger.count(number), runs, "item {index}: {outcome:?}");
        if let Ok(reply) = outcome {
            assert_eq!(reply.number, number);
        }
    }
}

/// All results in order, or the error of an item that fails: for `map` of the first one.
fn check_whole(plan: &Plan, outcomes: &[Result<Reply, TaskError>]) {
    let fails = |&(place, how): &(Place, How)| expected(plan.retries, place, how).1.is_some();
    let first = plan.items.iter().position(fails);
    match (first, outcomes) {
        (None, _) => {
            let numbers = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().number as usize);
            assert!(numbers.eq(0..plan.items.len()));
        }
        (Some(first), [Err(error)]) => {
            let item = error.item().unwrap();
            assert!(fails(&plan.items[item]), "{error:?}");
            assert!(plan.verb != 3 || item == first, "{error:?}");
        }
        (Some(_), _) => panic!("{outcomes:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_pool_does_what_the_model_says(plan in plans()) {
        guarded(move || check(&plan));
    }
}
