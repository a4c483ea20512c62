//! Workers of other programs: a copy of this one, and such that know nothing of all this.

use procession_pool::{Pool, PoolBuilder, TaskError};

use super::guard::{eventually, guarded};
use super::program::{Role, children, play};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] =
    &[("strangers that exit", strangers_that_exit), ("strangers that stay", strangers_that_stay)];

fn shell(script: &str) -> PoolBuilder {
    Pool::builder().workers(2).program("/bin/sh").program_args(["-c", script])
}

fn strangers_that_exit() {
    let pool = shell("exit 9").build().unwrap();
    let error = pool.map(|n: u64| n, 0..10).unwrap_err().to_string();
    assert!(error.contains("exit code 9"), "{error}");
    assert!(pool.apply(|()| (), ()).is_err(), "it stays broken");
}

fn strangers_that_stay() {
    let pool = shell("exec sleep 1000").build().unwrap();
    let task = pool.submit(|n: u64| n, 1).unwrap();
    pool.terminate();
    assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })), "it never ran");
    drop(pool);
    eventually("they are killed", || children().is_empty());
    drop(shell("exec sleep 1000").build().unwrap());
}

#[test]
fn a_program_that_does_not_serve_breaks_its_pool() {
    play("strangers that exit").succeed();
}

#[test]
fn a_program_that_neither_serves_nor_exits_is_killed_with_its_pool() {
    play("strangers that stay").succeed();
}

#[test]
fn a_program_that_does_not_exist_is_an_error_at_once() {
    let error = Pool::builder().program("/nothing/here").build().unwrap_err().to_string();
    assert!(error.contains("run the helper program"), "{error}");
}

#[test]
fn a_worker_that_dies_is_replaced_by_the_same_program() {
    guarded(|| {
        let this = std::env::current_exe().unwrap();
        let pool =
            Pool::builder().workers(2).program(this).program_args(["--worker"]).build().unwrap();
        let died = pool.apply(|()| -> () { std::process::abort() }, ());
        assert!(matches!(died, Err(TaskError::Died { .. })), "{died:?}");
        let arguments = |_: u64| std::env::args().skip(1).collect::<Vec<_>>();
        assert!(pool.map(arguments, 0..50).unwrap().iter().all(|seen| seen == &["--worker"]));
        assert_sound(&pool);
    });
}
