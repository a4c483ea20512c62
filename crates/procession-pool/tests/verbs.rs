//! Each verb does what it says, in a plain `#[test]`, with tests of this binary running in parallel.

use procession_pool::{Pool, TaskError};
use procession_process::Failure;

fn square(n: u64) -> u64 {
    n * n
}

fn power(base: u64, exponent: u32) -> u64 {
    base.pow(exponent)
}

fn checked(n: i32) -> Result<i32, Failure> {
    if n < 0 {
        Err("negative")?;
    }
    Ok(n)
}

#[test]
fn map_keeps_the_order() {
    let pool = Pool::with_workers(3).unwrap();
    let expected: Vec<u64> = (0..10_000).map(square).collect();
    assert_eq!(pool.map(square, 0..10_000).unwrap(), expected);
    assert_eq!(pool.map(|n: u64| n * n, 0..10_000).unwrap(), expected);
    assert_eq!(pool.map(square, std::iter::empty::<u64>()).unwrap(), []);
}

#[test]
fn starmap_takes_pairs() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.starmap(power, [(2, 3), (3, 2), (10, 0)]).unwrap(), [8, 9, 1]);
    assert_eq!(pool.starmap(power, (1..5).zip(2..6)).unwrap(), [1, 8, 81, 1024]);
}

#[test]
fn borrowed_arguments_stand_for_clones() {
    let pool = Pool::with_workers(2).unwrap();
    let words = vec!["one".to_owned(), "three".to_owned()];
    assert_eq!(pool.map(|s: String| s.len(), &words).unwrap(), [3, 5]);
    assert_eq!(pool.map(|s: String| s.len(), ["one", "three"]).unwrap(), [3, 5]);
    let rows = [vec![1_u8, 2], vec![3]];
    assert_eq!(pool.map(|row: Vec<u8>| row.len(), rows.iter().map(Vec::as_slice)).unwrap(), [2, 1]);
}

#[test]
fn unordered_streams_yield_each_result_once() {
    let pool = Pool::with_workers(3).unwrap();
    let mut results: Vec<u64> =
        pool.imap_unordered(square, 0..5000).collect::<Result<_, _>>().unwrap();
    results.sort_unstable();
    assert_eq!(results, (0..5000).map(square).collect::<Vec<_>>());
    let mut sums: Vec<u64> =
        pool.istarmap_unordered(power, (0..100).map(|n| (n, 2))).map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, (0..100).map(square).collect::<Vec<_>>());
}

#[test]
fn a_context_is_shared_by_all_items() {
    let pool = Pool::with_workers(2).unwrap();
    let table: Vec<u64> = (0..1000).map(|n| n * 7).collect();
    let looked_up = pool.map_with(&table, |table, n: usize| table[n], 0..1000).unwrap();
    assert_eq!(looked_up, table);
}

#[test]
fn submit_and_get() {
    let pool = Pool::with_workers(2).unwrap();
    for n in 0..1000 {
        assert_eq!(pool.submit(square, n).unwrap().get().unwrap(), n * n);
    }
    let tasks: Vec<_> = (0..1000).map(|n| pool.submit(square, n).unwrap()).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.get().unwrap(), n * n);
    }
    assert_eq!(pool.apply(square, 12).unwrap(), 144);
    assert_eq!(pool.map_async(square, 0..100).unwrap().get().unwrap().len(), 100);
    assert!(pool.map_async(square, std::iter::empty::<u64>()).unwrap().get().unwrap().is_empty());
}

#[test]
fn a_failure_is_flattened_and_costs_its_item() {
    let pool = Pool::with_workers(2).unwrap();
    let results: Vec<_> = pool.imap(checked, [1, -2, 3]).collect();
    assert_eq!(results[0].as_ref().unwrap(), &1);
    assert_eq!(results[2].as_ref().unwrap(), &3);
    let Err(TaskError::Failed { item: 1, report, .. }) = &results[1] else {
        panic!("{:?}", results[1])
    };
    assert_eq!(report.to_string(), "negative");
    assert_eq!(pool.map(checked, [1, -2, 3]).unwrap_err().item(), Some(1));
    assert_eq!(pool.map(checked, [1, 2, 3]).unwrap(), [1, 2, 3]);
}

#[test]
fn results_of_any_size_come_back() {
    let pool = Pool::with_workers(2).unwrap();
    let sizes = [0, 1, 100, 70_000, 256 << 10, 3 << 20];
    let sent: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![7; size]).collect();
    let back = pool
        .map(
            |mut bytes: Vec<u8>| {
                bytes.push(1);
                bytes
            },
            &sent,
        )
        .unwrap();
    for (sent, back) in sent.iter().zip(&back) {
        assert_eq!(back.len(), sent.len() + 1);
        assert_eq!(back[..sent.len()], sent[..]);
    }
}

#[test]
fn an_endless_input_works_and_a_dropped_stream_cancels() {
    let pool = Pool::with_workers(2).unwrap();
    let first: Vec<u64> = pool.imap(square, 0..).take(1000).map(Result::unwrap).collect();
    assert_eq!(first, (0..1000).map(square).collect::<Vec<_>>());
    assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
}

#[test]
fn many_threads_use_one_pool() {
    let pool = Pool::with_workers(2).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..20 {
                    let base = thread * 1000 + round;
                    let mapped = pool.map(square, base..base + 100).unwrap();
                    assert_eq!(mapped, (base..base + 100).map(square).collect::<Vec<_>>());
                    assert_eq!(pool.submit(square, base).unwrap().get().unwrap(), base * base);
                }
            });
        }
    });
}

/// A driver that read the pool's bell after it had looked for deaths slept over the last one, until the farewell ran out.
#[test]
fn pools_that_are_done_end_promptly() {
    let watchdog = std::time::Duration::from_secs(60);
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..100 {
            let pool = Pool::with_workers(2).unwrap();
            assert_eq!(pool.map_with(&1, |one, n: u64| one + n, 0..10).unwrap().len(), 10);
        }
        done.send(()).unwrap();
    });
    finished.recv_timeout(watchdog).expect("100 pools end in a minute; each would take 5 s");
}
