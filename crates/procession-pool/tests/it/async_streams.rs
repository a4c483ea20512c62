//! `imap(..).stream()`: results that are awaited one by one.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use backstage::executor::{self, block_on};
use futures_core::Stream;
use procession_pool::{ImapStream, Pool, TaskError};

use super::guard::{eventually, guarded};
use super::trap::{How, assert_sound};

fn next<I: Iterator>(stream: &mut ImapStream<'_, I, u64>) -> Option<Result<u64, TaskError>> {
    block_on(executor::next(stream))
}

#[test]
fn results_are_awaited_in_order() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut stream = pool.imap(|n: u64| n * n, 0..2000_u64).stream();
        assert_eq!(Stream::size_hint(&stream), (2000, Some(2000)));
        for n in 0..2000 {
            assert_eq!(next(&mut stream).unwrap().unwrap(), n * n);
        }
        assert!(next(&mut stream).is_none() && next(&mut stream).is_none());
    });
}

#[test]
fn input_is_pulled_only_as_results_are_taken() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let pulled = std::cell::Cell::new(0_usize);
        let input = (0_u64..).inspect(|_| pulled.set(pulled.get() + 1));
        let mut stream = pool.job().window(10).imap_unordered(|n: u64| n, input).stream();
        assert_eq!(pulled.get(), 0, "nothing before the first poll");
        for taken in 1..200 {
            next(&mut stream).unwrap().unwrap();
            assert!(pulled.get() <= taken + 10, "{} pulled, {taken} taken", pulled.get());
        }
    });
}

/// The pool's own thread rests meanwhile.
#[test]
fn a_stream_that_is_polled_late_or_after_a_pause_is_seen_to() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let mut stream = pool.job().window(1).imap(|n: u64| n * n, 0..4_u64).stream();
        for n in 0..4 {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(next(&mut stream).unwrap().unwrap(), n * n);
        }
    });
}

#[test]
fn workers_are_seen_to_while_nobody_polls() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let hang = |n: u64| {
            if n == 0 {
                std::thread::sleep(Duration::from_secs(3600));
            }
            n
        };
        let mut stream =
            pool.job().timeout(Duration::from_millis(30)).imap(hang, 0..3_u64).stream();
        let pids = pool.worker_pids();
        let poll = poll_fn(|context| {
            let pending = Pin::new(&mut stream).poll_next(context).is_pending();
            std::task::Poll::Ready(pending)
        });
        assert!(block_on(poll), "it hangs");
        eventually("the worker was replaced", || {
            let now = pool.worker_pids();
            !now.is_empty() && now != pids
        });
        assert!(matches!(next(&mut stream), Some(Err(TaskError::TimedOut { item: 0, .. }))));
        assert_eq!(next(&mut stream).unwrap().unwrap(), 1);
    });
}

#[test]
fn a_death_costs_one_item_and_dropping_cancels() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let die = |n: u64| {
            if n == 5 {
                How::Kill.happen().unwrap();
            }
            n
        };
        let mut stream = pool.imap(die, 0..50_u64).stream();
        for n in 0..50 {
            let result = next(&mut stream).unwrap();
            assert_eq!(result.ok(), (n != 5).then_some(n));
        }
        let mut endless = pool.imap(|n: u64| n, 0_u64..).stream();
        assert_eq!(next(&mut endless).unwrap().unwrap(), 0);
        drop(endless);
        assert_sound(&pool);
        pool.close();
        let mut closed = pool.imap(|n: u64| n, 0..5_u64).stream();
        for _ in 0..5 {
            assert!(matches!(next(&mut closed), Some(Err(TaskError::Closed))));
        }
        assert!(next(&mut closed).is_none());
    });
}
