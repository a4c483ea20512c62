//! A process that a bare `fork` made has the handles of a queue, and not its memory.

use std::task::Waker;
use std::time::Duration;

use backstage::executor::poll_once;
use procession_channel::queue::{Queue, RecvError, SendErrorKind};
use procession_shm::{Waitable, family};

const AS_IT_SHOULD: i32 = 41;

/// Runs `work` in a forked process and says whether it came to a good end there.
fn is_so_in_a_fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child allocates, which glibc allows after a fork, takes no lock that another thread may hold, and ends without
    // destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = if work() { AS_IT_SHOULD } else { 1 };
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the child is ours and `status` is a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == AS_IT_SHOULD
}

fn refuses<T>(result: Result<T, RecvError>) -> bool {
    matches!(result, Err(RecvError::NotAMember(_)))
}

fn refuses_to_put(queue: &Queue<u64>) -> bool {
    let one = queue.put(1).unwrap_err().kind;
    let many = queue.put_many([1, 2]).unwrap_err().kind;
    let by_half = queue.putter().try_put(1).unwrap_err().kind;
    let is_refused = |kind: &SendErrorKind| matches!(kind, SendErrorKind::NotAMember(_));
    [one, many, by_half].iter().all(is_refused)
}

fn refuses_to_give_out(queue: &Queue<u64>) -> bool {
    let getter = queue.getter();
    let awaited = poll_once(&mut getter.get_async(), Waker::noop());
    refuses(queue.get())
        && refuses(queue.get_many(2))
        && refuses(queue.claim())
        && refuses(getter.try_get())
        && awaited.is_some_and(refuses)
}

fn tells_what_it_knows(queue: &Queue<u64>) -> bool {
    queue.close();
    let limits = (queue.capacity(), queue.capacity_bytes(), format!("{queue:?}").is_empty());
    limits == (Some(3), 64 << 20, false)
        && (queue.len(), queue.is_full(), queue.is_closed()) == (0, false, false)
        && queue.is_ready()
        && queue.putter().is_ready()
        && queue.task_done().is_err()
        && queue.join_timeout(Duration::ZERO).is_err()
}

#[test]
fn a_forked_process_has_no_part_in_a_queue() {
    let queue = Queue::bounded(3).unwrap();
    queue.put(7).unwrap();
    assert!(is_so_in_a_fork(|| refuses_to_put(&queue)));
    assert!(is_so_in_a_fork(|| refuses_to_give_out(&queue)));
    assert!(is_so_in_a_fork(|| tells_what_it_knows(&queue)));
    assert_eq!((queue.get().unwrap(), queue.is_closed()), (7, false));
}

/// It is a member then, but what the parent has mapped is not mapped there.
#[test]
fn nor_has_one_that_has_joined_the_family_by_itself() {
    let queue = Queue::bounded(3).unwrap();
    queue.put(7).unwrap();
    assert!(is_so_in_a_fork(|| {
        family::rejoin_after_fork().is_ok()
            && refuses_to_put(&queue)
            && refuses_to_give_out(&queue)
            && tells_what_it_knows(&queue)
    }));
    assert_eq!(queue.get().unwrap(), 7);
}
