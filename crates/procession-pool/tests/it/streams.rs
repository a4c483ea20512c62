//! Results as streams: how far the input is pulled, and what happens when something in it goes wrong.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use procession_pool::{Pool, TaskError};

use super::guard::guarded;
use super::ledger::{Ledger, record};
use super::trap::assert_sound;

fn add(n: u64) -> u64 {
    n + 1
}

#[test]
fn the_input_is_pulled_as_far_as_the_window_and_no_further() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for window in [1, 2, 3, 7, 64, 1000] {
            for chunk in [None, Some(1), Some(5), Some(5000)] {
                let job = pool.job().window(window);
                let job = chunk.map_or(job.clone(), |items| job.chunk(items));
                let pulled = Rc::new(Cell::new(0_usize));
                let counter = Rc::clone(&pulled);
                let input = (0_u64..).inspect(move |_| counter.set(counter.get() + 1));
                let mut taken = 0;
                for (n, result) in (0..2000).zip(job.imap(add, input)) {
                    assert_eq!(result.unwrap(), n + 1);
                    taken += 1;
                    let ahead = pulled.get() - taken;
                    assert!(ahead <= window, "window {window}, chunk {chunk:?}: {ahead} ahead");
                }
            }
        }
    });
}

#[test]
fn a_slow_consumer_stops_the_producer() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let pulled = Cell::new(0_u64);
        let input = (0_u64..).inspect(|_| pulled.set(pulled.get() + 1));
        let mut stream = pool.imap_unordered(add, input);
        stream.next().unwrap().unwrap();
        let before = pulled.get();
        sleep(Duration::from_millis(50));
        assert_eq!(pulled.get(), before);
        // By default the window follows the chunks, and a chunk has at most a few thousand items.
        assert!(stream.by_ref().take(50_000).all(|result| result.is_ok()));
        assert!(pulled.get() < 150_000, "{}", pulled.get());
    });
}

/// Writes item `n` down. The first one does so when `others` have been written down, or gives up.
fn first_comes_last((ledger, n, others): (String, u32, u64)) -> bool {
    let is_waited_for = || std::fs::metadata(&ledger).unwrap().len() / 4 < others;
    let started = Instant::now();
    while n == 0 && is_waited_for() && started.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(1));
    }
    let came_last = n != 0 || !is_waited_for();
    record(&ledger, n);
    came_last
}

#[test]
fn a_slow_first_item_of_a_map_holds_up_no_other() {
    guarded(|| {
        let (pool, ledger) = (Pool::with_workers(2).unwrap(), Ledger::new());
        let items = (0..1000).map(|n| (ledger.path(), n, 999));
        let all = pool.map(first_comes_last, items).unwrap();
        assert!(all[0], "the others were not begun before the first one was done");
    });
}

/// Fails at item 1. Item 0 lasts until nothing more has been pulled for a while, which whoever pulls writes down.
fn second_fails_first_waits(pulls: &String, n: u32) {
    let written_down = || std::fs::metadata(pulls).unwrap().len();
    assert!(n != 1, "the second one");
    let mut before = u64::MAX;
    while n == 0 && written_down() != before {
        before = written_down();
        sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_map_pulls_nothing_more_once_an_item_has_failed() {
    guarded(|| {
        let (pool, ledger) = (Pool::with_workers(2).unwrap(), Ledger::new());
        let (pulls, pulled, all) = (ledger.path(), Cell::new(0_u32), 1_000_000);
        let items = (0..all).inspect(|&n| {
            pulled.set(n + 1);
            if n % 500 == 0 {
                record(&pulls, n);
            }
        });
        let error = pool.map_with(&pulls, second_fails_first_waits, items).unwrap_err();
        assert!(matches!(error, TaskError::Panicked { item: 1, .. }), "{error:?}");
        assert!(pulled.get() < all, "it pulled all");
    });
}

#[test]
fn large_results_that_wait_stop_the_producer() {
    guarded(|| {
        const LEN: usize = 256 << 10;
        let (pool, ledger) = (Pool::with_workers(2).unwrap(), Ledger::new());
        let pulled = Cell::new(0_u32);
        let input = (0..200).map(|n| {
            pulled.set(n + 1);
            (ledger.path(), n, 90)
        });
        let large = |item: (String, u32, u64)| vec![u8::from(first_comes_last(item)); LEN];
        let mut stream = pool.job().window(100).window_bytes(4 * LEN).imap(large, input);
        // Some ninety results wait for the first one.
        let taken = stream.by_ref().take(51).filter(|result| result.as_ref().unwrap()[0] == 1);
        assert_eq!(taken.count(), 51);
        assert!(pulled.get() <= 100, "{}", pulled.get());
        assert_eq!(stream.filter(Result::is_ok).count(), 200 - 51);
    });
}

#[test]
fn the_input_may_borrow_and_stay_on_its_thread() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let words = ["a".to_owned(), "bb".to_owned(), "ccc".to_owned()];
        let shared = Rc::new(words.iter().map(String::as_str).collect::<Vec<_>>());
        let input = shared.iter().copied().chain(words.iter().map(String::as_str));
        let lengths: Vec<usize> =
            pool.imap(|word: String| word.len(), input).map(Result::unwrap).collect();
        assert_eq!(lengths, [1, 2, 3, 1, 2, 3]);
    });
}

#[test]
fn the_length_is_known_when_that_of_the_input_is() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let input: Vec<u64> = (0..100).collect();
        let mut stream = pool.imap(add, &input);
        for left in (0..100).rev() {
            stream.next().unwrap().unwrap();
            assert_eq!(stream.len(), left);
        }
        assert!(stream.next().is_none() && stream.next().is_none());
        let unordered = pool.imap_unordered(add, 0..10);
        assert_eq!(unordered.size_hint(), (10, Some(10)));
        assert_eq!(unordered.count(), 10);
    });
}

fn breaks_at(limit: u64) -> impl Iterator<Item = u64> {
    (0..100_u64).inspect(move |&n| assert_ne!(n, limit, "the input breaks, on purpose"))
}

#[test]
fn a_panic_in_the_input_leaves_the_pool_intact() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for limit in [0, 1, 5, 50] {
            let job = pool.job().chunk(3);
            assert!(catch_unwind(AssertUnwindSafe(|| job.map(add, breaks_at(limit)))).is_err());
            let stream = || pool.imap_unordered(add, breaks_at(limit)).count();
            assert!(catch_unwind(AssertUnwindSafe(stream)).is_err());
            assert!(
                catch_unwind(AssertUnwindSafe(|| pool.map_async(add, breaks_at(limit)))).is_err()
            );
            assert_sound(&pool);
        }
    });
}

/// Whoever catches the panic and reads on gets what was pulled before it, and an end.
#[test]
fn a_stream_can_be_read_on_after_a_panic_in_its_input() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for (limit, chunk) in [(0, 1), (1, 1), (5, 3), (50, 7)] {
            let mut stream = pool.job().chunk(chunk).imap(add, breaks_at(limit));
            let mut results = Vec::new();
            let mut panics = 0;
            loop {
                match catch_unwind(AssertUnwindSafe(|| stream.next())) {
                    Ok(Some(result)) => results.push(result.unwrap()),
                    Ok(None) => break,
                    Err(_) => panics += 1,
                }
            }
            assert_eq!(panics, 1);
            let before: Vec<_> = (1..=limit).collect();
            assert!(results.starts_with(&before), "limit {limit}: {results:?}");
            drop(stream);
            assert_sound(&pool);
        }
    });
}

#[test]
fn closing_the_pool_ends_a_stream_after_what_was_pulled() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for is_ordered in [true, false] {
            let pool = if is_ordered { &pool } else { &Pool::with_workers(2).unwrap() };
            let job = pool.job().window(10).chunk(1);
            let mut stream =
                if is_ordered { job.imap(add, 0..) } else { job.imap_unordered(add, 0..) };
            let mut seen: Vec<u64> = stream.by_ref().take(5).map(Result::unwrap).collect();
            pool.close();
            let mut rest = Vec::new();
            // It says that it is endless, and nobody can make room for that.
            stream.for_each(|result| rest.push(result));
            let refused = rest.iter().filter(|result| matches!(result, Err(TaskError::Closed)));
            let refused = refused.count();
            assert!(refused > 0, "it ended as if the input had");
            assert_eq!(rest.iter().flatten().count() + refused, rest.len(), "{rest:?}");
            seen.extend(rest.iter().flatten());
            assert!((5..=15).contains(&seen.len()), "{}", seen.len());
            seen.sort_unstable();
            assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_pool_can_be_joined_while_a_stream_is_not_read() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut stream = pool.imap(add, 0..10_000);
        assert_eq!(stream.next().unwrap().unwrap(), 1);
        pool.join();
        let rest: Vec<_> = stream.collect();
        let done = rest.iter().take_while(|result| result.is_ok()).count();
        assert!(done < rest.len(), "it ended as if the input had");
        assert!(rest[done..].iter().all(|result| matches!(result, Err(TaskError::Closed))));
    });
}

/// What ends a pool in the middle of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Broken,
    Terminated,
    Closed,
}

/// Every item that was pulled has one outcome, and no stream ends as if it were complete.
#[test]
fn a_pool_that_ends_owes_an_outcome_for_each_item() {
    guarded(|| {
        for end in [End::Broken, End::Terminated, End::Closed] {
            for is_ordered in [true, false] {
                for (window, chunk) in [(1, 1), (40, 1), (40, 5), (1000, 100)] {
                    outcomes_of_an_end(end, is_ordered, window, chunk);
                }
            }
        }
    });
}

fn outcomes_of_an_end(end: End, is_ordered: bool, window: usize, chunk: usize) {
    let builder = Pool::builder().workers(2).restart_intensity(0, Duration::from_secs(3600));
    let pool = builder.build().unwrap();
    let pulled = Cell::new(0);
    let input = (0_u64..).inspect(|_| pulled.set(pulled.get() + 1));
    let die = |n: u64| if n == 300 { std::process::abort() } else { n };
    let job = pool.job().window(window).chunk(chunk);
    let function = if end == End::Broken { die } else { |n| n };
    let mut stream =
        if is_ordered { job.imap(function, input) } else { job.imap_unordered(function, input) };
    let mut outcomes: Vec<_> = stream.by_ref().take(200).collect();
    match end {
        End::Broken => {}
        End::Terminated => pool.terminate(),
        End::Closed => pool.close(),
    }
    stream.by_ref().for_each(|outcome| outcomes.push(outcome));
    assert!(stream.next().is_none());
    let context = format!("{end:?} ordered {is_ordered} window {window} chunk {chunk}");
    assert_eq!(outcomes.len(), pulled.get(), "{context}");
    let is_expected = |error: &TaskError| match end {
        End::Broken => matches!(error, TaskError::Died { item: 300, .. } | TaskError::Broken(_)),
        End::Terminated => matches!(error, TaskError::Cancelled { .. } | TaskError::Closed),
        End::Closed => matches!(error, TaskError::Closed),
    };
    let mut failed = 0;
    for (n, outcome) in (0..).zip(&outcomes) {
        match outcome {
            Ok(value) => assert!(!is_ordered || *value == n, "{context}"),
            Err(error) => {
                assert!(is_expected(error), "{error:?} {context}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0, "{context}");
    let mut values: Vec<_> = outcomes.iter().flatten().collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len() + failed, outcomes.len(), "{context}");
}

/// An input that is at its end before the pool is closed is complete.
#[test]
fn closing_costs_a_stream_nothing_that_has_all_its_input() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut stream = pool.job().window(100).imap(add, 0..50);
        assert_eq!(stream.next().unwrap().unwrap(), 1);
        pool.close();
        assert_eq!(stream.map(Result::unwrap).collect::<Vec<_>>(), (2..51).collect::<Vec<_>>());
    });
}

#[test]
fn several_streams_are_read_in_turn() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let streams =
            [pool.imap(add, 0..3000), pool.imap(add, 1000..4000), pool.imap(add, 0..3000)];
        let [mut one, mut two, mut three] = streams;
        for n in 1..=3000 {
            assert_eq!(one.next().unwrap().unwrap(), n);
            assert_eq!(two.next().unwrap().unwrap(), n + 1000);
            assert_eq!(three.next().unwrap().unwrap(), n);
        }
    });
}

#[test]
fn a_stream_can_feed_another() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let first = pool.imap(add, 0..2000).map(Result::unwrap);
        let second: Vec<u64> = pool.imap(add, first).map(Result::unwrap).collect();
        assert_eq!(second, (2..2002).collect::<Vec<_>>());
    });
}

#[test]
fn a_task_may_make_a_pool_of_its_own() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let sum = |n: u64| {
            let inner = Pool::with_workers(2).unwrap();
            inner.map(add, 0..n).unwrap().iter().sum::<u64>()
        };
        assert_eq!(pool.map(sum, [10, 20, 30]).unwrap(), [55, 210, 465]);
    });
}

/// Says at which depth a pool was refused, and why.
fn descend(depth: u32) -> (u32, String) {
    match Pool::with_workers(1) {
        Ok(pool) => pool.apply(descend, depth + 1).unwrap(),
        Err(error) => (depth, error.to_string()),
    }
}

#[test]
fn pools_in_pools_end_with_a_message() {
    guarded(|| {
        let (depth, text) = descend(0);
        assert_eq!(depth, procession_process::DEPTH_MAX);
        assert!(text.contains("processes may nest 16 deep"), "{text}");
    });
}

#[test]
fn what_does_not_fit_into_a_ring_flows_through_it() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let long = |mut bytes: Vec<u8>| {
            bytes.push(1);
            bytes
        };
        let items = (0..40).map(|_| vec![7_u8; 700_000]);
        let mut count = 0;
        for result in pool.job().chunk(3).imap(long, items) {
            assert_eq!(result.unwrap().len(), 700_001);
            count += 1;
        }
        assert_eq!(count, 40);
    });
}

/// Item 1 never ends.
fn get_stuck_at_one(n: u64) -> u64 {
    if n == 1 {
        sleep(Duration::from_secs(600));
    }
    n
}

#[test]
fn a_result_from_the_middle_of_a_message_comes_while_another_thread_sleeps_on_the_workers() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let busy = pool.submit(get_stuck_at_one, 1).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| busy.get());
            // Long enough to be asleep, and to have seen that nothing comes.
            sleep(Duration::from_millis(50));
            let mut stream = pool.job().window(16).chunk(4).imap(get_stuck_at_one, 0..16);
            assert_eq!(stream.next().unwrap().unwrap(), 0);
            pool.terminate();
            assert!(matches!(sleeper.join().unwrap(), Err(TaskError::Cancelled { .. })));
        });
    });
}

#[test]
fn what_waits_behind_an_item_goes_to_an_idle_worker_while_another_thread_sleeps_on_the_workers() {
    guarded(|| {
        let pool = Pool::with_workers(3).unwrap();
        let busy = pool.submit(get_stuck_at_one, 1).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| busy.get());
            sleep(Duration::from_millis(50));
            let others = pool.job().window(18).chunk(3).imap_unordered(get_stuck_at_one, 0..3);
            let mut others: Vec<_> = others.take(2).map(Result::unwrap).collect();
            others.sort_unstable();
            assert_eq!(others, [0, 2]);
            pool.terminate();
            assert!(matches!(sleeper.join().unwrap(), Err(TaskError::Cancelled { .. })));
        });
    });
}
