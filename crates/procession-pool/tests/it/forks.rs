//! A process with a pool that forks. The pool and its workers belong to the parent, whatever the child does.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::sync::Mutex;

use procession_channel::Fd;
use procession_pool::task::{Until, wait};
use procession_pool::{Pool, PoolError, Task, TaskError};
use procession_process::Failure;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use super::guard::{eventually, guarded};
use super::program::{Role, play};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] = &[
    ("fork and exit", || fork_and(|_| std::process::exit(7))),
    ("fork and drop", || fork_and(drop)),
    ("fork and map", || {
        fork_and(|pool| {
            let error = pool.map(|n: u32| n, 0..10).unwrap_err();
            let TaskError::Broken(error) = error else { panic!("{error:?}") };
            assert!(matches!(*error, PoolError::Forked { .. }), "{error:?}");
            let _kept = ManuallyDrop::new(pool);
        });
    }),
    ("fork and ask for a task", || {
        fork_and(|pool| {
            let task = TASK.lock().unwrap().take().unwrap();
            assert!(task.is_done() && !task.is_running() && !task.cancel());
            assert_eq!(wait(std::slice::from_ref(&task), Until::All, None), [0]);
            let error = task.get().unwrap_err();
            assert!(error.to_string().contains("which forked this one"), "{error}");
            let _kept = ManuallyDrop::new(pool);
        });
    }),
    ("fork and make a pool", || {
        fork_and(|pool| {
            let _kept = ManuallyDrop::new(pool);
            assert_sound(&Pool::with_workers(2).unwrap());
        });
    }),
    ("fork and use the pool of all", || {
        let parents = Pool::global().unwrap();
        assert_sound(parents);
        let pids = parents.worker_pids();
        fork_and(|pool| {
            let _kept = ManuallyDrop::new(pool);
            let own = Pool::global().unwrap();
            assert_sound(own);
            assert!(std::ptr::eq(own, Pool::global().unwrap()), "it is made once");
        });
        assert!(std::ptr::eq(parents, Pool::global().unwrap()));
        assert_sound(parents);
        assert_eq!(parents.worker_pids(), pids);
        parents.terminate();
    }),
    ("fork and terminate", || {
        fork_and(|pool| {
            ManuallyDrop::new(pool).terminate();
        });
    }),
];

/// A task from before the fork.
static TASK: Mutex<Option<Task<u64>>> = Mutex::new(None);

/// The child does something with its copy of the pool; the pool of this process must be as good as ever.
fn fork_and(act: fn(Pool)) {
    let pool = Pool::with_workers(2).unwrap();
    assert_sound(&pool);
    let pids = pool.worker_pids();
    *TASK.lock().unwrap() = Some(pool.submit(|n: u64| n, 7).unwrap());
    // SAFETY: the child is a copy with one thread. No other thread holds a lock that it needs: the pool is idle.
    let child = unsafe { libc::fork() };
    let Some(child) = Pid::from_raw(child) else {
        end_after(30);
        act(pool);
        // Past the harness' own clean-up, which is the parent's.
        // SAFETY: ends the process at once and runs nothing.
        unsafe { libc::_exit(7) }
    };
    let mut status = None;
    eventually("the child ends", || {
        status = waitpid(Some(child), WaitOptions::NOHANG).unwrap();
        status.is_some()
    });
    let status: Option<WaitStatus> = status.map(|(_, status)| status);
    assert_sound(&pool);
    pool.apply(open_null, ()).expect("the way for handles is open, too");
    assert_eq!(TASK.lock().unwrap().take().unwrap().get().unwrap(), 7);
    assert_eq!(pool.worker_pids(), pids, "the workers are those from before the fork");
    assert_eq!(status.and_then(WaitStatus::exit_status), Some(7), "{status:?}");
}

fn open_null((): ()) -> Result<Fd<File>, Failure> {
    Ok(Fd::new(File::open("/dev/null")?))
}

/// SIGALRM ends the child if it hangs.
fn end_after(seconds: u32) {
    // SAFETY: only sets a timer.
    unsafe { libc::alarm(seconds) };
}

fn passes(role: &'static str) {
    guarded(move || drop(play(role).succeed()));
}

#[test]
fn a_forked_child_that_exits_harms_nobody() {
    passes("fork and exit");
}

#[test]
fn a_forked_child_that_drops_its_copy_harms_nobody() {
    passes("fork and drop");
}

#[test]
fn a_forked_child_that_terminates_its_copy_harms_nobody() {
    passes("fork and terminate");
}

#[test]
fn a_forked_child_that_uses_its_copy_is_told() {
    passes("fork and map");
}

#[test]
fn a_forked_child_that_asks_for_a_task_is_told() {
    passes("fork and ask for a task");
}

/// As a library would, which does not know of the fork.
#[test]
fn a_forked_child_has_a_pool_of_all_of_its_own() {
    passes("fork and use the pool of all");
}

#[test]
fn a_forked_child_may_make_a_pool_of_its_own() {
    passes("fork and make a pool");
}
