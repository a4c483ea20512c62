//! Arguments and results that cannot be encoded or decoded, and pools that take nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use procession_pool::{Pool, PoolError, SubmitError, TaskError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guard::guarded;
use super::trap::assert_sound;

#[test]
fn a_pool_without_workers_is_refused() {
    let error = Pool::with_workers(0).unwrap_err();
    assert!(matches!(error, PoolError::NoWorkers));
    assert!(error.to_string().contains("ask for 1 or more"), "{error}");
    assert!(matches!(Pool::builder().workers(0).build(), Err(PoolError::NoWorkers)));
}

#[test]
fn a_name_may_hold_anything() {
    guarded(|| {
        let pool = Pool::builder().workers(1).name("no\0end ").build().unwrap();
        assert_sound(&pool);
        assert_eq!(pool.submit(|n: u32| n, 7).unwrap().get().unwrap(), 7);
    });
}

/// Cannot be encoded if odd.
#[derive(Debug, Clone, Copy, Deserialize)]
struct EvenOnly(u32);

impl Serialize for EvenOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom(format!("{} is odd", self.0)));
        }
        serializer.serialize_u32(self.0)
    }
}

fn value(EvenOnly(n): EvenOnly) -> u32 {
    n
}

#[test]
fn an_argument_that_cannot_be_encoded_costs_its_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for chunk in [1, 4, 100] {
            let job = pool.job().chunk(chunk);
            let error = job.map(value, (0..10).map(EvenOnly)).unwrap_err();
            assert!(matches!(error, TaskError::Encode { item: 1, .. }), "{error:?}");
            assert!(error.to_string().contains("1 is odd"), "{error}");
            let outcomes: Vec<_> = job.imap(value, (0..100).map(EvenOnly)).collect();
            assert_eq!(outcomes.len(), 100);
            for (n, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Ok(value) => assert!(value == n && n % 2 == 0),
                    Err(TaskError::Encode { item, .. }) => {
                        assert!(item == n as usize && n % 2 == 1);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            let failed = job.imap_unordered(value, (0..100).map(EvenOnly)).filter(Result::is_err);
            assert_eq!(failed.count(), 50);
        }
        let error = pool.submit(value, EvenOnly(3)).unwrap_err();
        assert!(matches!(error, SubmitError::Encode(_)) && error.to_string().contains("3 is odd"));
        let error = pool.apply(value, EvenOnly(3)).unwrap_err();
        assert!(matches!(error, TaskError::Encode { item: 0, .. }));
        assert!(matches!(pool.map_async(value, [EvenOnly(1)]), Err(SubmitError::Encode(_))));
        assert_sound(&pool);
    });
}

#[test]
fn an_input_of_which_nothing_can_be_encoded_ends() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let odd = (0..500).map(|n| EvenOnly(2 * n + 1));
        let errors = pool.imap(value, odd.clone()).filter(Result::is_err).count();
        assert_eq!(errors, 500);
        assert_eq!(pool.job().window(1).imap_unordered(value, odd).count(), 500);
        assert_sound(&pool);
    });
}

#[test]
fn a_context_that_cannot_be_encoded_is_one_error() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let work = |context: &EvenOnly, n: u32| context.0 + n;
        let error = pool.map_with(&EvenOnly(1), work, 0..10).unwrap_err();
        assert!(matches!(error, TaskError::Encode { .. }), "{error:?}");
        assert!(error.to_string().contains("1 is odd"), "{error}");
        let mut stream = pool.imap_with(&EvenOnly(1), work, 0..10);
        assert_eq!(stream.size_hint(), (1, Some(1)));
        assert!(matches!(stream.next(), Some(Err(TaskError::Encode { .. }))));
        assert!(stream.next().is_none());
        assert_eq!(pool.map_with(&EvenOnly(2), work, 0..3).unwrap(), [2, 3, 4]);
    });
}

#[test]
fn a_path_that_is_not_text_is_refused_with_advice() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let bad = PathBuf::from(OsString::from_vec(vec![b'a', 0xff]));
        let len = |path: PathBuf| path.as_os_str().len();
        for error in [
            pool.map(len, [bad.clone()]).unwrap_err().to_string(),
            pool.submit(len, bad.clone()).unwrap_err().to_string(),
            pool.map_with(&bad, |path: &PathBuf, ()| path.as_os_str().len(), [()])
                .unwrap_err()
                .to_string(),
        ] {
            assert!(error.contains("OsString"), "{error}");
        }
        let outcomes: Vec<_> =
            pool.imap(len, [PathBuf::from("x"), bad, PathBuf::from("yz")]).collect();
        assert_eq!(outcomes[0].as_ref().unwrap(), &1);
        assert!(matches!(outcomes[1], Err(TaskError::Encode { item: 1, .. })));
        assert_eq!(outcomes[2].as_ref().unwrap(), &2);
    });
}

/// Panics when it is encoded in the caller.
#[derive(Debug, Clone, Copy, Deserialize)]
struct PanicsHere(u32);

impl Serialize for PanicsHere {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 5, "encoding panics, on purpose");
        serializer.serialize_u32(self.0)
    }
}

/// It is the caller's own panic, on his own stack. Whatever becomes of it, the pool is as good as before.
#[test]
fn a_panic_while_encoding_in_the_caller_leaves_the_pool_intact() {
    guarded(|| {
        use std::panic::{AssertUnwindSafe, catch_unwind};
        let pool = Pool::with_workers(2).unwrap();
        let value = |PanicsHere(n): PanicsHere| n;
        let attempt = |work: &dyn Fn() -> bool| {
            let failed = catch_unwind(AssertUnwindSafe(work)).unwrap_or(true);
            assert!(failed);
            assert_sound(&pool);
        };
        attempt(&|| pool.map(value, (0..10).map(PanicsHere)).is_err());
        attempt(&|| pool.job().chunk(8).imap(value, (0..10).map(PanicsHere)).any(|r| r.is_err()));
        attempt(&|| pool.submit(value, PanicsHere(5)).is_err());
        attempt(&|| pool.map_async(value, (0..10).map(PanicsHere)).is_err());
        attempt(&|| pool.map_with(&PanicsHere(5), |c: &PanicsHere, n: u32| c.0 + n, [1]).is_err());
    });
}

/// A result that only the worker can read.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct NotHere {
    maker: u32,
    number: u32,
    panics: bool,
}

impl<'de> Deserialize<'de> for NotHere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (maker, number, panics) = <(u32, u32, bool)>::deserialize(deserializer)?;
        if maker != std::process::id() && number % 10 == 3 {
            assert!(!panics, "decoding panics, on purpose");
            return Err(serde::de::Error::custom("not in this process"));
        }
        Ok(Self { maker, number, panics })
    }
}

#[test]
fn a_result_that_cannot_be_decoded_costs_its_item() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        for panics in [false, true] {
            let make = |(number, panics): (u32, bool)| NotHere {
                maker: std::process::id(),
                number,
                panics,
            };
            let items = (0..50).map(|number| (number, panics));
            let expected = if panics { "decoding panics" } else { "not in this process" };
            let outcomes: Vec<_> = pool.job().retries(5).imap(make, items.clone()).collect();
            for (number, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Ok(result) => assert_eq!(result.number, number),
                    Err(error) => {
                        assert!(matches!(error, TaskError::Decode { .. }), "{error:?}");
                        assert_eq!((number % 10, error.item()), (3, Some(number as usize)));
                        assert!(error.to_string().contains(expected), "{error}");
                    }
                }
            }
            let error = pool.map(make, items.clone()).unwrap_err();
            assert!(matches!(error, TaskError::Decode { item: 3, .. }), "{error:?}");
            let error = pool.submit(make, (3, panics)).unwrap().get().unwrap_err();
            assert!(matches!(error, TaskError::Decode { item: 0, .. }), "{error:?}");
            let error = pool.map_async(make, items).unwrap().get().unwrap_err();
            assert!(matches!(error, TaskError::Decode { item: 3, .. }), "{error:?}");
            assert_sound(&pool);
        }
    });
}

#[test]
fn a_context_that_cannot_be_decoded_costs_its_items() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let context = NotHere { maker: std::process::id(), number: 3, panics: false };
        let errors: Vec<_> = pool
            .imap_with(&context, |context: &NotHere, n: u32| context.number + n, 0..10)
            .map(Result::unwrap_err)
            .collect();
        assert_eq!(errors.len(), 10);
        for (index, error) in errors.iter().enumerate() {
            assert!(matches!(error, TaskError::Decode { item, .. } if *item == index), "{error:?}");
        }
        assert_sound(&pool);
    });
}

#[test]
fn a_closed_pool_takes_nothing() {
    guarded(|| {
        for end in [Pool::close as fn(&Pool), Pool::join, Pool::terminate] {
            let pool = Pool::with_workers(1).unwrap();
            end(&pool);
            let add = |n: u32| n + 1;
            let sum = |a: u32, b: u32| a + b;
            let with = |a: &u32, b: u32| a + b;
            assert!(matches!(pool.map(add, [1]), Err(TaskError::Closed)));
            assert!(matches!(pool.starmap(sum, [(1, 2)]), Err(TaskError::Closed)));
            assert!(matches!(pool.map_with(&1, with, [1]), Err(TaskError::Closed)));
            assert!(matches!(pool.for_each(add, [1]), Err(TaskError::Closed)));
            assert!(matches!(pool.apply(add, 1), Err(TaskError::Closed)));
            assert!(matches!(pool.submit(add, 1), Err(SubmitError::Closed)));
            assert!(matches!(pool.map_async(add, [1]), Err(SubmitError::Closed)));
            for stream in [pool.imap(add, [1, 2]), pool.imap_unordered(add, [1, 2])] {
                let outcomes: Vec<_> = stream.collect();
                assert!(matches!(outcomes[..], [Err(TaskError::Closed), Err(TaskError::Closed)]));
            }
            assert!(matches!(pool.istarmap(sum, [(1, 2)]).next(), Some(Err(TaskError::Closed))));
            assert!(matches!(
                pool.istarmap_unordered(sum, [(1, 2)]).next(),
                Some(Err(TaskError::Closed))
            ));
            assert!(matches!(pool.imap_with(&1, with, [1]).next(), Some(Err(TaskError::Closed))));
            assert!(matches!(
                pool.imap_unordered_with(&1, with, [1]).next(),
                Some(Err(TaskError::Closed))
            ));
            let text = TaskError::Closed.to_string();
            assert!(text.starts_with("the pool is closed and takes no more tasks: "), "{text}");
        }
    });
}

#[test]
fn a_full_backlog_refuses_and_recovers() {
    guarded(|| {
        let pool = Pool::builder().workers(1).backlog(3).build().unwrap();
        let nap = |ms: u64| std::thread::sleep(std::time::Duration::from_millis(ms));
        let tasks: Vec<_> = (0..3).map(|_| pool.submit(nap, 100).unwrap()).collect();
        let error = pool.submit(nap, 0).unwrap_err();
        assert!(matches!(error, SubmitError::Full { limit: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("PoolBuilder::backlog"), "{error}");
        assert!(matches!(pool.map_async(nap, 0..4), Err(SubmitError::Full { .. })));
        for task in tasks {
            task.get().unwrap();
        }
        pool.submit(nap, 0).unwrap().get().unwrap();
    });
}

#[test]
fn a_result_over_the_limit_says_so() {
    guarded(|| {
        let pool = Pool::builder().workers(1).result_len_max(10_000).build().unwrap();
        let make = |len: usize| vec![1_u8; len];
        assert_eq!(pool.apply(make, 9_000).unwrap().len(), 9_000);
        let error = pool.job().retries(2).map(make, [100, 20_000]).unwrap_err();
        assert_eq!(error.item(), Some(1));
        assert_sound(&pool);
        assert!(error.to_string().contains("over the limit of 10000"), "{error}");
    });
}

#[test]
fn a_map_pulls_little_of_an_input_of_which_nothing_can_be_encoded() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let mut pulled = 0_u32;
        let odd = (0..1_000_000).map(|_| EvenOnly(1)).inspect(|_| pulled += 1);
        let error = pool.map(value, odd).unwrap_err();
        assert!(matches!(error, TaskError::Encode { item: 0, .. }), "{error:?}");
        assert!(pulled < 100, "{pulled}");
    });
}
