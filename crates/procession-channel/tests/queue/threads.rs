//! Many at once.

use std::collections::BTreeMap;
use std::thread;

use procession_channel::queue::Queue;

const THREADS: usize = 3;
const ITEMS: u64 = 20_000;

/// Each thread's items in order, and all of them once.
fn check(got: Vec<Vec<(usize, u64)>>) {
    let mut all = BTreeMap::<usize, Vec<u64>>::new();
    for items in got {
        let mut last = BTreeMap::new();
        for (thread, n) in items {
            assert!(last.insert(thread, n).is_none_or(|before| before < n), "out of order");
            all.entry(thread).or_default().push(n);
        }
    }
    assert_eq!(all.len(), THREADS);
    for items in all.values_mut() {
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..ITEMS));
    }
}

fn race(
    queue: &Queue<(usize, u64)>,
    put: impl Fn(usize) + Sync,
    get: impl Fn() -> Vec<(usize, u64)> + Sync,
) {
    let (put, get) = (&put, &get);
    let got = thread::scope(|scope| {
        let getters: Vec<_> = (0..THREADS).map(|_| scope.spawn(get)).collect();
        let putters: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || put(n))).collect();
        putters.into_iter().for_each(|putter| putter.join().unwrap());
        queue.close();
        getters.into_iter().map(|getter| getter.join().unwrap()).collect()
    });
    check(got);
}

#[test]
fn one_by_one_through_a_queue_of_two() {
    let queue = Queue::bounded(2).unwrap();
    race(
        &queue,
        |thread| (0..ITEMS).for_each(|n| queue.put((thread, n)).unwrap()),
        || (&queue).into_iter().map(Result::unwrap).collect(),
    );
}

#[test]
fn in_batches_through_a_growing_ring() {
    let queue = Queue::new().unwrap();
    race(
        &queue,
        |thread| queue.put_many((0..ITEMS).map(|n| (thread, n))).unwrap(),
        || {
            let mut all = Vec::new();
            while let Ok(many) = queue.get_many(64) {
                all.extend(many.map(Result::unwrap));
            }
            all
        },
    );
}

#[test]
fn by_claims() {
    let queue = Queue::builder().capacity(1 << 16).build().unwrap();
    race(
        &queue,
        |thread| (0..ITEMS).for_each(|n| queue.put((thread, n)).unwrap()),
        || {
            let mut all = Vec::new();
            while let Ok(claim) = queue.claim() {
                all.push(claim.done());
            }
            all
        },
    );
}
