//! Constructors that launch: the hook's place among them decides whether that can work.

use std::env;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use procession_process::{Child, Launcher, SpawnError, is_child};

use super::role::{command, eventually, finish, say};

/// Names the constructor that is to launch.
const WHEN: &str = "PROCESSION_TEST_CONSTRUCTOR";

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("launches in main too", || {
        // It ends by exit on the thread that serves; those of the constructors just return.
        let serve_and_exit = |_| {
            say("child serves");
            std::process::exit(0);
        };
        let child = Launcher::new(serve_and_exit).launch().unwrap();
        say(&format!("main's child {}", child.wait()));
    }),
    ("waits for the constructor's thread", || {
        eventually("the thread is done", || THREAD_DONE.load(Ordering::SeqCst));
    }),
];

static THREAD_DONE: AtomicBool = AtomicBool::new(false);

type Constructor = extern "C" fn(c_int, *const *const u8, *const *const u8);

#[used]
#[unsafe(link_section = ".init_array.00050")]
static BEFORE: Constructor = before;

#[used]
#[unsafe(link_section = ".init_array.00200")]
static AFTER: Constructor = after;

#[used]
#[unsafe(link_section = ".init_array")]
static LAST: Constructor = last;

extern "C" fn before(_: c_int, _: *const *const u8, _: *const *const u8) {
    launch_if_asked("before");
}

extern "C" fn after(argc: c_int, _: *const *const u8, _: *const *const u8) {
    if cfg!(target_env = "gnu") {
        assert!(argc > 0, "constructors get the arguments of main");
    }
    launch_if_asked("after");
}

extern "C" fn last(_: c_int, _: *const *const u8, _: *const *const u8) {
    launch_if_asked("last");
    if env::var(WHEN).as_deref() == Ok("thread") {
        std::thread::spawn(launch_on_thread);
    }
    if env::var(WHEN).as_deref() == Ok("exit") {
        extern "C" fn at_exit() {
            launch_if_asked("exit");
        }
        // SAFETY: the handler may be called at exit, which is what it is for.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    }
}

fn launch_if_asked(place: &str) {
    if env::var(WHEN).as_deref() != Ok(place) {
        return;
    }
    // Before its hook a child does not know that it is one.
    let child = is_child() || env::var_os("PROCESSION_BOOT").is_some();
    let who = if child { "child" } else { "parent" };
    match Launcher::new(|_| say("constructor's child serves")).launch() {
        Ok(child) => say(&format!("{who}: {}", child.wait())),
        Err(SpawnError::HookDidNotRun { .. }) => say(&format!("{who}: hook did not run")),
        Err(SpawnError::InConstructor { .. }) => say(&format!("{who}: in constructor")),
        Err(other) => say(&format!("{who}: {other}")),
    }
}

/// What a library that starts a thread in a constructor could do to multiply without end.
fn launch_on_thread() {
    if is_child() {
        // The function of this child runs as long as this thread tries.
        for _ in 0..100 {
            report_thread("child", Launcher::new(|_| ()).launch());
            std::thread::sleep(Duration::from_millis(1));
        }
        THREAD_DONE.store(true, Ordering::SeqCst);
        return;
    }
    let lives = |_| eventually("its own thread is done", || THREAD_DONE.load(Ordering::SeqCst));
    report_thread("parent", Launcher::new(lives).launch());
    THREAD_DONE.store(true, Ordering::SeqCst);
}

fn report_thread(who: &str, result: Result<Child, SpawnError>) {
    match result {
        Ok(child) => say(&format!("{who}'s thread launched: {}", child.wait())),
        Err(SpawnError::InConstructor { .. }) => say(&format!("{who}'s thread refused")),
        Err(other) => say(&format!("{who}'s thread: {other}")),
    }
}

fn run(place: &str) -> super::role::Finished {
    finish(command("launches in main too").env(WHEN, place)).succeed()
}

#[test]
fn before_the_hook_nothing_can_be_launched() {
    let finished = run("before");
    assert_eq!(finished.count("parent: hook did not run"), 1);
    assert_eq!(finished.count("child: hook did not run"), 1);
    assert_eq!(finished.count("constructor's child serves"), 0);
    assert_eq!(finished.answer("main's child "), "exit code 0");
}

#[test]
fn after_the_hook_a_constructor_launches_in_the_parent_and_not_in_a_child() {
    for place in ["after", "last"] {
        let finished = run(place);
        assert_eq!(finished.count("parent: exit code 0"), 1, "{}", finished.out);
        assert_eq!(finished.count("constructor's child serves"), 1);
        // Its own child, and the one that main launches.
        assert_eq!(finished.count("child: in constructor"), 2);
        assert_eq!(finished.answer("main's child "), "exit code 0");
    }
}

#[test]
fn a_thread_that_a_constructor_left_behind_does_not_launch_in_a_child() {
    let mut command = command("waits for the constructor's thread");
    let finished = finish(command.env(WHEN, "thread")).succeed();
    assert_eq!(finished.count("parent's thread launched: exit code 0"), 1, "{}", finished.out);
    assert_eq!(finished.count("child's thread refused"), 100, "{}", finished.out);
}

#[test]
fn an_exit_handler_of_a_constructor_does_not_launch_in_a_child() {
    let finished = run("exit");
    assert_eq!(finished.answer("main's child "), "exit code 0");
    assert_eq!(finished.count("parent: exit code 0"), 1, "{}", finished.out);
    assert_eq!(finished.count("constructor's child serves"), 1);
    assert_eq!(finished.count("child: in constructor"), 2);
}
