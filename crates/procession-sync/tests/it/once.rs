//! The cell that is written once, within one process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use procession_sync::{LockError, Once, OnceLock, SetOnceError};

#[test]
fn one_of_many_initializes() {
    static CELL: OnceLock<u64> = OnceLock::new();
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let values = thread::scope(|scope| {
        let threads = [1, 2, 3, 4].map(|number| {
            scope.spawn(move || {
                *CELL
                    .get_or_init(|| {
                        RUNS.fetch_add(1, Ordering::Relaxed);
                        number
                    })
                    .unwrap()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);
    assert_eq!(values, [values[0]; 4]);
    assert_eq!(CELL.get(), Some(&values[0]));
}

#[test]
fn a_value_is_set_once_and_the_second_comes_back() {
    let mut cell = OnceLock::new();
    assert_eq!(cell.get(), None);
    assert_eq!(cell.get_mut(), None);
    assert_eq!(format!("{cell:?}"), "OnceLock(<empty>)");
    cell.set("one".to_string()).unwrap();
    match cell.set("two".to_string()) {
        Err(SetOnceError::AlreadySet { value }) => assert_eq!(value, "two"),
        other => panic!("{other:?}"),
    }
    cell.get_mut().unwrap().push('!');
    assert_eq!(format!("{cell:?}"), "OnceLock(\"one!\")");
    assert_eq!(cell.into_inner().unwrap(), "one!");
}

#[test]
fn a_failed_initializer_leaves_the_cell_empty() {
    #[derive(Debug)]
    enum Failure {
        Mine,
        Lock(LockError),
    }
    impl From<LockError> for Failure {
        fn from(error: LockError) -> Self {
            Self::Lock(error)
        }
    }
    let cell = OnceLock::new();
    let failed = cell.get_or_try_init(|| Err::<u32, _>(Failure::Mine)).unwrap_err();
    match failed {
        Failure::Mine => {}
        Failure::Lock(error) => panic!("{error}"),
    }
    assert_eq!(cell.get(), None);
    assert_eq!(*cell.get_or_init(|| 1).unwrap(), 1);
}

#[test]
fn after_a_panic_the_next_one_initializes() {
    let cell = OnceLock::new();
    let panics = || drop(cell.get_or_init(|| resume_unwind(Box::new("quietly"))));
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert_eq!(*cell.get_or_init(|| 1).unwrap(), 1);
    let once = Once::new();
    let panics = || drop(once.call_once(|| resume_unwind(Box::new("quietly"))));
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert!(!once.is_completed());
    let mut runs = 0;
    once.call_once(|| runs += 1).unwrap();
    once.call_once(|| runs += 1).unwrap();
    assert_eq!(runs, 1);
    assert!(once.is_completed());
}

#[test]
fn values_are_dropped_once() {
    use std::rc::Rc;
    let value = Rc::new(());
    let cell = OnceLock::new();
    cell.set(Rc::clone(&value)).unwrap();
    drop(cell);
    assert_eq!(Rc::strong_count(&value), 1);
}
