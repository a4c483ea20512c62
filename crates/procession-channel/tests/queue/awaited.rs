//! Gets and puts that are awaited, on an executor of a few lines.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use backstage::executor::{block_on, is_send, join, next, poll_once};
use procession_channel::queue::{Queue, RecvError, SendErrorKind};
use procession_shm::SharedBuf;

type Got = Result<u64, RecvError>;

/// Counts the wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    /// Waits until there were so many. A wake-up that does not come hangs the test.
    fn reaches(&self, wanted: usize) {
        while self.0.load(Ordering::SeqCst) < wanted {
            thread::yield_now();
        }
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn hundreds_of_futures_get_what_is_put_once() {
    let queue = Queue::<u64>::new().unwrap();
    let putting = {
        let queue = queue.clone();
        thread::spawn(move || {
            for n in 0..300 {
                if n % 50 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
                queue.put(n).unwrap();
            }
        })
    };
    let futures: Vec<Pin<Box<dyn Future<Output = Got> + Send + '_>>> =
        (0..300).map(|_| Box::pin(is_send(queue.get_async())) as _).collect();
    let got: Result<BTreeSet<u64>, RecvError> = join(futures).into_iter().collect();
    assert!(got.unwrap().into_iter().eq(0..300));
    putting.join().unwrap();
}

#[test]
fn futures_that_put_wait_for_room() {
    let queue = Queue::bounded(2).unwrap();
    let getting = {
        let queue = queue.clone();
        thread::spawn(move || (0..200).map(|_| queue.get().unwrap()).collect::<BTreeSet<u64>>())
    };
    let futures = (0..200).map(|n| Box::pin(is_send(queue.put_async(n))) as Pin<Box<_>>);
    let put: Vec<Result<(), _>> = join(futures.map(|future| future as _).collect());
    assert!(put.into_iter().all(|put| put.is_ok()));
    assert!(getting.join().unwrap().into_iter().eq(0..200));
    assert!(queue.is_empty());
}

/// Threads that block, futures that are awaited, and futures that are dropped after they were woken, on one queue: each item is
/// got, and nobody sleeps on one.
#[test]
fn a_future_that_is_dropped_passes_its_wake_up_on() {
    const COUNT: u64 = 300;
    let queue = Queue::new().unwrap();
    let got = Arc::new(AtomicUsize::new(0));
    let blocking = {
        let (queue, got) = (queue.clone(), Arc::clone(&got));
        thread::spawn(move || {
            while queue.get().is_ok() {
                got.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    for n in 0..COUNT {
        let count = Arc::new(Count::default());
        let mut future = queue.get_async();
        assert!(poll_once(&mut future, &Waker::from(Arc::clone(&count))).is_none());
        queue.put(n).unwrap();
        drop(future);
        // Nothing else wakes the thread: not another put, and no check-up before the test's patience ends.
        while got.load(Ordering::SeqCst) <= usize::try_from(n).unwrap() {
            thread::yield_now();
        }
    }
    queue.close();
    blocking.join().unwrap();
}

#[test]
fn a_future_that_is_dropped_or_leaked_has_got_and_put_nothing() {
    let queue = Queue::bounded(1).unwrap();
    for n in 0..20 {
        let count = Arc::new(Count::default());
        let mut get = queue.get_async();
        assert!(poll_once(&mut get, &Waker::from(Arc::clone(&count))).is_none());
        queue.put(n).unwrap();
        count.reaches(1);
        let mut put = queue.put_async(1000);
        assert!(poll_once(&mut put, Waker::noop()).is_none());
        if n % 2 == 0 {
            drop((get, put));
        } else {
            let _leaked = std::mem::ManuallyDrop::new((get, put));
        }
        assert_eq!(queue.get().unwrap(), n);
        assert_eq!(queue.try_get().unwrap(), None);
    }
}

#[test]
fn handles_come_back_from_a_put_that_fails_and_go_with_one_that_is_dropped() {
    let queue = Queue::bounded(1).unwrap();
    queue.put(SharedBuf::from_slice(&[1_u32]).unwrap()).unwrap();
    let mut put = queue.put_async(SharedBuf::from_slice(&[2_u32]).unwrap());
    assert!(poll_once(&mut put, Waker::noop()).is_none());
    drop(put);
    let mut put = queue.put_async(SharedBuf::from_slice(&[3_u32]).unwrap());
    assert!(poll_once(&mut put, Waker::noop()).is_none());
    queue.close();
    let error = block_on(put).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Closed), "{error}");
    let mut value = error.value;
    assert_eq!(value.as_mut_slice(), [3]);
    assert_eq!(queue.get().unwrap().as_mut_slice(), [1]);
    assert!(matches!(block_on(queue.get_async()), Err(RecvError::Closed)));
}

#[test]
fn the_end_is_awaited() {
    let queue = Queue::<u64>::new().unwrap();
    let (putter, getter) = (queue.putter(), queue.getter());
    drop(queue);
    let waiting =
        thread::spawn(move || (block_on(getter.get_async()), block_on(getter.get_async()), getter));
    block_on(putter.put_async(7)).unwrap();
    thread::sleep(Duration::from_millis(10));
    drop(putter);
    let (first, end, getter) = waiting.join().unwrap();
    assert_eq!(first.unwrap(), 7);
    assert!(matches!(end, Err(RecvError::Disconnected)));
    assert!(block_on(next(&mut getter.stream())).is_none());
}

/// With a message that nobody receives the other half goes without a word.
#[test]
fn a_half_that_is_lost_on_its_way_is_missed() {
    let carrier = Queue::new().unwrap();
    let queue = Queue::<u64>::new().unwrap();
    let getter = queue.getter();
    carrier.put(queue.putter()).unwrap();
    drop(queue);
    let waiting = thread::spawn(move || block_on(getter.get_async()));
    thread::sleep(Duration::from_millis(10));
    drop(carrier);
    assert!(matches!(waiting.join().unwrap(), Err(RecvError::Disconnected)));
}

#[test]
fn items_are_a_stream_beside_other_handles() {
    let queue = Queue::new().unwrap();
    queue.put_many(0..50_u64).unwrap();
    let mut items = is_send(queue.clone().stream());
    for n in 0..50 {
        assert_eq!(block_on(next(&mut items)).unwrap().unwrap(), n);
    }
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        queue.put(50).unwrap();
        queue.close();
    });
    assert_eq!(block_on(next(&mut items)).unwrap().unwrap(), 50);
    assert!(block_on(next(&mut items)).is_none());
    assert!(block_on(next(&mut items)).is_none(), "it stays over");
    closing.join().unwrap();
}
