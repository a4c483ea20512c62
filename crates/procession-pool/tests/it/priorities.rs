//! What goes first.

use procession_channel::pipe::{Receiver, simplex};
use procession_pool::Pool;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};

const PRIORITIES: [i32; 12] = [0, 5, -3, 5, 1, 0, i32::MAX, -3, i32::MIN, 1, 0, i32::MAX];

fn note((ledger, number): (String, u32)) {
    record(&ledger, number);
}

/// The higher ones, and of the same those that came first.
#[test]
fn tasks_that_wait_are_run_by_their_priorities() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let (go, start) = simplex::<()>().unwrap();
        let busy = pool.submit(|start: Receiver<()>| start.recv().unwrap(), start).unwrap();
        eventually("the worker is busy", || busy.is_running());
        let tasks: Vec<_> = (0..)
            .zip(PRIORITIES)
            .map(|(number, priority)| {
                pool.job().priority(priority).submit(note, (ledger.path(), number)).unwrap()
            })
            .collect();
        go.send(()).unwrap();
        tasks.into_iter().for_each(|task| task.get().unwrap());
        let mut expected: Vec<u32> = (0..12).collect();
        expected.sort_by_key(|number| std::cmp::Reverse(PRIORITIES[*number as usize]));
        assert_eq!(ledger.entries(), expected);
    });
}

/// Of a stream no more goes ahead than lies with the worker.
#[test]
fn an_urgent_task_passes_what_is_left_of_a_long_map() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let slow = |(ledger, number): (String, u32)| {
            record(&ledger, number);
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let items: Vec<_> = (0..200).map(|number| (ledger.path(), number)).collect();
        let map = pool.job().priority(-1).map_async(slow, items).unwrap();
        eventually("it has begun", || !ledger.entries().is_empty());
        pool.submit(note, (ledger.path(), 1000)).unwrap().get().unwrap();
        let before = ledger.entries().iter().position(|number| *number == 1000).unwrap();
        map.get().unwrap();
        assert_eq!(ledger.entries().len(), 201);
        assert!(before < 150, "{before} of 200 items went first");
    });
}
