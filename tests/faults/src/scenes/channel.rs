//! Pipes and queues: no message is lost, none comes twice, whatever fails.

use std::fs::File;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use procession_channel::pipe::{self, Receiver, Sender};
use procession_channel::queue::{self, Queue};
use procession_channel::{Fd, Message};
use procession_process::Process;
use procession_shm::SharedSlice;

use crate::fault::Fault;
use crate::retry::Retry;
use crate::scene::{Played, Scene};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        Scene::again("channel: a pipe", simple),
        Scene::again("channel: a pipe with handles", handles),
        Scene::again("channel: a message through a small pipe", streamed),
        Scene::again("channel: a receiver sleeps", sleeping),
        Scene::again("channel: a receiver is awaited", awaited),
        Scene::again("channel: a pipe to a process", to_a_process),
        Scene::again("channel: a queue", queue),
        Scene::again("channel: a queue with handles", queue_of_handles),
        Scene::again("channel: a getter without putters", disconnected),
    ]
}

/// Sends, and once more if it failed; the value comes back each time.
fn send<T: Message>(sender: &Sender<T>, value: T, retry: &mut Retry) {
    let Err(error) = sender.send(value) else { return };
    retry.note_if(error.kind, |kind| {
        use pipe::SendErrorKind::{Encode, Io, TooManyInFlight};
        matches!(kind, Io(_) | TooManyInFlight | Encode(_))
    });
    sender.send(error.value).expect("no further call fails");
}

/// Receives, and once more if it failed; then the message is still there. `None` if its handles could not be opened, with
/// which it is gone.
fn receive<T: Message>(receiver: &Receiver<T>, retry: &mut Retry) -> Option<T> {
    let error = match receiver.recv() {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let is_gone = matches!(error, pipe::RecvError::Decode(_));
    retry.note_if(error, |error| {
        matches!(error, pipe::RecvError::Io(_) | pipe::RecvError::Decode(_))
    });
    (!is_gone).then(|| receiver.recv().expect("no further call fails"))
}

fn assert_nothing_more<T: Message>(sender: Sender<T>, receiver: &Receiver<T>) {
    assert!(receiver.try_recv().is_ok_and(|value| value.is_none()), "a message came twice");
    drop(sender);
    assert!(matches!(receiver.recv(), Err(pipe::RecvError::Closed)));
}

fn simple(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let (sender, receiver) = fault.during(|| {
        let (sender, receiver) = retry.ask(pipe::simplex::<String>);
        for n in 0..3 {
            send(&sender, n.to_string(), &mut retry);
            assert_eq!(receive(&receiver, &mut retry), Some(n.to_string()));
        }
        assert!(retry.ask(|| receiver.try_recv()).is_none());
        (sender, receiver)
    });
    assert_nothing_more(sender, &receiver);
    retry.played()
}

type Freight = (u32, Fd<File>, Sender<u8>, Receiver<u8>, SharedSlice<u32>);

fn freight(n: u32, retry: &mut Retry) -> Freight {
    let file = retry.ask(|| File::open("/dev/null"));
    let (sender, receiver) = retry.ask(pipe::simplex);
    (n, Fd::new(file), sender, receiver, retry.ask(|| SharedSlice::from_slice(&[n; 2000])))
}

fn is_whole((n, file, sender, receiver, slice): Freight) -> u32 {
    assert!(file.into_inner().is_ok_and(|file| file.metadata().is_ok_and(|data| !data.is_file())));
    assert_eq!(slice[1999], n);
    sender.send(9).expect("the call that fails was before");
    assert!(receiver.recv().is_ok_and(|byte| byte == 9));
    n
}

fn handles(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let mut came = Vec::new();
    let (sender, receiver) = pipe::simplex::<Freight>()?;
    fault.during(|| {
        for n in 0..2 {
            let freight = freight(n, &mut retry);
            send(&sender, freight, &mut retry);
        }
        for _ in 0..2 {
            came.extend(receive(&receiver, &mut retry));
        }
    });
    let came: Vec<u32> = came.into_iter().map(is_whole).collect();
    // One whose handles could not be opened is gone.
    assert!(matches!(came[..], [0, 1] | [0] | [1]), "{came:?}");
    send(&sender, freight(2, &mut Retry::default()), &mut Retry::default());
    assert_eq!(receive(&receiver, &mut Retry::default()).map(is_whole), Some(2));
    assert_nothing_more(sender, &receiver);
    assert!(came.len() == 2 || retry.has_error(), "a message is lost without a word");
    retry.played()
}

fn streamed(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let (sender, receiver) = pipe::builder().capacity(4096).simplex::<Vec<u32>>()?;
    let message: Vec<u32> = (0..20_000).collect();
    let expected = message.clone();
    let (sent, came) = fault.during(|| {
        let sending = thread::Builder::new().spawn(move || {
            let mut retry = Retry::default();
            send(&sender, message, &mut retry);
            (sender, retry.into_text())
        });
        sending.map(|sending| (receive(&receiver, &mut retry), sending.join())).map_or_else(
            |error| (Err(error), None),
            |(came, joined)| (Ok(joined.expect("it has not panicked")), came),
        )
    });
    let (sender, error_of_sender) = sent?;
    assert_eq!(came.as_deref(), Some(&expected[..]));
    assert_nothing_more(sender, &receiver);
    match error_of_sender {
        Some(text) => Err(text.into()),
        None => retry.played(),
    }
}

/// It sleeps until there is something, and then until nobody is left: both are noticed.
fn sleeping(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let (sender, receiver) = pipe::simplex::<u8>()?;
    let waiting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(2));
        let sent = sender.send(1);
        thread::sleep(Duration::from_millis(2));
        sent.is_ok()
    });
    let (came, end) = fault.during(|| {
        let came = receive(&receiver, &mut retry);
        let mut end = receiver.recv();
        if let Err(pipe::RecvError::Io(error)) = end {
            retry.note(error);
            end = receiver.recv();
        }
        (came, end)
    });
    assert_eq!(came, Some(1));
    assert!(matches!(end, Err(pipe::RecvError::Closed)), "{end:?}");
    assert!(waiting.join().is_ok_and(|sent| sent));
    retry.played()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn awaited(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let (sender, mut receiver) = pipe::simplex::<u8>()?;
    let waiting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(2));
        sender.send(1).is_ok()
    });
    let came = fault.during(|| {
        retry.ask(|| match block_on(receiver.recv_async()) {
            Err(error @ pipe::RecvError::Io(_)) => Err(error),
            other => Ok(other),
        })
    });
    assert!(matches!(came, Ok(1)), "{came:?}");
    assert!(waiting.join().is_ok_and(|sent| sent));
    retry.played()
}

fn double(connection: pipe::Connection<u32, u32>) {
    for n in &connection {
        if n.map(|n| connection.send(2 * n)).is_err() {
            return;
        }
    }
}

/// What fails in the process may end it, and then its end of the pipe is closed.
fn to_a_process(fault: &Fault) -> Played {
    let outcome = fault.during(|| -> Played {
        let (here, there) = pipe::duplex::<u32, u32>()?;
        let process = Process::spawn(double, there)?;
        let talked = (0..3).try_for_each(|n| -> Played {
            here.send(n).map_err(|error| error.kind)?;
            let answer = here.recv()?;
            assert_eq!(answer, 2 * n);
            Ok(())
        });
        here.close();
        drop(here);
        // Whatever has become of the pipe, the process ends.
        process.join()?;
        talked
    });
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(!text.contains("cannot be trusted"), "{text}");
    }
    outcome
}

fn put<T: Message>(queue: &Queue<T>, value: T, retry: &mut Retry) {
    let Err(error) = queue.put(value) else { return };
    retry.note_if(error.kind, |kind| {
        use queue::SendErrorKind::{Encode, Io, TooManyInFlight};
        matches!(kind, Io(_) | TooManyInFlight | Encode(_))
    });
    queue.put(error.value).expect("no further call fails");
}

fn get<T: Message>(queue: &Queue<T>, retry: &mut Retry) -> Option<T> {
    let error = match queue.get() {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let is_gone = matches!(error, queue::RecvError::Decode(_));
    retry.note_if(error, |error| {
        matches!(error, queue::RecvError::Io(_) | queue::RecvError::Decode(_))
    });
    (!is_gone).then(|| queue.get().expect("no further call fails"))
}

/// The third value has a file of its own.
fn queue(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    fault.during(|| {
        let queue = retry.ask(|| Queue::<Vec<u32>>::builder().capacity(8192).items(8).build());
        for n in [1, 10, 5000] {
            put(&queue, vec![7; n], &mut retry);
        }
        assert_eq!(get(&queue, &mut retry).map(|value| value.len()), Some(1));
        let claimed = retry.ask(|| queue.claim());
        assert_eq!(claimed.len(), 10);
        drop(claimed);
        assert_eq!(get(&queue, &mut retry).map(|value| value.len()), Some(10));
        let long = get(&queue, &mut retry).map(|value| value.len());
        assert!(long.is_none_or(|len| len == 5000));
        assert!(long.is_some() || retry.has_error(), "an item is lost without a word");
        assert!(retry.ask(|| queue.try_get()).is_none(), "an item came twice");
    });
    retry.played()
}

fn queue_of_handles(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let queue = Queue::<Freight>::new()?;
    let mut came = Vec::new();
    fault.during(|| {
        for n in 0..2 {
            let freight = freight(n, &mut retry);
            put(&queue, freight, &mut retry);
        }
        for _ in 0..2 {
            came.extend(get(&queue, &mut retry));
        }
    });
    let came: Vec<u32> = came.into_iter().map(is_whole).collect();
    assert!(matches!(came[..], [0, 1] | [0] | [1]), "{came:?}");
    assert!(queue.try_get().is_ok_and(|value| value.is_none()), "an item came twice");
    put(&queue, freight(2, &mut Retry::default()), &mut Retry::default());
    assert_eq!(get(&queue, &mut Retry::default()).map(is_whole), Some(2));
    assert!(came.len() == 2 || retry.has_error(), "an item is lost without a word");
    retry.played()
}

fn disconnected(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    let queue = Queue::<u8>::new()?;
    let (putter, getter) = (queue.putter(), queue.getter());
    drop(queue);
    let waiting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(2));
        putter.put(1).is_ok()
    });
    let (came, end) = fault.during(|| {
        let came = retry.ask(|| getter.get());
        (
            came,
            getter.get().or_else(|error| match error {
                queue::RecvError::Io(error) => {
                    retry.note(error);
                    getter.get()
                }
                other => Err(other),
            }),
        )
    });
    assert_eq!(came, 1);
    assert!(matches!(end, Err(queue::RecvError::Disconnected)), "{end:?}");
    assert!(waiting.join().is_ok_and(|put| put));
    retry.played()
}
