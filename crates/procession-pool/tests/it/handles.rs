//! Handles in arguments, contexts and results: pipe ends, files, shared memory with and without locks.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use procession_channel::{Fd, pipe};
use procession_pool::{Pool, SubmitError, TaskError};
use procession_shm::{Shared, SharedBuf, SharedSlice};
use procession_sync::Mutex;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::ledger::{Ledger, record};
use super::long::tell;
use super::program::{Role, play, state_of};
use super::resources::{assert_back_to, holdings};
use super::scribbler::{Random, seed};
use super::trap::{How, assert_sound};

pub(crate) const ROLES: &[Role] = &[
    ("stream handles", stream_handles),
    ("lose handles", lose_handles),
    ("send too many", send_too_many),
];

fn sum(slice: SharedSlice<u64>) -> u64 {
    slice.iter().sum()
}

#[test]
fn every_worker_reads_the_same_pages_of_a_context() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let rows: Vec<u64> = (0..64 * 1024).collect();
        let matrix = SharedSlice::from_slice(&rows).unwrap();
        let row_sum = |matrix: &SharedSlice<u64>, row: usize| {
            matrix[row * 64..(row + 1) * 64].iter().sum::<u64>()
        };
        let sums = pool.map_with(&matrix, row_sum, 0..1024).unwrap();
        for (row, sum) in sums.into_iter().enumerate() {
            assert_eq!(sum, rows[row * 64..(row + 1) * 64].iter().sum::<u64>());
        }
        assert_sound(&pool);
    });
}

#[test]
fn buffers_are_worked_on_in_place_and_put_together_again() {
    guarded(|| {
        let pool = Pool::builder().workers(2).trusting().build().unwrap();
        let mut buffer = SharedBuf::<f64>::zeroed(1 << 16).unwrap();
        buffer.as_mut_slice().fill(1.5);
        let scale = |factor: &f64, mut part: SharedBuf<f64>| {
            part.as_mut_slice().iter_mut().for_each(|value| *value *= factor);
            part
        };
        let parts = buffer.split_into(8);
        let parts = pool.map_with(&2.0, scale, parts).unwrap();
        let matrix = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
        assert_eq!(matrix.len(), 1 << 16);
        assert!(matrix.iter().all(|value| *value == 3.0));
        assert_sound(&pool);
    });
}

/// What a worker that is not trusted returns is a copy, so that it cannot write into it any more.
#[test]
fn a_buffer_from_an_untrusted_worker_is_a_copy() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let make = |len: usize| {
            let mut buffer = SharedBuf::<u64>::zeroed(len).unwrap();
            buffer.as_mut_slice().fill(7);
            buffer
        };
        let mut buffers = pool.map(make, [10, 1000, 100_000]).unwrap();
        for (buffer, len) in buffers.iter_mut().zip([10, 1000, 100_000]) {
            assert_eq!(buffer.as_mut_slice(), vec![7; len]);
        }
    });
}

#[test]
fn files_and_pipe_ends_travel_there_and_back() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = Fd::<File>::new(File::from(OwnedFd::from(writer)));
        let write = |(text, file): (String, Fd<File>)| {
            let mut file = file.into_inner().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            Fd::new(file)
        };
        let back = pool.apply(write, ("hello".to_owned(), writer)).unwrap();
        back.into_inner().unwrap().write_all(b" world").unwrap();
        // Nobody else has the writing end any more: there is an end to read to.
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");

        let produce = |sender: pipe::Sender<u32>| (0..1000).for_each(|n| sender.send(n).unwrap());
        let (sender, receiver) = pipe::simplex().unwrap();
        let task = pool.submit(produce, sender).unwrap();
        let received: Vec<u32> = receiver.into_iter().map(Result::unwrap).collect();
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
        task.get().unwrap();
        assert_sound(&pool);
    });
}

/// The worker drops its end before its task is over: this process must not keep a copy that hides it.
#[test]
fn a_moved_end_is_the_workers_alone() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let (sender, receiver) = pipe::simplex::<u32>().unwrap();
        let (go, wait_for_go) = pipe::simplex::<()>().unwrap();
        let task = |(sender, go): (pipe::Sender<u32>, pipe::Receiver<()>)| {
            sender.send(1).unwrap();
            drop(sender);
            go.recv().unwrap();
        };
        let task = pool.submit(task, (sender, wait_for_go)).unwrap();
        assert_eq!(receiver.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1]);
        go.send(()).unwrap();
        task.get().unwrap();
    });
}

#[test]
fn many_items_with_handles_stream_through() {
    play("stream handles").succeed();
}

fn stream_handles() {
    assert_sound(&Pool::with_workers(1).unwrap());
    let before = holdings();
    let pool = Pool::with_workers(2).unwrap();
    let slices = (0..500_u64).map(|n| SharedSlice::from_slice(&[n, 1]).unwrap());
    let sums: Vec<u64> = pool.imap(sum, slices).map(Result::unwrap).collect();
    assert_eq!(sums, (1..501).collect::<Vec<_>>());
    let make = |n: u64| SharedSlice::from_slice(&[n, 2]).unwrap();
    for (n, slice) in (0..1000_u64).zip(pool.imap(make, 0..1000_u64)) {
        assert_eq!(slice.unwrap()[..], [n, 2]);
    }
    drop(pool);
    assert_back_to(before);
}

#[test]
fn a_lock_is_shared_with_workers_that_are_invited_for_it() {
    needs_pidfds!();
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        // Workers that know nothing of each other are invited when a handle needs it.
        assert_sound(&pool);
        let counter = Shared::new(Mutex::new(0_u64)).unwrap();
        let count = |counter: &Shared<Mutex<u64>>, by: u64| *counter.lock().unwrap() += by;
        pool.map_with(&counter, count, [1; 1000]).unwrap();
        assert_eq!(*counter.lock().unwrap(), 1000);
        let count = |counter: Shared<Mutex<u64>>| *counter.lock().unwrap() += 1;
        pool.map(count, (0..100).map(|_| &counter)).unwrap();
        assert_eq!(*counter.lock().unwrap(), 1100);
    });
}

#[test]
fn workers_are_invited_once_however_many_threads_need_them_to_be() {
    needs_pidfds!();
    guarded(|| {
        let counter = Shared::new(Mutex::new(0_u64)).unwrap();
        let count = |counter: Shared<Mutex<u64>>| *counter.lock().unwrap() += 1;
        for _ in 0..50 {
            let pool = Pool::with_workers(2).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| pool.apply(count, &counter).unwrap());
                }
            });
            assert_eq!(pool.insights().total.starts, 2, "no worker has left because of it");
        }
        assert_eq!(*counter.lock().unwrap(), 400);
    });
}

#[test]
fn the_death_of_a_worker_that_holds_a_lock_is_told_to_the_others() {
    needs_pidfds!();
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let counter = Shared::new(Mutex::new(0_u64)).unwrap();
        let die = |counter: Shared<Mutex<u64>>| {
            let _guard = counter.lock().unwrap();
            How::Kill.happen().unwrap();
        };
        assert!(matches!(pool.apply(die, &counter), Err(TaskError::Died { .. })));
        let error = counter.lock().unwrap_err();
        assert!(matches!(error, procession_sync::LockError::OwnerDied { .. }), "{error}");
        *counter.lock_or_reset(|| 5) += 1;
        let read = |counter: Shared<Mutex<u64>>| *counter.lock().unwrap();
        assert_eq!(pool.apply(read, &counter).unwrap(), 6);
        // The worker in its place was invited, too.
        assert_eq!(pool.map(read, vec![&counter; 100]).unwrap(), [6; 100]);
    });
}

#[test]
fn a_trusting_handle_from_a_worker_needs_a_trusting_pool() {
    needs_pidfds!();
    guarded(|| {
        let make = |n: u64| Shared::new(Mutex::new(n)).unwrap();
        let pool = Pool::with_workers(1).unwrap();
        let error = pool.apply(make, 3).unwrap_err();
        assert!(matches!(error, TaskError::Untrusted { item: 0, .. }), "{error:?}");
        assert!(error.to_string().contains(".trusting()"), "{error}");
        assert_sound(&pool);

        let trusting = Pool::builder().workers(1).trusting().build().unwrap();
        let made = trusting.apply(make, 3).unwrap();
        *made.lock().unwrap() += 1;
        let read = |made: Shared<Mutex<u64>>| *made.lock().unwrap();
        assert_eq!(trusting.apply(read, &made).unwrap(), 4);
    });
}

#[test]
fn a_context_cannot_hold_what_has_one_owner() {
    let pool = Pool::with_workers(1).unwrap();
    let mut buffer = SharedBuf::<u8>::zeroed(10).unwrap();
    let error = pool.map_with(&buffer, |_: &SharedBuf<u8>, n: u8| n, [1]).unwrap_err();
    assert!(
        matches!(&error, TaskError::Encode { item: 0, reason, .. } if reason.contains("only one owner"))
    );
    // It is still here.
    buffer.as_mut_slice().fill(1);
}

#[test]
fn what_was_sent_before_is_an_error_of_the_caller() {
    let pool = Pool::with_workers(1).unwrap();
    let (sender, _receiver) = pipe::simplex::<u8>().unwrap();
    let pair = (sender, 1_u8);
    let twice =
        [&pair.0, &pair.0].map(|sender| procession_channel::codec::encode(sender, &mut Vec::new()));
    assert!(twice.iter().all(Result::is_err), "outside of a message no handle can be encoded");
    let many: Vec<Fd<File>> = (0..254).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect();
    let count = |files: Vec<Fd<File>>| files.len();
    let error = pool.submit(count, many).unwrap_err();
    assert!(matches!(error, SubmitError::TooManyHandles(_)), "{error}");
    let many: Vec<Fd<File>> = (0..253).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect();
    assert_eq!(pool.apply(count, many).unwrap(), 253);
}

/// A retried item needs its descriptors again.
#[test]
fn an_item_with_handles_is_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = Fd::<File>::new(File::from(OwnedFd::from(writer)));
        let fussy = |(tries, file): (SharedSlice<u8>, Fd<File>)| {
            let mut file = file.into_inner().unwrap();
            assert_eq!(tries[0], 1);
            file.write_all(b"x").unwrap();
            How::Kill.happen().unwrap();
        };
        let tries = SharedSlice::from_slice(&[1]).unwrap();
        let error = pool.job().retries(2).apply(fussy, (tries, writer)).unwrap_err();
        assert_eq!(error.attempts().len(), 2, "{error}");
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "xxx");
        assert_sound(&pool);
    });
}

/// A handle that has one owner is gone with the worker that had it: there is nothing to try again with.
#[test]
fn an_item_that_moves_a_handle_is_not_tried_again() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let (sender, receiver) = pipe::simplex::<u32>().unwrap();
        let die = |sender: pipe::Sender<u32>| {
            sender.send(1).unwrap();
            How::Abort.happen().unwrap();
        };
        let error = pool.job().retries(5).apply(die, sender).unwrap_err();
        assert!(matches!(error, TaskError::Died { .. }) && error.attempts().is_empty(), "{error}");
        assert_eq!(receiver.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), [1]);
        assert_sound(&pool);
    });
}

/// A death costs what was begun. What has one owner is no exception: it goes elsewhere with its item.
#[test]
fn an_item_that_moves_a_handle_and_was_not_begun_outlives_its_worker() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        for round in 0..20 {
            eventually("a worker is ready", || !pool.worker_pids().is_empty());
            let pid = pool.worker_pids()[0];
            kill(pid, Signal::STOP);
            eventually("it has stopped", || state_of(pid) == 'T');
            let (sender, receiver) = pipe::simplex::<u32>().unwrap();
            let mut buffer = SharedBuf::<u32>::zeroed(10).unwrap();
            buffer.as_mut_slice().fill(round);
            let work =
                |(sender, mut buffer, padding): (pipe::Sender<u32>, SharedBuf<u32>, Vec<u8>)| {
                    buffer.as_mut_slice().iter().for_each(|n| sender.send(*n).unwrap());
                    (std::process::id(), padding.len())
                };
            // Every other one is too long for the ring and is on its way only in part.
            let len = if round % 2 == 0 { 0 } else { 1 << 20 };
            let task = pool.submit(work, (sender, buffer, vec![0_u8; len])).unwrap();
            kill(pid, Signal::KILL);
            let (by, padding) = task.get().unwrap();
            assert!(by != pid && padding == len);
            assert_eq!(receiver.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [round; 10]);
        }
        assert_sound(&pool);
    });
}

#[test]
fn an_item_that_moves_a_handle_and_waits_behind_a_slow_one_outlives_the_worker() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let slow = pool.submit(|_: ()| std::thread::sleep(Duration::from_secs(600)), ()).unwrap();
        let (sender, receiver) = pipe::simplex::<u32>().unwrap();
        let behind =
            pool.submit(|sender: pipe::Sender<u32>| sender.send(7).unwrap(), sender).unwrap();
        eventually("the slow one is begun", || slow.is_running());
        kill(pool.worker_pids()[0], Signal::KILL);
        assert!(matches!(slow.get(), Err(TaskError::Died { .. })));
        behind.get().unwrap();
        assert_eq!(receiver.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [7]);
    });
}

/// At any moment, chosen by chance: each item has run at most once, and only one that was begun is lost.
#[test]
fn deaths_cost_items_that_move_handles_only_what_was_begun() {
    guarded(|| {
        let pool = Pool::with_workers(2).unwrap();
        let random = &mut Random(seed());
        let work = |(ledger, n, sender): (String, u32, pipe::Sender<u32>)| {
            record(&ledger, n);
            sender.send(n).unwrap();
        };
        let ledger = Ledger::new();
        let mut lost = 0;
        let rounds = 200;
        for n in 0..rounds {
            let (sender, receiver) = pipe::simplex::<u32>().unwrap();
            let task = pool.submit(work, (ledger.path(), n, sender)).unwrap();
            std::thread::sleep(Duration::from_micros(random.next() % 200));
            if let Some(pid) =
                pool.worker_pids().first().and_then(|pid| Pid::from_raw((*pid).try_into().unwrap()))
            {
                // The one before it may have been killed so recently that the pool does not know.
                assert!(matches!(kill_process(pid, Signal::KILL), Ok(()) | Err(Errno::SRCH)));
            }
            let outcome = task.get();
            let sent: Vec<_> = receiver.into_iter().map_while(Result::ok).collect();
            match outcome {
                Ok(()) => assert_eq!(sent, [n]),
                Err(error) => {
                    assert!(matches!(error, TaskError::Died { .. }), "{error:?}");
                    lost += 1;
                }
            }
        }
        assert!(ledger.counts().values().all(|count| *count == 1));
        tell(&format!("moved handles: {lost} of {rounds} items were lost, begun"));
        assert_sound(&pool);
    });
}

#[test]
fn no_descriptor_is_left_behind_whatever_happens_to_the_item() {
    play("lose handles").succeed();
}

fn lose_handles() {
    assert_sound(&Pool::with_workers(1).unwrap());
    let before = holdings();
    let pool = Pool::with_workers(2).unwrap();
    let spoil = |(n, slice): (u64, SharedSlice<u64>)| {
        match n % 4 {
            0 => How::Kill.happen().unwrap(),
            1 => panic!("on purpose"),
            2 => std::process::exit(0),
            _ => {}
        }
        slice
    };
    let items = (0..200).map(|n| (n, SharedSlice::from_slice(&[n]).unwrap()));
    let done = pool.imap(spoil, items).filter(Result::is_ok).count();
    assert_eq!(done, 50);
    let items = (0..50).map(|n| (n, SharedSlice::from_slice(&[n]).unwrap()));
    drop(pool.imap(spoil, items).next());
    assert_sound(&pool);
    drop(pool);
    assert_back_to(before);
}

fn close_all_descriptors() {
    // SAFETY: none. They have owners in this process, who will find them closed, which is what this is about.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(closed, 0);
}

/// As a library does that turns into a daemon. What is not handed through descriptors goes on.
#[test]
fn a_worker_that_has_closed_all_descriptors_works_on_and_says_why_handles_cannot_be_sent() {
    guarded(|| {
        let pool = Pool::with_workers(1).unwrap();
        let worker = pool.apply(
            |()| {
                close_all_descriptors();
                std::process::id()
            },
            (),
        );
        let give = |()| Fd::new(File::open("/dev/null").unwrap());
        let take = |_: Fd<File>| ();
        let given = pool.apply(give, ()).unwrap_err();
        let taken = pool.apply(take, Fd::new(File::open("/dev/null").unwrap())).unwrap_err();
        assert!(matches!(given, TaskError::Encode { .. }), "{given:?}");
        assert!(matches!(taken, TaskError::Decode { .. }), "{taken:?}");
        for error in [given, taken] {
            let text = error.to_string();
            assert!(text.contains("has closed descriptors that are not its own"), "{text}");
        }
        assert_eq!(pool.apply(|bytes: Vec<u8>| bytes, vec![7; 3 << 20]).unwrap(), vec![7; 3 << 20]);
        assert_eq!(pool.worker_pids(), [worker.unwrap()]);
        assert_sound(&pool);
    });
}

/// The kernel lets nobody but root have more descriptors on their way than `RLIMIT_NOFILE`.
fn send_too_many() {
    if rustix::process::geteuid().is_root() {
        // SAFETY: changes nothing but who this process is.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
    }
    let pool = Pool::with_workers(1).unwrap();
    assert_sound(&pool);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(300), maximum }).unwrap();
    let (hoard, _unread) = UnixDatagram::pair().unwrap();
    while hoard_descriptors(&hoard) {}

    let file = Fd::new(File::open("/dev/null").unwrap());
    let work = |_: &Fd<File>, n: u32| n;
    let outcomes: Vec<_> = pool.job().chunk(10).imap_with(&file, work, 0..25).collect();
    for (number, outcome) in outcomes.iter().enumerate() {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!(error.item(), Some(number));
        assert!(error.to_string().contains("its file descriptors cannot be sent"), "{error}");
    }
    assert_eq!(outcomes.len(), 25);
    drop((hoard, _unread));
    assert_eq!(pool.map_with(&file, work, 0..25).unwrap().len(), 25);
    pool.join();
}

/// Sends as many descriptors as go into one packet; false when there may be no more.
fn hoard_descriptors(socket: &UnixDatagram) -> bool {
    let many = [socket.as_fd(); 100];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(100))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
    match sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::DONTWAIT) {
        Ok(_) => true,
        Err(errno) => {
            assert_eq!(errno, Errno::TOOMANYREFS);
            false
        }
    }
}

/// A context goes with the first items that need it. None of them is forgotten if it cannot go.
#[test]
fn a_context_whose_handles_cannot_be_sent_is_an_error_of_each_item() {
    guarded(|| drop(play("send too many").succeed()));
}
