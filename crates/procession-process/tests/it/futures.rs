//! Processes that are awaited, by executors as small as they can be.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use backstage::executor::block_on;
use procession_process::{Exit, Process, ProcessError};

fn square(n: u64) -> u64 {
    n * n
}

#[test]
fn a_process_is_awaited() {
    let sum = async {
        let (first, second) = (Process::spawn(square, 3)?, Process::spawn(square, 4)?);
        Ok::<_, ProcessError>(first.await? + second.await?)
    };
    assert_eq!(block_on(sum).unwrap(), 25);
}

#[test]
fn one_that_has_ended_is_ready_at_once() {
    let mut process = Process::spawn(square, 5).unwrap();
    assert_eq!(process.wait(), Exit::Code(0));
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::new(&mut process).poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Ok(25))), "{polled:?}");
    let again = Pin::new(&mut process).poll(&mut context);
    assert!(matches!(again, Poll::Ready(Err(ProcessError::AlreadyJoined))), "{again:?}");
}

#[test]
fn the_last_waker_is_woken_by_the_end() {
    let mut process = Process::spawn(|()| std::thread::park(), ()).unwrap();
    let mut unused = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut process).poll(&mut unused).is_pending());
    process.kill().unwrap();
    match block_on(&mut process) {
        Err(ProcessError::Died { exit, .. }) => assert_eq!(exit, Exit::Signal(libc::SIGKILL)),
        other => panic!("{other:?}"),
    }
    assert_eq!(process.exit_status(), Some(Exit::Signal(libc::SIGKILL)));
}

#[test]
fn many_are_awaited_by_many_threads() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..10 {
                    let process = Process::spawn(square, thread * n).unwrap();
                    assert_eq!(block_on(process).unwrap(), (thread * n).pow(2));
                }
            });
        }
    });
}

#[test]
fn it_can_move_between_threads() {
    fn movable<T: Send + Sync + Unpin + 'static>() {}
    // Not even if its value cannot.
    movable::<Process<std::rc::Rc<u32>>>();
    movable::<procession_process::ProcessHandle>();
    movable::<procession_process::ProcessBuilder>();
    movable::<ProcessError>();
    assert!(size_of::<ProcessError>() < 128);
}
