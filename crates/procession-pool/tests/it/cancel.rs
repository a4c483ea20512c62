//! Tasks that are cancelled: before, while and after they run.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use procession_pool::{Pool, TaskError};

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::runs;
use super::trap::assert_sound;

/// Writes its process down and then sleeps for ever.
fn hang(ledger: String) {
    record(&ledger, std::process::id());
    sleep(Duration::from_secs(600));
}

fn note((ledger, number): (String, u32)) -> u32 {
    record(&ledger, number);
    number
}

#[test]
fn a_running_task_is_stopped_by_killing_its_worker() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let task = pool.submit(hang, ledger.path()).unwrap();
        eventually("it runs", || !ledger.entries().is_empty());
        let pid = ledger.entries()[0];
        assert!(task.is_running() && !task.is_done());
        assert!(task.cancel());
        eventually("its worker is gone", || !runs(pid));
        let error = task.get().unwrap_err();
        assert!(matches!(error, TaskError::Cancelled { item: 0, .. }), "{error:?}");
        assert_eq!(error.to_string(), "item 0 was cancelled");
        assert_sound(&pool);
        assert_eq!(ledger.entries().len(), 1);
    });
}

#[test]
fn a_task_that_waits_is_not_run() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let first = pool.submit(hang, ledger.path()).unwrap();
        let waiting: Vec<_> =
            (0..10).map(|n| pool.submit(note, (ledger.path(), n)).unwrap()).collect();
        for task in &waiting {
            assert!(task.cancel());
            assert!(task.is_done() && !task.is_running());
        }
        for task in waiting {
            assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
        }
        eventually("the first one runs", || {
            first.is_running();
            !ledger.entries().is_empty()
        });
        assert!(first.cancel());
        assert_sound(&pool);
        assert_eq!(ledger.entries().len(), 1);
    });
}

#[test]
fn a_task_that_is_done_cannot_be_cancelled() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let pids = {
            assert_sound(&pool);
            pool.worker_pids()
        };
        let task = pool.submit(|n: u32| n + 1, 1).unwrap();
        eventually("it is done", || task.is_done());
        assert!(!task.cancel());
        assert!(!task.cancel());
        assert_eq!(task.get().unwrap(), 2);
        assert_eq!(pool.worker_pids(), pids);
    });
}

/// Also if it is done while its worker is about to be killed: who was told that it is stopped gets no result, and none of its effects
/// count as done.
#[test]
fn what_was_cancelled_is_never_done() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let busy = |us: u64| {
            let started = Instant::now();
            while started.elapsed() < Duration::from_micros(us) {}
            us
        };
        for round in 0..2000 {
            let task = pool.submit(busy, 100 + round % 50).unwrap();
            busy(round % 200);
            let is_cancelled = task.cancel();
            let result = task.get();
            let is_as_said = match &result {
                Err(TaskError::Cancelled { item: 0, .. }) => is_cancelled,
                other => !is_cancelled && other.is_ok(),
            };
            assert!(is_as_said, "cancelled: {is_cancelled}, {result:?}");
        }
    });
}

/// Others keep their places.
#[test]
fn any_of_many_tasks_that_wait_can_be_cancelled() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let running = pool.submit(hang, ledger.path()).unwrap();
        eventually("it runs", || !ledger.entries().is_empty());
        let submit = |number: u32| {
            let items = [0, 1].map(|half| (ledger.path(), 2 * number + half));
            pool.job().priority(i32::from(number.is_multiple_of(5))).map_async(note, items).unwrap()
        };
        let (off, kept): (Vec<_>, Vec<_>) =
            (0..300).map(submit).enumerate().partition(|(index, _)| index % 3 == 1);
        assert!(off.iter().rev().all(|(_, task)| task.cancel()));
        assert!(off.iter().all(|(_, task)| task.is_done() && !task.cancel()));
        assert!(running.cancel());
        for (index, task) in kept {
            let number = u32::try_from(index).unwrap();
            assert_eq!(task.get().unwrap(), [2 * number, 2 * number + 1]);
        }
        pool.join();
        let (urgent, others): (Vec<u32>, Vec<u32>) =
            ledger.entries().into_iter().skip(1).partition(|number| (number / 2).is_multiple_of(5));
        assert_eq!(urgent.len() + others.len(), 400);
        assert!(urgent.is_sorted() && others.is_sorted());
    });
}

#[test]
fn a_second_cancel_stops_nothing() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let running = pool.submit(hang, ledger.path()).unwrap();
        let waiting = pool.submit(note, (ledger.path(), 1)).unwrap();
        assert!(waiting.cancel());
        assert!(!waiting.cancel());
        eventually("it runs", || running.is_running());
        assert!(running.cancel());
        eventually("it is done", || running.is_done());
        assert!(!running.cancel());
        assert!(matches!(running.get(), Err(TaskError::Cancelled { .. })));
        assert_sound(&pool);
    });
}

#[test]
fn a_running_task_is_cancelled_while_another_thread_waits_for_it() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let task = pool.submit(hang, ledger.path()).unwrap();
        let canceller = task.canceller();
        let waiter = thread::spawn(move || task.get());
        eventually("it runs", || !ledger.entries().is_empty());
        assert!(canceller.clone().cancel());
        assert!(matches!(waiter.join().unwrap(), Err(TaskError::Cancelled { .. })));
        assert!(!canceller.cancel());
        assert_sound(&pool);
    });
}

/// The waiter drives the pool and sleeps on the workers' words, none of which will change.
#[test]
fn a_waiting_task_is_cancelled_while_another_thread_waits_for_it() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let running = pool.submit(hang, ledger.path()).unwrap();
        eventually("it runs", || running.is_running());
        let waiting = pool.submit(note, (ledger.path(), 1)).unwrap();
        let canceller = waiting.canceller();
        let waiter = thread::spawn(move || waiting.get());
        // Time for the waiter to fall asleep; too little would only make the test easier to pass.
        sleep(Duration::from_millis(200));
        assert!(canceller.cancel());
        assert!(matches!(waiter.join().unwrap(), Err(TaskError::Cancelled { .. })));
        assert!(running.cancel());
        assert_sound(&pool);
        assert_eq!(ledger.entries().len(), 1);
    });
}

#[test]
fn a_dropped_task_goes_on_unless_told_otherwise() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let blocker = pool.submit(|ms: u64| sleep(Duration::from_millis(ms)), 50).unwrap();
        drop(pool.submit(note, (ledger.path(), 1)).unwrap());
        drop(pool.submit(note, (ledger.path(), 2)).unwrap().cancel_on_drop());
        drop(pool.submit(note, (ledger.path(), 3)).unwrap());
        blocker.get().unwrap();
        eventually("the dropped tasks run", || ledger.entries().len() == 2);
        pool.join();
        assert_eq!(ledger.entries(), [1, 3]);
    });
}

#[test]
fn a_running_task_is_stopped_when_its_owner_lets_it_go() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let task = pool.submit(hang, ledger.path()).unwrap().cancel_on_drop();
        eventually("it runs", || task.is_running());
        eventually("it says so", || !ledger.entries().is_empty());
        let pid = ledger.entries()[0];
        drop(task);
        eventually("its worker is gone", || !runs(pid));
        assert_sound(&pool);
    });
}

#[test]
fn all_items_of_a_task_are_cancelled() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let slow = |(ledger, number): (String, u32)| {
            record(&ledger, number);
            sleep(Duration::from_millis(if number < 200 { 0 } else { 600_000 }));
        };
        let items = (0..1000).map(|number| (ledger.path(), number));
        let task = pool.job().chunk(10).map_async(slow, items).unwrap();
        eventually("two of them hang", || {
            task.is_running() && ledger.entries().iter().filter(|&&n| n >= 200).count() == 2
        });
        assert!(task.cancel());
        assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
        assert_sound(&pool);
        assert_eq!(ledger.entries().iter().filter(|&&n| n >= 200).count(), 2);
        assert!(ledger.counts().values().all(|&count| count == 1));
    });
}

/// Tasks that end at about the moment at which they are cancelled: whatever becomes of those, nobody else must notice.
#[test]
fn cancelling_one_task_never_cancels_another() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for round in 0..300_u64 {
            let work = |(n, spin): (u64, u64)| (0..spin).fold(n, |n, _| std::hint::black_box(n));
            let tasks: Vec<_> =
                (0..20).map(|n| pool.submit(work, (n, 200 + round * 5)).unwrap()).collect();
            for task in tasks.iter().step_by(2) {
                task.cancel();
            }
            for (n, task) in (0..).zip(tasks) {
                match task.get() {
                    Ok(value) => assert_eq!(value, n),
                    Err(error) => {
                        let cancelled = matches!(error, TaskError::Cancelled { .. });
                        assert!(cancelled && n % 2 == 0, "round {round}, task {n}: {error:?}");
                    }
                }
            }
        }
        assert_sound(&pool);
    });
}

/// The same for the items of one stream, which its worker has several of.
#[test]
fn cancelling_a_task_does_not_touch_a_stream() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let expected: Vec<u64> = (0..20_000).collect();
        thread::scope(|scope| {
            let stream = scope.spawn(|| pool.map(|n: u64| n, 0..20_000));
            while !stream.is_finished() {
                let task = pool.submit(|n: u64| n, 1).unwrap();
                thread::yield_now();
                task.cancel();
                match task.get() {
                    Ok(1) | Err(TaskError::Cancelled { item: 0, .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(stream.join().unwrap().unwrap(), expected);
        });
        assert_sound(&pool);
    });
}

#[test]
fn a_dropped_stream_cancels_what_has_not_begun() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let slow = |(ledger, number): (String, u32)| {
            record(&ledger, number);
            sleep(Duration::from_millis(if number == 0 { 0 } else { 100 }));
        };
        let items = (0..1000).map(|number| (ledger.path(), number));
        let mut stream = pool.job().chunk(100).window(1000).imap(slow, items);
        stream.next().unwrap().unwrap();
        drop(stream);
        let begun = ledger.entries().len();
        pool.join();
        // What a worker is on when the stream is dropped is finished; it may have begun just now.
        assert!(ledger.entries().len() <= begun + 2, "{begun} {:?}", ledger.entries());
    });
}

#[test]
fn a_failed_map_does_not_run_the_rest() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let ledger = Ledger::new();
        let fail_first = |(ledger, number): (String, u32)| {
            record(&ledger, number);
            assert_ne!(number, 0, "the first one fails");
            sleep(Duration::from_millis(20));
        };
        let items = (0..400).map(|number| (ledger.path(), number));
        let error = pool.job().chunk(100).window(400).map(fail_first, items).unwrap_err();
        assert_eq!(error.item(), Some(0));
        let begun = ledger.entries().len();
        pool.join();
        // A worker may have begun one just now.
        assert!(ledger.entries().len() <= begun + 2, "{begun} {}", ledger.entries().len());
    });
}

#[test]
fn terminate_ends_all_waits() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let running = pool.submit(hang, ledger.path()).unwrap();
        let waiting = pool.submit(hang, ledger.path()).unwrap();
        eventually("it runs", || running.is_running());
        let waiters = [running, waiting].map(|task| thread::spawn(move || task.get()));
        sleep(Duration::from_millis(50));
        pool.terminate();
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Err(TaskError::Cancelled { .. })));
        }
    });
}

/// Is done at once, or writes down that it runs and waits until something is written to the gate.
fn pass((gate, log): (String, String)) {
    if gate.is_empty() {
        return;
    }
    record(&log, 0);
    while std::fs::metadata(&gate).is_ok_and(|gate| gate.len() == 0) {
        sleep(Duration::from_millis(1));
    }
}

/// A worker that is stuck cannot answer that something was taken back from it, so that nothing more can be taken back. It must not
/// be given anything then that others could do.
#[test]
fn nothing_is_put_behind_an_item_that_is_stuck_after_something_was_cancelled_there() {
    const QUICK: usize = 20;
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let (stuck, other, log) = (Ledger::new(), Ledger::new(), Ledger::new());
        let quick = || (String::new(), String::new());
        let job = pool.job().window(2).chunk(1);
        let held = pool.submit(pass, (other.path(), log.path())).unwrap();
        eventually("one worker is held", || log.entries().len() == 1);
        // Calls whose items are known to be short, each with one that is done and not taken yet.
        let mut then_stuck = vec![(stuck.path(), log.path())].into_iter();
        let input = (0..).map(|n| if n < QUICK { quick() } else { then_stuck.next().unwrap() });
        let mut first = job.clone().imap(pass, input);
        let mut cancelled = job.clone().imap(pass, std::iter::repeat_with(quick));
        let mut last = job.imap(pass, std::iter::repeat_with(quick));
        for _ in 0..QUICK - 1 {
            for stream in [&mut cancelled, &mut last] {
                stream.next().unwrap().unwrap();
            }
            first.next().unwrap().unwrap();
        }
        first.next().unwrap().unwrap();
        eventually("the other one is stuck", || log.entries().len() == 2);
        cancelled.next().unwrap().unwrap();
        drop(cancelled);
        last.next().unwrap().unwrap();
        record(&other.path(), 0);
        last.next().unwrap().unwrap();
        held.get().unwrap();
        record(&stuck.path(), 0);
    });
}

/// What waits behind an item that is stuck goes to a worker that has nothing to do, also if most of it has not been sent yet.
#[test]
fn large_items_do_not_wait_behind_one_that_is_stuck() {
    const QUICK: usize = 20;
    type Item = (String, String, Vec<u8>);
    let pass = |(gate, log, bytes): Item| {
        pass((gate, log));
        bytes.len()
    };
    guarded(move || {
        let pool = Pool::with_workers(2).unwrap();
        let (stuck, other, log) = (Ledger::new(), Ledger::new(), Ledger::new());
        let quick = |len| (String::new(), String::new(), vec![7; len]);
        let job = pool.job().window(2).chunk(1);
        let held = pool.submit(pass, (other.path(), log.path(), Vec::new())).unwrap();
        eventually("one worker is held", || log.entries().len() == 1);
        let mut first = job.clone().imap(
            pass,
            (0..=QUICK).map(|n| match n {
                QUICK => (stuck.path(), log.path(), Vec::new()),
                _ => quick(0),
            }),
        );
        let mut large =
            job.imap(pass, (0..=QUICK).map(|n| quick(if n == QUICK { 1 << 20 } else { 0 })));
        for _ in 0..QUICK - 1 {
            assert_eq!(large.next().unwrap().unwrap(), 0);
            assert_eq!(first.next().unwrap().unwrap(), 0);
        }
        assert_eq!(first.next().unwrap().unwrap(), 0);
        eventually("the other one is stuck", || log.entries().len() == 2);
        assert_eq!(large.next().unwrap().unwrap(), 0);
        record(&other.path(), 0);
        assert_eq!(large.next().unwrap().unwrap(), 1 << 20);
        held.get().unwrap();
        record(&stuck.path(), 0);
        assert_eq!(first.next().unwrap().unwrap(), 0);
    });
}
