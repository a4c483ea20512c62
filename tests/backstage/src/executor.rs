//! An executor of a few lines. It polls only after a wake-up, so that one that is lost is a hang and does not go unseen.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_core::Stream;

/// The thread to wake, and how often it was woken since it last looked.
struct Unpark(Thread, AtomicU64);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// Blocks until the future is ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let unpark = Arc::new(Unpark(thread::current(), AtomicU64::new(1)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if unpark.1.swap(0, Ordering::SeqCst) == 0 {
            // Code under test may have parked and unparked this thread as well.
            thread::park();
            continue;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

/// Blocks until all of them are ready, which are awaited at once.
pub fn join<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    block_on(poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    }));
    done.into_iter().flatten().collect()
}

/// The output, if it is there at once.
pub fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The next item of a stream.
pub async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Does not compile for what stays on its thread.
pub fn is_send<T: Send>(value: T) -> T {
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_comes_before_the_park_counts() {
        let mut polled = 0;
        let output = block_on(poll_fn(|context| {
            polled += 1;
            context.waker().wake_by_ref();
            if polled == 3 { Poll::Ready(polled) } else { Poll::Pending }
        }));
        assert_eq!(output, 3);
    }

    #[test]
    fn all_are_awaited_at_once() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let takes = poll_fn(move |_| receiver.try_recv().map_or(Poll::Pending, Poll::Ready));
        let gives = async move { sender.send(7).map(|()| 0).unwrap() };
        let woken = poll_fn({
            let mut rounds = 0;
            move |context| {
                context.waker().wake_by_ref();
                rounds += 1;
                if rounds == 3 { Poll::Ready(1) } else { Poll::Pending }
            }
        });
        assert_eq!(join(vec![Box::pin(takes), Box::pin(gives), Box::pin(woken)]), [7, 0, 1]);
    }
}
