//! What all items of a call share: it is encoded once, and decoded once by each worker that has an item of the call.

use std::collections::BTreeMap;

use procession_pool::{Job, Pool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guard::guarded;
use super::ledger::{Ledger, record};
use super::trap::{How, assert_sound};

/// Writes down who encodes and who decodes it.
#[derive(Debug, Clone)]
struct Table {
    ledger: String,
    factor: u64,
}

/// What an encoding writes down, as no process has this number.
const ENCODED: u32 = 0;

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        record(&self.ledger, ENCODED);
        (&self.ledger, self.factor).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (ledger, factor) = <(String, u64)>::deserialize(deserializer)?;
        record(&ledger, std::process::id());
        Ok(Self { ledger, factor })
    }
}

fn scale(table: &Table, n: u64) -> u64 {
    table.factor * n
}

/// How often it was encoded, and how often by each process decoded.
fn counts(ledger: &Ledger) -> (usize, BTreeMap<u32, usize>) {
    let mut decoded = ledger.counts();
    (decoded.remove(&ENCODED).unwrap_or_default(), decoded)
}

#[track_caller]
fn assert_once(ledger: &Ledger, workers: usize) {
    let (encoded, decoded) = counts(ledger);
    assert_eq!(encoded, 1);
    assert!((1..=workers).contains(&decoded.len()), "{decoded:?}");
    assert!(decoded.values().all(|count| *count == 1), "{decoded:?}");
    assert!(!decoded.contains_key(&std::process::id()));
}

type Verb = fn(Job<'_>, &Table) -> Vec<u64>;

const VERBS: [Verb; 3] = [
    |job, table| job.map_with(table, scale, 0..200).unwrap(),
    |job, table| job.imap_with(table, scale, 0..200).map(Result::unwrap).collect(),
    |job, table| {
        let results = job.imap_unordered_with(table, scale, 0..200);
        let mut unordered: Vec<u64> = results.map(Result::unwrap).collect();
        unordered.sort_unstable();
        unordered
    },
];

#[test]
fn it_is_encoded_once_and_decoded_once_by_each_worker() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for (factor, verb) in (1..).zip(VERBS) {
            for chunk in [1, 7, 1000] {
                let ledger = Ledger::new();
                let table = Table { ledger: ledger.path(), factor };
                let expected: Vec<u64> = (0..200).map(|n| n * factor).collect();
                assert_eq!(verb(pool.job().chunk(chunk), &table), expected);
                assert_once(&ledger, 2);
            }
        }
    });
}

/// Each call has its own, also where items of several are done in turn.
#[test]
fn those_of_two_calls_at_once_are_kept_apart() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledgers = [Ledger::new(), Ledger::new()];
        let tables = [2, 3]
            .map(|factor| Table { ledger: ledgers[factor - 2].path(), factor: factor as u64 });
        let stream = |table| pool.job().chunk(1).window(4).imap_with(table, scale, 0..200);
        let both = stream(&tables[0]).zip(stream(&tables[1]));
        for (n, (double, triple)) in (0..).zip(both) {
            assert_eq!((double.unwrap(), triple.unwrap()), (2 * n, 3 * n));
        }
        ledgers.iter().for_each(|ledger| assert_once(ledger, 2));
    });
}

#[test]
fn a_worker_that_takes_the_place_of_a_dead_one_decodes_it_once_more() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let table = Table { ledger: ledger.path(), factor: 5 };
        let scale_or_die = |table: &Table, n: u64| {
            if n == 100 {
                How::Kill.happen().unwrap();
            }
            scale(table, n)
        };
        let outcomes: Vec<_> =
            pool.job().chunk(3).imap_with(&table, scale_or_die, 0..200).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        assert!(
            (0..)
                .zip(&outcomes)
                .all(|(n, it)| it.as_ref().is_ok_and(|it| *it == 5 * n) || n == 100)
        );
        assert_once(&ledger, 3);
        assert_sound(&pool);
    });
}
