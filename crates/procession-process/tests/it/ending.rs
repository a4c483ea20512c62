//! How children end, and how it is told.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use procession_process::{Exit, Launcher, SpawnError, Start, StartMethod};

use super::role::{self, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("overflow", || overflow(StartMethod::Spawn)),
    ("overflow by fork", || overflow(StartMethod::Zygote)),
    ("zombies", || {
        for number in 0..20 {
            let launcher = Launcher::new(|start| std::process::exit(i32::from(start.payload[0])));
            drop(launcher.payload(vec![number]).launch().unwrap());
        }
        role::eventually("no children, no zombies", || role::children().is_empty());
    }),
    ("panic in on_exit", || {
        let child = Launcher::new(|_| ()).on_exit(|_| panic!("in on_exit")).launch().unwrap();
        say(&format!("exit {}", child.wait()));
    }),
];

fn overflow(start_method: StartMethod) {
    let deep = Launcher::new(|_| say(&recurse(0).to_string())).name("deep");
    say(&format!("exit {}", deep.start_method(start_method).launch().unwrap().wait()));
}

fn exit_of(main: fn(Start)) -> Exit {
    let child = Launcher::new(main).launch().unwrap();
    let exit = child.wait();
    assert_eq!(child.exit(), Some(exit));
    assert_eq!(child.wait_timeout(Duration::ZERO), Some(exit));
    assert!(!child.is_alive());
    exit
}

#[test]
fn exit_codes() {
    assert_eq!(exit_of(|_| ()), Exit::Code(0));
    assert_eq!(exit_of(|_| std::process::exit(3)), Exit::Code(3));
    assert_eq!(exit_of(|_| std::process::exit(255)), Exit::Code(255));
    assert_eq!(exit_of(|_| panic!("this panic is part of a test")), Exit::Code(101));
}

#[test]
fn signals() {
    assert_eq!(exit_of(|_| std::process::abort()), Exit::Signal(libc::SIGABRT));
    assert_eq!(exit_of(|_| raise(libc::SIGTERM)), Exit::Signal(libc::SIGTERM));
    assert_eq!(exit_of(|_| raise(libc::SIGSEGV)), Exit::Signal(libc::SIGSEGV));
    assert_eq!(exit_of(|_| raise(libc::SIGBUS)), Exit::Signal(libc::SIGBUS));
    let wild_write = |_| {
        // SAFETY: not sound at all: the fault is what the test is about.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(8).write_volatile(1) }
    };
    assert_eq!(exit_of(wild_write), Exit::Signal(libc::SIGSEGV));
}

fn raise(signal: i32) {
    // SAFETY: raise has no preconditions.
    unsafe { libc::raise(signal) };
}

#[expect(unconditional_recursion, reason = "the overflow is what the test is about")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

#[test]
fn a_stack_overflow_is_named_and_aborts() {
    names_an_overflow("overflow");
}

/// The stack for its handler is its zygote's.
#[test]
fn a_stack_overflow_of_a_process_that_was_forked_is_named_and_aborts() {
    needs_pidfds!();
    names_an_overflow("overflow by fork");
}

fn names_an_overflow(role: &str) {
    let finished = play(role).succeed();
    assert_eq!(finished.answer("exit "), "SIGABRT (aborted)");
    assert!(finished.err.contains("process 'deep' has overflowed its stack"), "{}", finished.err);
}

#[test]
fn killing_works_from_any_thread_any_number_of_times() {
    let child = Launcher::new(|_| std::thread::sleep(role::GUARD)).launch().unwrap();
    assert!(child.is_alive());
    assert_eq!(child.exit(), None);
    assert_eq!(child.wait_timeout(Duration::from_millis(1)), None);
    assert!(child.signal(0).is_err(), "0 is no signal");
    assert!(child.signal(65).is_err());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| child.wait());
        for _ in 0..3 {
            scope.spawn(|| child.kill().unwrap());
        }
        assert_eq!(waiter.join().unwrap(), Exit::Signal(libc::SIGKILL));
    });
    child.kill().unwrap();
    child.signal(libc::SIGTERM).unwrap();
}

#[test]
fn real_time_signals_can_be_sent() {
    let child = Launcher::new(|_| std::thread::sleep(role::GUARD)).launch().unwrap();
    child.signal(40).unwrap();
    assert_eq!(child.wait(), Exit::Signal(40));
    assert_eq!(child.wait().to_string(), "signal 40");
}

#[test]
fn on_exit_is_called_before_waiters_return_and_without_a_handle() {
    static CALLED: AtomicBool = AtomicBool::new(false);
    let on_exit = |exit| {
        assert_eq!(exit, Exit::Code(4));
        CALLED.store(true, Ordering::SeqCst);
    };
    let child = Launcher::new(|_| std::process::exit(4)).on_exit(on_exit).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(4));
    assert!(CALLED.load(Ordering::SeqCst));

    let (tell, told) = mpsc::channel();
    let on_exit = move |exit| tell.send((exit, std::thread::current().name().map(str::to_owned)));
    let launcher = Launcher::new(|_| ()).on_exit(move |exit| on_exit(exit).unwrap());
    drop(launcher.launch().unwrap());
    let (exit, thread) = told.recv_timeout(role::GUARD).unwrap();
    assert_eq!((exit, thread.as_deref()), (Exit::Code(0), Some("procession-reap")));
}

#[test]
fn a_child_whose_start_nobody_waits_for_is_started_and_reaped() {
    let (tell, told) = mpsc::channel();
    let launcher = Launcher::new(|_| std::process::exit(5));
    drop(launcher.on_exit(move |exit| tell.send(exit).unwrap()).begin().unwrap());
    assert_eq!(told.recv_timeout(role::GUARD), Ok(Exit::Code(5)));
}

#[test]
fn children_that_are_on_their_way_together_are_told_apart() {
    let code = |start: Start| std::process::exit(start.payload[0].into());
    let begun: Vec<_> =
        (0..20).map(|n| Launcher::new(code).payload(vec![n]).begin().unwrap()).collect();
    for (n, on_its_way) in (0..20).zip(begun) {
        assert_eq!(on_its_way.finish().unwrap().wait(), Exit::Code(n));
    }
}

#[test]
fn what_the_system_says_to_a_start_comes_with_its_end() {
    let begun = Launcher::new(|_| ()).program("/dev/null").begin().unwrap();
    assert!(matches!(begun.finish(), Err(SpawnError::System { .. })));
}

#[test]
fn whoever_is_first_reaps_and_all_are_told_the_same() {
    for code in 0..30 {
        let called = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&called);
        let launcher = Launcher::new(|start| std::process::exit(start.payload[0].into()));
        let on_exit = move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let child = launcher.payload(vec![code]).on_exit(on_exit).launch().unwrap();
        std::thread::scope(|scope| {
            let wait = || {
                assert_eq!(child.wait(), Exit::Code(code.into()));
                assert!(child.usage().is_some());
                assert_eq!(called.load(Ordering::SeqCst), 1);
            };
            for _ in 0..3 {
                scope.spawn(wait);
            }
        });
    }
}

#[test]
fn a_panic_in_on_exit_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let finished = play("panic in on_exit");
    assert_eq!(finished.status.signal(), Some(libc::SIGABRT));
    assert!(
        finished.err.contains("a function that was given to `on_exit` panicked"),
        "{}",
        finished.err
    );
}

#[test]
fn dropped_children_are_reaped() {
    play("zombies").succeed();
}
