//! Tasks as futures and with callbacks.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId, sleep};
use std::time::Duration;

use backstage::executor::block_on;
use procession_pool::{Pool, Task, TaskError};

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::trap::{How, assert_sound};

/// All results in order; polls each future again at each wake-up.
struct JoinAll<R> {
    tasks: Vec<Option<Task<R>>>,
    results: Vec<Option<Result<R, TaskError>>>,
}

impl<R> Unpin for JoinAll<R> {}

fn join_all<R>(tasks: Vec<Task<R>>) -> JoinAll<R> {
    let results = tasks.iter().map(|_| None).collect();
    JoinAll { tasks: tasks.into_iter().map(Some).collect(), results }
}

impl<R> Future for JoinAll<R> {
    type Output = Vec<Result<R, TaskError>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for index in 0..self.tasks.len() {
            let Some(task) = &mut self.tasks[index] else { continue };
            if let Poll::Ready(result) = Pin::new(task).poll(context) {
                self.tasks[index] = None;
                self.results[index] = Some(result);
            }
        }
        if self.tasks.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(self.results.iter_mut().map(|result| result.take().unwrap()).collect())
    }
}

#[test]
fn a_task_can_be_awaited() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for n in 0..200_u64 {
            assert_eq!(block_on(pool.submit(|n: u64| n + 1, n).unwrap()).unwrap(), n + 1);
        }
        let sum = block_on(async {
            let one = pool.submit(|n: u64| n + 1, 1).unwrap();
            let two = pool.submit(|n: u64| n + 1, 2).unwrap();
            one.await.unwrap() + two.await.unwrap()
        });
        assert_eq!(sum, 5);
    });
}

#[test]
fn many_tasks_can_be_awaited_together() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let tasks = (0..500).map(|n| pool.submit(|n: u64| n * n, n).unwrap()).collect();
        for (n, result) in (0..).zip(block_on(join_all(tasks))) {
            assert_eq!(result.unwrap(), n * n);
        }
        let many = (0..20).map(|_| pool.map_async(|n: u64| n, 0..100).unwrap()).collect();
        for result in block_on(join_all(many)) {
            assert_eq!(result.unwrap(), (0..100).collect::<Vec<_>>());
        }
    });
}

/// Executors on several threads, and threads that wait in the usual way, at the same time.
#[test]
fn futures_and_waiting_threads_share_a_pool() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        thread::scope(|scope| {
            for kind in 0..6_u64 {
                let pool = &pool;
                scope.spawn(move || {
                    for n in 0..150 {
                        let task = pool.submit(|n: u64| n + 7, n).unwrap();
                        let result = if kind % 2 == 0 { block_on(task) } else { task.get() };
                        assert_eq!(result.unwrap(), n + 7);
                    }
                });
            }
        });
    });
}

#[test]
fn a_death_an_error_and_a_timeout_wake_the_future() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let happen = |how: How| how.happen().unwrap();
        let died = block_on(pool.submit(happen, How::Kill).unwrap());
        assert!(matches!(died, Err(TaskError::Died { .. })), "{died:?}");
        let panicked = block_on(pool.submit(happen, How::Panic).unwrap());
        assert!(matches!(panicked, Err(TaskError::Panicked { .. })), "{panicked:?}");
        let job = pool.job().timeout(Duration::from_millis(50));
        let late = block_on(job.submit(happen, How::Stop).unwrap());
        assert!(matches!(late, Err(TaskError::TimedOut { .. })), "{late:?}");
        assert_sound(&pool);
    });
}

#[test]
fn a_cancel_wakes_the_future() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let hang = |_: u32| sleep(Duration::from_secs(600));
        let running = pool.submit(hang, 0).unwrap();
        let waiting = pool.submit(hang, 0).unwrap();
        let cancellers = [waiting.canceller(), running.canceller()];
        eventually("it runs", || running.is_running());
        let awaiting = thread::spawn(move || block_on(join_all(vec![running, waiting])));
        sleep(Duration::from_millis(100));
        for canceller in cancellers {
            assert!(canceller.cancel());
        }
        for result in awaiting.join().unwrap() {
            assert!(matches!(result, Err(TaskError::Cancelled { .. })));
        }
        assert_sound(&pool);
    });
}

#[test]
fn a_future_that_was_polled_can_be_dropped() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let slow = |(ledger, number): (String, u32)| {
            sleep(Duration::from_millis(30));
            record(&ledger, number);
        };
        for number in 0..6 {
            let mut task = pool.submit(slow, (ledger.path(), number)).unwrap();
            if number >= 3 {
                task = task.cancel_on_drop();
            }
            let poll = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_pending());
        }
        pool.join();
        let entries = ledger.entries();
        assert_eq!(entries, [0, 1, 2], "dropped ones go on, those that cancel do not");
    });
}

#[test]
fn callbacks_are_called_once() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let (sender, results) = mpsc::channel();
        for n in 0..100_u64 {
            let task = pool.submit(|n: u64| n + 1, n).unwrap();
            if n % 2 == 0 {
                eventually("it is done", || task.is_done());
            }
            let sender = sender.clone();
            task.on_done(move |result| sender.send(result.unwrap()).unwrap());
        }
        drop(sender);
        let mut results: Vec<_> = results.iter().collect();
        results.sort_unstable();
        assert_eq!(results, (1..=100).collect::<Vec<_>>());
    });
}

/// Nobody waits on the pool: its own thread has to see to it.
#[test]
fn a_callback_of_a_task_that_dies_is_called() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let (sender, results) = mpsc::channel();
        let kill = |()| How::Kill.happen().unwrap();
        pool.submit(kill, ()).unwrap().on_done(move |result| sender.send(result).unwrap());
        assert!(matches!(results.recv().unwrap(), Err(TaskError::Died { .. })));
    });
}

/// At the end of a thread, after all that belonged to it is gone.
#[test]
fn a_callback_comes_also_where_the_thread_is_at_its_end() {
    struct Last(Arc<Pool>, mpsc::Sender<u64>);

    impl Last {
        fn submit(&self, n: u64) {
            let sender = self.1.clone();
            let task = self.0.submit(|n: u64| n, n).unwrap();
            task.on_done(move |result| sender.send(result.unwrap()).unwrap());
        }
    }

    impl Drop for Last {
        fn drop(&mut self) {
            self.submit(2);
        }
    }

    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }

    guarded(|| {
        let (pool, (sender, results)) = (Arc::new(Pool::with_workers(1).unwrap()), mpsc::channel());
        let last = Last(Arc::clone(&pool), sender);
        thread::spawn(move || LAST.with_borrow_mut(|place| place.insert(last).submit(1)));
        let mut all: Vec<_> = results.iter().collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        assert_sound(&pool);
    });
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let (sender, called) = mpsc::channel();
        let task = pool.submit(|n: u64| n, 1).unwrap();
        task.on_done(move |_| {
            sender.send(()).unwrap();
            panic!("a callback that panics, on purpose");
        });
        called.recv().unwrap();
        assert_sound(&pool);
    });
}

#[test]
fn a_callback_may_submit() {
    guarded(|| {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let pool = POOL.get_or_init(|| Pool::with_workers(2).unwrap());
        let (sender, results) = mpsc::channel();
        for n in 0..50_u64 {
            let sender = sender.clone();
            pool.submit(|n: u64| n + 1, n).unwrap().on_done(move |first| {
                let second = pool.submit(|n: u64| n * 2, first.unwrap()).unwrap();
                second.on_done(move |second| sender.send(second.unwrap()).unwrap());
            });
        }
        drop(sender);
        let mut results: Vec<_> = results.iter().collect();
        results.sort_unstable();
        assert_eq!(results, (1..=50).map(|n| n * 2).collect::<Vec<_>>());
        pool.terminate();
    });
}

/// It should not, but it must not hang either: whoever calls it drives the pool at that moment, or another one can.
#[test]
fn a_callback_may_wait_for_another_task() {
    guarded(|| {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let pool = POOL.get_or_init(|| Pool::with_workers(2).unwrap());
        let (sender, results) = mpsc::channel();
        for n in 0..20_u64 {
            let sender = sender.clone();
            let slow = |n: u64| {
                sleep(Duration::from_millis(2));
                n
            };
            pool.submit(slow, n).unwrap().on_done(move |first| {
                let doubled = pool.apply(|n: u64| n * 2, first.unwrap()).unwrap();
                sender.send(doubled).unwrap();
            });
            // Somebody drives the pool while the callback comes.
            assert_eq!(pool.apply(slow, n).unwrap(), n);
        }
        drop(sender);
        let mut results: Vec<_> = results.iter().collect();
        results.sort_unstable();
        assert_eq!(results, (0..20).map(|n| n * 2).collect::<Vec<_>>());
        pool.terminate();
    });
}

/// The last handle of a pool may go away in a callback: dropping it waits for the workers.
#[test]
fn a_callback_may_drop_the_pool() {
    guarded(|| {
        let pool = Arc::new(Pool::with_workers(1).unwrap());
        let (sender, dropped) = mpsc::channel();
        let slow = |n: u64| sleep(Duration::from_millis(n));
        let task = pool.submit(slow, 50).unwrap();
        task.on_done(move |_| {
            drop(pool);
            sender.send(()).unwrap();
        });
        dropped.recv().unwrap();
    });
}

#[test]
fn a_result_is_given_out_once() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let mut task = pool.submit(|n: u64| n, 4).unwrap();
        let got = loop {
            if let Some(got) = task.try_get().unwrap() {
                break got;
            }
            thread::yield_now();
        };
        assert_eq!(got, 4);
        assert!(task.is_done() && !task.cancel());
        let again = task.try_get();
        assert!(matches!(again, Err(TaskError::Taken)), "{again:?}");
        assert!(matches!(task.get(), Err(TaskError::Taken)));
    });
}

/// An error of one item is the result, whatever the others are about.
#[test]
fn an_error_is_given_out_once() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let work = |n: u64| {
            assert!(n > 0, "the first one panics, on purpose");
            sleep(Duration::from_secs(600));
        };
        let mut task = pool.map_async(work, 0..3).unwrap();
        let error = loop {
            match task.try_get() {
                Ok(None) => thread::yield_now(),
                Ok(Some(_)) => panic!("it should have failed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TaskError::Panicked { item: 0, .. }), "{error:?}");
        assert!(task.is_done());
        let again = task.try_get();
        assert!(matches!(again, Err(TaskError::Taken)), "{again:?}");
        assert!(matches!(block_on(&mut task), Err(TaskError::Taken)));
        assert!(task.cancel(), "the others still run");
        assert_sound(&pool);
    });
}

/// The pool's own thread rests when there has been nothing to do for a while, also if that is because the argument of the next task
/// takes long to be made.
#[test]
fn a_task_whose_items_were_long_in_the_making_is_seen_to() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let late = |n: u64| {
            sleep(Duration::from_millis(300));
            n
        };
        assert_eq!(
            block_on(pool.map_async(|n: u64| n + 1, (0..3).map(late)).unwrap()).unwrap(),
            [1, 2, 3]
        );
        let (sender, called) = mpsc::channel();
        let task = pool.map_async(|n: u64| n + 1, (0..3).map(late)).unwrap();
        task.on_done(move |result| sender.send(result.unwrap()).unwrap());
        assert_eq!(called.recv().unwrap(), [1, 2, 3]);
        let ledger = Ledger::new();
        let items = (0..3).map(|n| (ledger.path(), late(n)));
        let note =
            |(ledger, number): (String, u64)| record(&ledger, u32::try_from(number).unwrap());
        drop(pool.map_async(note, items).unwrap());
        eventually("all are done", || ledger.entries().len() == 3);
    });
}

/// Where on the stack of this thread it is called.
fn place_on_stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// Results come faster than callbacks are done with them. Calls a callback for each of 600 tasks, and returns how far apart on the
/// stack two of them were called by one thread, in bytes.
fn stack_of_callbacks(pool: &'static Pool, callback: fn(&'static Pool)) -> usize {
    let (sender, places) = mpsc::channel();
    for n in 0..600_u64 {
        let sender = sender.clone();
        pool.submit(|n: u64| n, n).unwrap().on_done(move |_| {
            let place = place_on_stack();
            callback(pool);
            sender.send((thread::current().id(), place)).unwrap();
        });
    }
    drop(sender);
    let places: Vec<_> = places.iter().collect();
    assert_eq!(places.len(), 600);
    let me = thread::current().id();
    let others: Vec<_> = places.iter().filter(|(thread, _)| *thread != me).collect();
    let apart = |(one, here): &(ThreadId, usize)| {
        let same = others.iter().filter(move |(other, _)| other == one);
        same.map(|(_, there)| here.abs_diff(*there)).max().unwrap_or_default()
    };
    others.iter().map(|place| apart(place)).max().unwrap_or_default()
}

/// As many as have results would otherwise be on one stack, which ends somewhere.
#[test]
fn callbacks_are_called_one_after_the_other() {
    guarded(|| {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let pool = POOL.get_or_init(|| Pool::with_workers(2).unwrap());
        let stack = stack_of_callbacks(pool, |_| sleep(Duration::from_millis(1)));
        assert!(stack < 32 << 10, "{stack} bytes");
        pool.terminate();
    });
}

#[test]
fn callbacks_that_wait_for_the_pool_do_not_fill_the_stack() {
    guarded(|| {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let pool = POOL.get_or_init(|| Pool::with_workers(2).unwrap());
        let stack =
            stack_of_callbacks(pool, |pool| assert_eq!(pool.apply(|n: u64| n, 1).unwrap(), 1));
        assert!(stack < 128 << 10, "{stack} bytes");
        pool.terminate();
    });
}

/// A waker that owns a task of the same pool, as the wakers of executors own what they run.
struct Owner(#[expect(dead_code, reason = "it is there to be dropped")] Task<u64>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

/// Whatever a waker drops, it may use the pool.
#[test]
fn a_waker_that_is_replaced_may_own_another_task() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms: u64| {
            sleep(Duration::from_millis(ms));
            ms
        };
        let mut task = pool.submit(nap, 100).unwrap();
        let owned = pool.submit(nap, 0).unwrap();
        let waker = Waker::from(Arc::new(Owner(owned)));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(task.get().unwrap(), 100);

        let mut task = pool.submit(nap, 100).unwrap();
        let owned = pool.submit(nap, 0).unwrap();
        let waker = Waker::from(Arc::new(Owner(owned)));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(task);
        assert_sound(&pool);
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics, on purpose")
    }
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms: u64| sleep(Duration::from_millis(ms));
        let mut task = pool.submit(nap, 30).unwrap();
        let waker = Waker::from(Arc::new(Panics));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        // The pool's own thread sees to it, and must be there for the next task.
        sleep(Duration::from_millis(100));
        for _ in 0..10 {
            let (sender, called) = mpsc::channel();
            let next = pool.submit(nap, 1).unwrap();
            next.on_done(move |result| sender.send(result).unwrap());
            called.recv().unwrap().unwrap();
        }
        task.get().unwrap();
        assert_sound(&pool);
    });
}

/// A waker of which a copy is made by submitting to the pool, and every third time by panicking.
mod curious {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{RawWaker, RawWakerVTable, Waker};

    use procession_pool::Pool;

    pub(super) static POOL: OnceLock<Pool> = OnceLock::new();
    static COPIES: AtomicU32 = AtomicU32::new(0);
    static TABLE: RawWakerVTable = RawWakerVTable::new(copy, |_| (), |_| (), |_| ());

    fn copy(_: *const ()) -> RawWaker {
        drop(POOL.get().unwrap().submit(|n: u64| n, 1).unwrap());
        let copies = COPIES.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!copies.is_multiple_of(3), "no copy, on purpose");
        RawWaker::new(std::ptr::null(), &TABLE)
    }

    pub(super) fn waker() -> Waker {
        // SAFETY: the functions of the table use no pointer.
        unsafe { Waker::new(std::ptr::null(), &TABLE) }
    }
}

#[test]
fn a_waker_may_use_the_pool_and_panic_while_it_is_copied() {
    guarded(|| {
        let pool = curious::POOL.get_or_init(|| Pool::with_workers(1).unwrap());
        let mut task = pool.submit(sleep, Duration::MAX).unwrap();
        let curious = curious::waker();
        for _ in 0..7 {
            let poll = || Pin::new(&mut task).poll(&mut Context::from_waker(&curious));
            let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll));
            assert!(polled.is_err() || polled.is_ok_and(|polled| polled.is_pending()));
        }
        task.cancel();
        assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
        assert_sound(pool);
    });
}
