//! Pools whose workers are in a sandbox: they do what they are for, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use procession_channel::Fd;
use procession_pool::{Pool, PoolBuilder, PoolError, TaskError};
use procession_process::{
    Exit, Failure, Process, ProcessError, Sandbox, SpawnError, StartMethod, refusal,
};
use procession_shm::{Shared, SharedSlice};
use procession_sync::Mutex;

use skips::skipped;

use super::guard::guarded;
use super::ledger::Ledger;
use super::program::{Role, play, say};
use super::starting::forbid;
use super::trap::{How, assert_sound};

pub(crate) const ROLES: &[Role] = &[("no landlock", no_landlock)];

/// A directory, and a file in it that anybody may read.
const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const READABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Whether this kernel can do it; says so if not.
fn available(test: &str) -> bool {
    let available = Sandbox::new().compute_only().is_available();
    if !available {
        skipped(test, "this kernel has no Landlock, or no seccomp filters");
    }
    available
}

fn confined(sandbox: Sandbox) -> PoolBuilder {
    Pool::builder().workers(2).sandbox(sandbox)
}

fn computing() -> Pool {
    confined(Sandbox::new().compute_only()).build().unwrap()
}

/// What is tried.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
enum Attempt {
    Read,
    Write,
    Connect,
    Signal,
    Trace,
    Run,
    Spawn,
}

const ATTEMPTS: [Attempt; 7] = [
    Attempt::Read,
    Attempt::Write,
    Attempt::Connect,
    Attempt::Signal,
    Attempt::Trace,
    Attempt::Run,
    Attempt::Spawn,
];

/// The parent of whoever tries, a file that all may read, a file that may be made, and a port at which somebody listens.
type Target = (u32, String, String, u16);

/// Says whether it worked; any error but a refusal is one of the test.
fn attempt(
    (attempt, (parent, readable, writable, port)): (Attempt, Target),
) -> Result<bool, Failure> {
    let tried = match attempt {
        Attempt::Read => fs::read(readable).map(drop),
        Attempt::Write => fs::write(writable, "written"),
        Attempt::Connect => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop),
        Attempt::Signal => signal_nothing(parent),
        Attempt::Trace => File::options().write(true).open(format!("/proc/{parent}/mem")).map(drop),
        Attempt::Run => Command::new("/bin/true").status().map(drop),
        Attempt::Spawn => match Process::spawn(|n: u32| n, 1) {
            Err(ProcessError::Spawn(SpawnError::System { source, .. })) => {
                Err(source.kind().into())
            }
            spawned => {
                assert_eq!(spawned?.join()?, 1);
                Ok(())
            }
        },
    };
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Signal 0 asks whether one might; a real one must not be tried on a test that is to go on.
fn signal_nothing(pid: u32) -> io::Result<()> {
    // SAFETY: a plain system call.
    match unsafe { libc::kill(pid.cast_signed(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes every attempt on the pool, and says what became of it.
fn attack(pool: &Pool, writable: &str) -> Vec<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = (std::process::id(), READABLE.to_owned(), writable.to_owned(), port);
    let outcomes = pool.map(attempt, ATTEMPTS.map(|attempt| (attempt, target.clone())));
    outcomes.unwrap()
}

#[test]
fn what_is_forbidden_fails_in_the_item_that_tries() {
    if !available("what_is_forbidden_fails_in_the_item_that_tries") {
        return;
    }
    guarded(|| {
        let scratch = Ledger::new();
        let free = Pool::with_workers(2).unwrap();
        assert_eq!(attack(&free, &scratch.path()), [true; 7], "without a sandbox");
        assert_eq!(fs::read_to_string(scratch.path()).unwrap(), "written");
        fs::write(scratch.path(), "kept").unwrap();
        let pool = computing();
        assert_eq!(attack(&pool, &scratch.path()), [false; 7]);
        assert_eq!(fs::read_to_string(scratch.path()).unwrap(), "kept");
        assert_sound(&pool);
    });
}

#[test]
fn a_sandbox_forbids_what_it_was_asked_to_and_no_more() {
    if !available("a_sandbox_forbids_what_it_was_asked_to_and_no_more") {
        return;
    }
    guarded(|| {
        let scratch = Ledger::new();
        let offline = confined(Sandbox::new().no_network()).build().unwrap();
        let others = [true, true, false, false, false, true, true];
        assert_eq!(attack(&offline, &scratch.path()), others);
        let reader = confined(Sandbox::new().read_only([DIRECTORY])).build().unwrap();
        assert_eq!(attack(&reader, &scratch.path())[..2], [true, false]);
    });
}

#[test]
fn verbs_work_as_ever_in_a_sandbox() {
    if !available("verbs_work_as_ever_in_a_sandbox") {
        return;
    }
    guarded(|| {
        let pool = computing();
        let squares: Vec<u64> = (0..2000).map(|n| n * n).collect();
        assert_eq!(pool.map(|n: u64| n * n, 0..2000).unwrap(), squares);
        let streamed: BTreeSet<u64> =
            pool.imap_unordered(|n: u64| n * n, 0..2000).map(Result::unwrap).collect();
        assert!(streamed.into_iter().eq(squares));
        assert_eq!(pool.map_with(&3, |k: &u64, n: u64| k * n, [1, 2]).unwrap(), [3, 6]);
        // Longer than a ring, in both directions.
        let long = vec![7_u8; 3 << 20];
        assert_eq!(pool.apply(|bytes: Vec<u8>| bytes, &long[..]).unwrap(), long);
        match pool.apply(|n: u32| How::Panic.happen().map_or(n, |()| n), 1) {
            Err(TaskError::Panicked { panic, .. }) => {
                assert_eq!(panic.message, "a panic on purpose");
            }
            other => panic!("{other:?}"),
        }
        assert_sound(&pool);
    });
}

#[test]
fn handles_work_as_ever_in_a_sandbox() {
    needs_pidfds!();
    if !available("handles_work_as_ever_in_a_sandbox") {
        return;
    }
    guarded(|| {
        let pool = computing();
        // A worker that joins the family of this process does it from inside its sandbox.
        let counter = Shared::new(Mutex::new(0_u64)).unwrap();
        let count = |counter: Shared<Mutex<u64>>| -> Result<(), Failure> {
            *counter.lock()? += 1;
            Ok(())
        };
        pool.for_each(count, (0..100).map(|_| counter.clone())).unwrap();
        assert_eq!(*counter.lock().unwrap(), 100);
        let table = SharedSlice::from_slice(&[5_u64, 6, 7]).unwrap();
        let look_up = |table: &SharedSlice<u64>, n: usize| table[n];
        assert_eq!(pool.map_with(&table, look_up, 0..3).unwrap(), [5, 6, 7]);
        // What was opened outside can be read inside, where it could not be opened.
        let read = |file: Fd<File>| -> Result<String, Failure> {
            let mut text = String::new();
            file.into_inner()?.read_to_string(&mut text)?;
            Ok(text)
        };
        let own = fs::read_to_string(READABLE).unwrap();
        let file = File::open(READABLE).unwrap();
        assert_eq!(pool.apply(read, Fd::new(file)).unwrap(), own);
    });
}

fn reads() -> bool {
    fs::read(READABLE).is_ok()
}

/// Whoever replaces a worker is in the same sandbox, and so are initializers and exit hooks.
#[test]
fn replacements_and_errands_are_in_the_sandbox_too() {
    if !available("replacements_and_errands_are_in_the_sandbox_too") {
        return;
    }
    guarded(|| {
        let initializer = || -> Result<(), Failure> {
            if reads() { Err("it can read files".into()) } else { Ok(()) }
        };
        let builder = confined(Sandbox::new().compute_only()).initializer(initializer);
        let pool = builder.exit_hook(reads).max_tasks_per_worker(5).build().unwrap();
        let work = |n: u32| {
            if n % 10 == 3 {
                How::Kill.happen().unwrap();
            }
            (std::process::id(), reads())
        };
        let outcomes: Vec<_> = pool.imap(work, 0..40).collect();
        let died = |outcome: &&Result<_, TaskError>| {
            matches!(outcome, Err(TaskError::Died { exit: Exit::Signal(9), .. }))
        };
        assert_eq!(outcomes.iter().filter(died).count(), 4, "{outcomes:?}");
        let done: Vec<(u32, bool)> = outcomes.into_iter().flatten().collect();
        assert_eq!(done.len(), 36);
        assert!(done.iter().all(|(_, reads)| !reads));
        let workers: BTreeSet<u32> = done.iter().map(|(pid, _)| *pid).collect();
        assert!(workers.len() >= 8, "{} workers for 36 items, 5 each", workers.len());
        pool.join();
        let hooks = pool.exit_values::<bool>();
        assert!(!hooks.is_empty() && hooks.into_iter().all(|reads| !reads.unwrap()));
    });
}

#[test]
fn workers_are_forked_into_the_sandbox() {
    needs_pidfds!();
    if !available("workers_are_forked_into_the_sandbox") {
        return;
    }
    guarded(|| {
        let builder = confined(Sandbox::new().compute_only());
        let builder = builder.start_method(StartMethod::Zygote).preload(|| assert!(reads()));
        let pool = builder.build().unwrap();
        assert_eq!(pool.map(|_: u32| reads(), 0..20).unwrap(), [false; 20]);
    });
}

#[test]
fn a_path_that_does_not_exist_is_one_clear_error_and_no_loop() {
    if !available("a_path_that_does_not_exist_is_one_clear_error_and_no_loop") {
        return;
    }
    guarded(|| {
        let pool = confined(Sandbox::new().read_only(["/nothing/here"])).build().unwrap();
        let error = pool.apply(|n: u32| n, 1).unwrap_err();
        let TaskError::Broken(error) = error else { panic!("{error:?}") };
        match &*error {
            PoolError::TooManyRestarts { within: None, exit, .. } => {
                assert_eq!(*exit, Exit::Code(refusal::SANDBOX));
            }
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains("could not be put into its sandbox"), "{error}");
    });
}

#[test]
fn a_kernel_without_landlock_is_an_error_of_build() {
    if !available("a_kernel_without_landlock_is_an_error_of_build") {
        return;
    }
    guarded(|| {
        let finished = play("no landlock").succeed();
        assert!(finished.answer("refused ").contains("Landlock is not built in"));
    });
}

fn no_landlock() {
    forbid(&[libc::SYS_landlock_create_ruleset]);
    match confined(Sandbox::new()).build() {
        Err(PoolError::Spawn(error @ SpawnError::SandboxUnavailable { .. })) => {
            say(&format!("refused {error}"));
        }
        other => panic!("{other:?}"),
    }
    assert_sound(&confined(Sandbox::new().compute_only().best_effort()).build().unwrap());
}
