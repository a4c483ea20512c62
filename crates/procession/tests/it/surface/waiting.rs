//! Waiting: for any of several, by futures, by streams; and messages that are bytes.

use std::future::Future;
use std::io;

use backstage::executor::{block_on, is_send, next};
use futures_core::Stream;
use procession::pipe::{MessageStream, Room};
use procession::queue::{Claim, Getter, ItemStream, Many, Putter};
use procession::{ImapStream, Ready, Waitable, Watch, until_ready};

use super::*;

#[test]
fn different_things_are_waited_for_together() -> procession::Result<()> {
    let (sender, receiver) = pipe::simplex::<u64>()?;
    let (connection, _there) = pipe::duplex::<u64, u64>()?;
    let queue: Queue<u64> = Queue::new()?;
    let getter: Getter<u64> = queue.getter();
    let event = Shared::new(Event::new())?;
    let process = Process::spawn(|n: u64| n, 1)?;
    let handle: ProcessHandle = (*process).clone();
    handle.wait();
    sender.send(1)?;
    let room: Room<'_, u64> = sender.room();
    let on: [&dyn Waitable; 8] =
        [&receiver, &connection, &queue, &getter, &event, &process, &handle, &room];
    let ready: Ready = procession::wait(&on, None)?;
    assert!(ready.has(&receiver) && ready.has(&process) && ready.has(&room));
    assert!(!ready.has(&queue) && !ready.has(&event) && !ready.is_empty());
    assert_eq!(ready.into_iter().collect::<Vec<usize>>(), [0, 5, 6, 7]);
    let none: io::Result<Ready> = procession::wait(&[&queue], Duration::ZERO);
    assert!(none?.is_empty());
    event.set();
    block_on(is_send(until_ready(&event)))?;
    Ok(())
}

/// Two pipes that are waited for as one object.
struct Either(Receiver<u64>, Receiver<u64>);

impl Waitable for Either {
    fn is_ready(&self) -> bool {
        self.0.is_ready() || self.1.is_ready()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        self.0.watch(watches);
        self.1.watch(watches);
    }

    fn unwatch(&self) {
        self.0.unwatch();
        self.1.unwatch();
    }
}

#[test]
fn what_is_made_of_waitable_parts_is_waited_for_as_one() -> procession::Result<()> {
    let (_silent, first) = pipe::simplex()?;
    let (sender, second) = pipe::simplex()?;
    let either = Either(first, second);
    assert!(procession::wait(&[&either], Duration::ZERO)?.is_empty());
    let sending = std::thread::spawn(move || sender.send(7));
    assert!(procession::wait(&[&either], None)?.has(&either));
    sending.join().unwrap()?;
    assert_eq!(either.1.recv()?, 7);
    Ok(())
}

#[test]
fn bytes_go_through_a_pipe_as_they_are() -> procession::Result<()> {
    let (sender, receiver) = pipe::builder().trusting().simplex::<String>()?;
    assert!(!receiver.poll(Duration::ZERO), "nothing is there");
    sender.send_bytes(b"one")?;
    sender.try_send_bytes(b"two")?;
    sender.send_bytes_timeout(b"three", Duration::ZERO)?;
    sender.send_bytes(b"four")?;
    sender.send_bytes(b"five")?;
    assert!(receiver.poll(None));
    assert_eq!(receiver.recv_bytes()?, b"one");
    assert_eq!(receiver.try_recv_bytes()?.as_deref(), Some(&b"two"[..]));
    let mut buffer = [0; 8];
    assert!(matches!(
        receiver.recv_bytes_into(&mut buffer[..2]),
        Err(RecvError::BufferTooShort { .. })
    ));
    assert_eq!(receiver.recv_bytes_into(&mut buffer)?, 5, "it is still there");
    assert_eq!(receiver.recv_bytes_timeout(Duration::ZERO)?.as_deref(), Some(&b"four"[..]));
    assert_eq!(receiver.recv_with(<[u8]>::len)?, 4, "a trusting pipe shows them where they lie");
    Ok(())
}

#[test]
fn what_blocks_is_awaited_as_well() -> procession::Result<()> {
    fn output<O>(future: impl Future<Output = O> + Send) -> O {
        block_on(future)
    }
    let (mut sender, mut receiver) = pipe::simplex::<u64>()?;
    output::<Result<(), SendError<u64>>>(sender.send_async(1))?;
    assert_eq!(output::<Result<u64, RecvError>>(receiver.recv_async())?, 1);
    let (mut here, mut there) = pipe::duplex::<u64, u64>()?;
    output(here.send_async(2))?;
    assert_eq!(output(there.recv_async())?, 2);
    let queue: Queue<u64> = Queue::new()?;
    output(queue.put_async(3))?;
    assert_eq!(output(queue.get_async())?, 3);
    let (putter, getter): (Putter<u64>, Getter<u64>) = (queue.putter(), queue.getter());
    output(putter.put_async(4))?;
    assert_eq!(output(getter.get_async())?, 4);
    let pool = Pool::with_workers(1)?;
    assert_eq!(output(pool.submit(|n: u64| n + 1, 4)?)?, 5);
    assert_eq!(output(Process::spawn(|n: u64| n + 1, 5)?)?, 6);
    Ok(())
}

#[test]
fn streams_are_types_of_their_own() -> procession::Result<()> {
    fn all<T>(mut stream: impl Stream<Item = T> + Send + Unpin) -> Vec<T> {
        std::iter::from_fn(|| block_on(next(&mut stream))).collect()
    }
    let pool = Pool::with_workers(2)?;
    let squares: ImapStream<'_, _, u64> = pool.imap(|n: u64| n * n, 0..4).stream();
    assert_eq!(all(squares).into_iter().collect::<Result<Vec<_>, _>>()?, [0, 1, 4, 9]);
    let (sender, receiver) = pipe::simplex::<u64>()?;
    sender.send(1)?;
    drop(sender);
    let messages: MessageStream<u64> = receiver.stream();
    assert_eq!(all(messages).into_iter().collect::<Result<Vec<_>, _>>()?, [1]);
    let queue: Queue<u64> = Queue::new()?;
    queue.put(2)?;
    queue.close();
    let items: ItemStream<u64> = queue.stream();
    assert_eq!(all(items).into_iter().collect::<Result<Vec<_>, _>>()?, [2]);
    let (here, there) = pipe::duplex::<u64, u64>()?;
    here.send(3)?;
    drop(here);
    assert_eq!(all(there.stream()).into_iter().collect::<Result<Vec<_>, _>>()?, [3]);
    Ok(())
}

#[test]
fn items_are_claimed_counted_and_joined() -> procession::Result<()> {
    let queue: Queue<u64> = Queue::builder().items(8).build()?;
    queue.put_many(1..=4)?;
    let claim: Claim<u64> = queue.claim()?;
    assert!(queue.try_claim()?.is_some() && queue.claim_timeout(Duration::ZERO)?.is_some());
    assert_eq!((*claim, claim.done()), (1, 1));
    let mut got = 0;
    while got < 3 {
        let many: Many<u64> = queue.get_many(8)?;
        got += many.collect::<Result<Vec<_>, _>>()?.len();
    }
    for _ in 0..3 {
        queue.task_done()?;
    }
    queue.join()?;
    assert!(queue.join_timeout(Duration::ZERO)?);
    queue.close();
    let mut items: procession::queue::IntoIter<u64> = queue.into_iter();
    assert!(items.next().is_none());
    Ok(())
}

#[test]
fn who_one_is_and_who_else_there_is() -> procession::Result<()> {
    fn of_a_child(hold: Receiver<()>) -> (u32, Option<u32>, usize) {
        assert!(hold.recv().is_err(), "nothing is sent");
        let parent = procession::parent().map(|parent| parent.pid());
        (procession::current().pid(), parent, procession::active_children().len())
    }
    let (held, hold) = pipe::simplex()?;
    let child = Process::spawn(of_a_child, hold)?;
    let (pid, handle) = (child.pid(), (*child).clone());
    assert!(procession::active_children().iter().any(|child| child.pid() == pid));
    drop(held);
    assert_eq!(child.join()?, (pid, Some(std::process::id()), 0));
    assert_eq!(handle.exit_status(), Some(Exit::Code(0)));
    assert_eq!(handle.wait_timeout(Duration::ZERO), Some(Exit::Code(0)));
    handle.terminate()?;
    handle.interrupt()?;
    handle.signal(18)?;
    assert!(procession::parent().is_none() && procession::cpu_count() >= 1);
    Process::spawn(|()| (), ())?.detach();
    Ok(())
}
