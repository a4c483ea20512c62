//! Callbacks of tasks.
//!
//! A task with a callback is its own waker. Woken, it takes what the pool has received for it and receives nothing itself: other
//! tasks with callbacks would be woken by that in the middle of it, those that they receive something for in the middle of them, and
//! so on until the stack ends.
//!
//! A callback may use the pool, and by waiting for something drive it. Other callbacks are called within it then, as it may wait for
//! what they do, but only so many [within each other](NESTED_MAX). The rest is put off until one of those returns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};

use super::Task;
use crate::error::TaskError;

/// How many callbacks may be called within each other on one thread.
const NESTED_MAX: usize = 8;

thread_local! {
    /// How many callbacks this thread is in.
    static NESTED: Cell<usize> = const { Cell::new(0) };
    static PUT_OFF: RefCell<VecDeque<Arc<dyn Look>>> = const { RefCell::new(VecDeque::new()) };
}

impl<R: 'static> Task<R> {
    /// Calls `callback` with the result once the task is done.
    ///
    /// It is called on whichever thread drives the pool then, or at once if the task is done already, so it should be short. A
    /// panic in it is caught and goes no further than the panic hook. One that itself waits for the pool may have others called within
    /// it meanwhile, on the same thread.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// pool.submit(|n: u64| n + 1, 1)?.on_done(move |result| sender.send(result).unwrap());
    /// assert_eq!(receiver.recv()??, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_done(self, callback: impl FnOnce(Result<R, TaskError>) + Send + 'static) {
        let callback: Callback<R> = Box::new(callback);
        let waiting = Arc::new(OnDone { pending: Mutex::new(Some((self, callback))) });
        waiting.wake();
    }
}

type Callback<R> = Box<dyn FnOnce(Result<R, TaskError>) + Send>;

/// A task that is waited for by a callback: each wake-up looks at it once.
struct OnDone<R> {
    pending: Mutex<Option<(Task<R>, Callback<R>)>>,
}

impl<R: 'static> Wake for OnDone<R> {
    fn wake(self: Arc<Self>) {
        let look: Arc<dyn Look> = self;
        let now = if NESTED.get() < NESTED_MAX { Some(look) } else { put_off(look) };
        let Some(now) = now else { return };
        now.look();
        while let Some(next) = next_put_off() {
            next.look();
        }
    }
}

/// Leaves it to a callback that this thread is in. At the end of a thread there may be no place for it any more, and it comes back.
fn put_off(look: Arc<dyn Look>) -> Option<Arc<dyn Look>> {
    let mut look = Some(look);
    let _gone = PUT_OFF.try_with(|put_off| put_off.borrow_mut().extend(look.take()));
    look
}

fn next_put_off() -> Option<Arc<dyn Look>> {
    PUT_OFF.try_with(|put_off| put_off.borrow_mut().pop_front()).ok().flatten()
}

/// A task of any type that is waited for by a callback.
trait Look {
    /// Calls the callback if the task is done.
    fn look(self: Arc<Self>);
}

impl<R: 'static> Look for OnDone<R> {
    fn look(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((mut task, callback)) = pending.take() else { return };
        match task.poll_received(&waker) {
            Poll::Pending => *pending = Some((task, callback)),
            Poll::Ready(result) => {
                drop(pending);
                NESTED.set(NESTED.get() + 1);
                // The panic hook has told of it; the pool has nobody to pass it on to.
                let _ = catch_unwind(AssertUnwindSafe(|| callback(result)));
                NESTED.set(NESTED.get() - 1);
            }
        }
    }
}
