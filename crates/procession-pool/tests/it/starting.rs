//! Workers that cannot be started: at first, or later when one has to be replaced.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use procession_pool::{Pool, PoolError, SubmitError, TaskError};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use seccompiler::{SeccompAction, SeccompFilter};

use skips::skipped;

use super::guard::{eventually, guarded};
use super::idle::kill;
use super::ledger::{Ledger, record};
use super::program::{Role, children, command, finish, play, say};
use super::resources::holdings;
use super::trap::{assert_sound, limit_memory};

pub(crate) const ROLES: &[Role] = &[
    ("few descriptors", few_descriptors),
    ("more workers than there can be", more_workers_than_there_can_be),
    ("few descriptors later", few_descriptors_later),
    ("few descriptors and an abort", few_descriptors_and_an_abort),
    ("few processes", few_processes),
    ("no exec", || refused(&[libc::SYS_execve, libc::SYS_execveat])),
    ("no memfd", || refused(&[libc::SYS_memfd_create])),
    ("no exec later", no_exec_later),
    ("no membarrier later", no_membarrier_later),
    ("workers that abort", workers_that_abort),
    ("workers that abort at times", workers_that_abort_at_times),
    ("workers with little memory", workers_with_little_memory),
];

/// What the constructor below does to child processes.
const CONSTRUCTOR: &str = "PROCESSION_POOL_TEST_CONSTRUCTOR";

type Constructor = extern "C" fn(c_int, *const *const u8, *const *const u8);

/// Runs before `main`, in workers, too: what a library that is linked in may do.
#[used]
#[unsafe(link_section = ".init_array")]
static RUN_IN_CHILDREN: Constructor = run_in_children;

extern "C" fn run_in_children(_: c_int, _: *const *const u8, _: *const *const u8) {
    if !procession_process::is_child() {
        return;
    }
    match std::env::var(CONSTRUCTOR).as_deref() {
        Ok("abort") => std::process::abort(),
        Ok("abort at times") => abort_every_second_time(),
        Ok("abort if told") => abort_if_told(),
        Ok("limit") => limit_memory(64 << 20),
        _ => {}
    }
}

fn abort_every_second_time() {
    let Ok(ledger) = std::env::var("LEDGER") else { return };
    record(&ledger, std::process::id());
    if std::fs::read(&ledger).is_ok_and(|bytes| bytes.len() / 4 % 2 == 1) {
        std::process::abort();
    }
}

/// Once for each time that the file is there.
fn abort_if_told() {
    if std::env::var("ORDER").is_ok_and(|order| std::fs::remove_file(order).is_ok()) {
        std::process::abort();
    }
}

fn add(n: u64) -> u64 {
    n + 1
}

/// Says what came of making and using a pool, and makes sure that nothing is left behind if nothing came of it.
fn report() {
    match Pool::with_workers(2) {
        Ok(pool) => {
            assert_sound(&pool);
            say("pool works");
        }
        Err(error) => {
            say(&format!("error {error}"));
            eventually("no child is left", || children().is_empty());
        }
    }
}

fn limit_descriptors(count: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum }).unwrap();
}

/// Every number of descriptors from none to enough: an error each time, until it works.
fn few_descriptors() {
    let usual = getrlimit(Resource::Nofile).current.unwrap();
    let used = holdings().0 as u64;
    let mut errors = 0;
    for spare in 0..100 {
        limit_descriptors(used + spare);
        match Pool::with_workers(2) {
            Ok(pool) => {
                assert!(spare > 0);
                assert_sound(&pool);
                say(&format!("errors {errors}"));
                return;
            }
            Err(error) => {
                errors += 1;
                let text = error.to_string();
                let says_so = text.contains("RLIMIT_NOFILE") || text.contains("ulimit -n");
                assert!(says_so, "with {spare} to spare: {text}");
                // To look for children takes descriptors as well.
                limit_descriptors(usual);
                eventually("no child is left", || children().is_empty());
            }
        }
    }
    panic!("100 descriptors are enough for two workers");
}

#[test]
fn without_descriptors_there_is_an_error_that_says_so() {
    guarded(|| {
        let finished = play("few descriptors").succeed();
        assert_ne!(finished.answer("errors "), "0");
    });
}

/// The limit is reached when a worker has to be replaced: the other one carries on until it is lifted.
fn few_descriptors_later() {
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let pool = Pool::with_workers(2).unwrap();
    assert_sound(&pool);
    let mut hoard = Vec::new();
    kill(pool.worker_pids()[0], Signal::KILL);
    limit_descriptors(256);
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    for _ in 0..20 {
        assert_eq!(pool.map(add, 0..10).unwrap().len(), 10);
    }
    drop(hoard);
    limit_descriptors(limit);
    assert_sound(&pool);
}

/// Not before some were started is it known how many there can be, and nothing else is made of the number.
fn more_workers_than_there_can_be() {
    let usual = getrlimit(Resource::Nofile).current.unwrap();
    for workers in [1 << 40, usize::MAX] {
        limit_descriptors(holdings().0 as u64 + 30);
        let error = Pool::with_workers(workers).unwrap_err();
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        limit_descriptors(usual);
        eventually("no child is left", || children().is_empty());
    }
}

#[test]
fn more_workers_than_there_can_be_are_an_error() {
    guarded(|| drop(play("more workers than there can be").succeed()));
}

#[test]
fn a_worker_that_cannot_be_replaced_is_replaced_later() {
    guarded(|| drop(play("few descriptors later").succeed()));
}

/// What the system refused again and again does not count for a worker that dies before it is ready: this is the first.
fn few_descriptors_and_an_abort() {
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let pool = Pool::with_workers(2).unwrap();
    assert_sound(&pool);
    limit_descriptors(0);
    kill(pool.worker_pids()[0], Signal::KILL);
    // Refused at once, and then after 4, 20, 84 and 340 ms.
    let nap = |_: u64| std::thread::sleep(std::time::Duration::from_millis(100));
    (0..5).for_each(|n| pool.apply(nap, n).unwrap());
    limit_descriptors(limit);
    std::fs::write(std::env::var("ORDER").unwrap(), []).unwrap();
    assert_sound(&pool);
    eventually("it was told", || !std::path::Path::new(&std::env::var("ORDER").unwrap()).exists());
    assert_sound(&pool);
}

#[test]
fn what_the_system_refuses_is_not_laid_to_the_workers() {
    guarded(|| {
        let name = format!("procession-order-{}", std::process::id());
        let order = std::env::temp_dir().join(name);
        let mut command = command("few descriptors and an abort");
        command.env(CONSTRUCTOR, "abort if told").env("ORDER", &order);
        let finished = finish(&mut command);
        // Whatever went wrong, it is not left behind.
        drop(std::fs::remove_file(&order));
        finished.succeed();
    });
}

fn few_processes() {
    setrlimit(Resource::Nproc, Rlimit { current: Some(1), maximum: Some(1) }).unwrap();
    report();
}

/// The limit counts for others than root only.
#[test]
fn without_processes_there_is_an_error_that_says_so() {
    use std::os::unix::process::CommandExt;
    const NAME: &str = "without_processes_there_is_an_error_that_says_so";
    const NOBODY: u32 = 65_534;
    guarded(|| {
        let mut role = command("few processes");
        if rustix::process::geteuid().is_root() {
            role.uid(NOBODY).gid(NOBODY).current_dir("/");
            let mut probe = Command::new(std::env::current_exe().unwrap());
            probe.uid(NOBODY).gid(NOBODY).current_dir("/").arg("--list");
            if !probe.output().is_ok_and(|output| output.status.success()) {
                return skipped(NAME, "no other user may run the test binary");
            }
        }
        let finished = finish(&mut role).succeed();
        let text = finished.answer("error ");
        assert!(text.contains("RLIMIT_NPROC") || text.contains("ulimit -u"), "{text}");
    });
}

/// From now on these system calls fail in all threads.
pub(crate) fn forbid(calls: &[i64]) {
    let rules: BTreeMap<_, _> = calls.iter().map(|&call| (call, vec![])).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter_all_threads(&program).unwrap();
}

fn refused(calls: &[i64]) {
    forbid(calls);
    report();
}

#[test]
fn without_exec_there_is_an_error_that_says_so() {
    guarded(|| {
        let finished = play("no exec").succeed();
        let text = finished.answer("error ");
        assert!(text.contains("a worker process could not be started: "), "{text}");
        assert!(text.contains("seccomp"), "says what to do: {text}");
    });
}

#[test]
fn without_memfd_there_is_an_error_that_says_so() {
    guarded(|| {
        let finished = play("no memfd").succeed();
        let text = finished.answer("error ");
        assert!(text.contains("memfd_create") && text.contains("seccomp"), "{text}");
    });
}

/// A pool that worked loses its last worker and can get no other: that is an error for all, and not a hang.
fn no_exec_later() {
    let pool = Pool::with_workers(1).unwrap();
    assert_sound(&pool);
    forbid(&[libc::SYS_execve, libc::SYS_execveat]);
    let abort = |_: u64| -> u64 { std::process::abort() };
    let died = pool.apply(abort, 1).unwrap_err();
    assert!(matches!(died, TaskError::Died { .. }), "{died:?}");
    let error = pool.map(add, 0..10).unwrap_err();
    let TaskError::Broken(error) = error else { panic!("{error:?}") };
    assert!(matches!(*error, PoolError::Spawn(_)), "{error:?}");
    assert!(matches!(pool.submit(add, 1), Err(SubmitError::Broken(_))));
}

#[test]
fn a_last_worker_that_cannot_be_replaced_breaks_the_pool() {
    guarded(|| drop(play("no exec later").succeed()));
}

/// What one pool could rely on another one cannot.
fn no_membarrier_later() {
    assert_sound(&Pool::with_workers(1).unwrap());
    forbid(&[libc::SYS_membarrier]);
    let pool = Pool::with_workers(2).unwrap();
    let get_stuck_at_one = |n: u64| {
        if n == 1 {
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    };
    let done = pool.job().window(12).chunk(3).imap_unordered(get_stuck_at_one, 0..3).take(2);
    assert!(done.into_iter().all(|done| done.is_ok()));
    pool.terminate();
}

#[test]
fn items_are_taken_back_also_where_fences_are_not_to_be_had_any_more() {
    guarded(|| drop(play("no membarrier later").succeed()));
}

fn workers_that_abort() {
    let pool = match Pool::with_workers(8) {
        Ok(pool) => pool,
        Err(error) => return say(&format!("error at once: {error}")),
    };
    let task = pool.submit(add, 1);
    let error = pool.map(add, 0..10).unwrap_err();
    say(&format!("error {error}"));
    let TaskError::Broken(error) = error else { panic!("{error:?}") };
    assert!(matches!(*error, PoolError::TooManyRestarts { .. }), "{error:?}");
    if let Ok(task) = task {
        assert!(matches!(task.get(), Err(TaskError::Broken(_))));
    }
    eventually("the others are gone", || children().is_empty() && pool.worker_pids().is_empty());
    let refused = pool.submit(add, 1).unwrap_err();
    let SubmitError::Broken(later) = refused else { panic!("{refused:?}") };
    assert_eq!(later.to_string(), error.to_string(), "what broke it is what broke it first");
    assert!(matches!(pool.imap(add, 0..3).next(), Some(Err(TaskError::Broken(_)))));
}

#[test]
fn workers_that_never_get_ready_break_the_pool() {
    guarded(|| {
        let finished = finish(command("workers that abort").env(CONSTRUCTOR, "abort")).succeed();
        let text = finished.answer("error ");
        assert!(text.contains("SIGABRT") && text.contains("before `main`"), "{text}");
    });
}

/// Every second worker dies before anybody can have taken note of it, while other threads look after the pool, too.
fn workers_that_abort_at_times() {
    let pool = Pool::with_workers(2).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    pool.worker_pids();
                }
            });
        }
        for _ in 0..40 {
            assert_sound(&pool);
            kill(pool.worker_pids()[0], Signal::KILL);
        }
        assert_sound(&pool);
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn workers_that_die_at_once_are_replaced() {
    guarded(|| {
        let ledger = Ledger::new();
        let mut command = command("workers that abort at times");
        command.env(CONSTRUCTOR, "abort at times").env("LEDGER", ledger.path());
        finish(&mut command).succeed();
    });
}

/// An argument for which no worker has the memory: each dies while it receives it, before the item can begin.
fn workers_with_little_memory() {
    let pool = Pool::with_workers(2).unwrap();
    assert_sound(&pool);
    let len = |bytes: Vec<u8>| bytes.len();
    assert_eq!(pool.apply(len, vec![1; 1 << 20]).unwrap(), 1 << 20);
    let outcomes: Vec<_> = pool.imap(len, [vec![1; 10], vec![1; 100 << 20], vec![1; 20]]).collect();
    assert_eq!(outcomes[0].as_ref().unwrap(), &10);
    assert!(matches!(outcomes[1], Err(TaskError::Died { item: 1, .. })), "{:?}", outcomes[1]);
    assert_eq!(outcomes[2].as_ref().unwrap(), &20);
    assert_sound(&pool);
}

#[test]
fn an_argument_that_no_worker_can_hold_is_given_up() {
    guarded(|| {
        drop(finish(command("workers with little memory").env(CONSTRUCTOR, "limit")).succeed());
    });
}
