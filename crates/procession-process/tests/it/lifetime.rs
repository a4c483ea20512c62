//! What becomes of children when their parent ends, in each way that it can.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::time::Duration;

use procession_process::{Exit, Process, ProcessError, active_children, spawn};

use super::role::{self, command, eventually, play, runs, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("leave children", || {
        drop(spawn!(ends_late("dropped")).unwrap());
        spawn!(ends_late("detached")).unwrap().detach();
        let kept = spawn!(ends_late("kept")).unwrap();
        std::process::exit(if kept.is_alive() { 3 } else { 4 });
    }),
    ("leave daemons", || {
        let daemon = Process::builder().daemon(true).spawn(|()| parent_of_one(), ()).unwrap();
        let child = spawn!(ends_late("child")).unwrap();
        say(&format!("daemon {}", daemon.pid()));
        assert!(daemon.is_alive() && child.is_alive());
    }),
    ("leave grandchildren", || {
        fn middle() {
            drop(spawn!(ends_late("grandchild")).unwrap());
        }
        drop(spawn!(middle()).unwrap());
    }),
    ("abort", || leave(|| std::process::abort())),
    // SAFETY: _exit has no preconditions.
    ("_exit", || leave(|| unsafe { libc::_exit(0) })),
    ("sleep", || leave(sleeps)),
    ("panic", || {
        drop(spawn!(ends_late("child")).unwrap());
        panic!("the parent panics");
    }),
    ("exit in a fork", || {
        let child = spawn!(sleeps()).unwrap();
        // SAFETY: the forked process only exits.
        match unsafe { libc::fork() } {
            0 => std::process::exit(i32::try_from(active_children().len()).unwrap()),
            pid => {
                let mut status = 0;
                // SAFETY: the pointer is to a local.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                assert_eq!(status, 0);
            }
        }
        assert!(child.is_alive(), "the forked process killed it");
        child.kill().unwrap();
    }),
    ("spawn at exit", || {
        extern "C" fn late() {
            let refused = Process::spawn(|()| say("late child ran"), ()).unwrap().join();
            say(&format!("late {refused:?}"));
        }
        Process::spawn(|()| (), ()).unwrap().join().unwrap();
        // SAFETY: the handler is a function that may be called at exit.
        assert_eq!(unsafe { libc::atexit(late) }, 0);
    }),
];

fn ends_late(name: String) {
    std::thread::sleep(Duration::from_millis(200));
    say(&format!("{name} is done"));
}

fn sleeps() {
    std::thread::sleep(role::GUARD);
}

fn parent_of_one() {
    let below = spawn!(sleeps()).unwrap();
    say(&format!("grandchild {}", below.pid()));
    sleeps();
}

/// Starts two children, a daemon among them, says who they are and ends so.
fn leave(end: fn()) {
    let child = spawn!(sleeps()).unwrap();
    let daemon = Process::builder().daemon(true).spawn(|()| sleeps(), ()).unwrap();
    say(&format!("pids {} {}", child.pid(), daemon.pid()));
    end();
}

fn pids(line: &str) -> Vec<u32> {
    line.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn children_are_waited_for_when_their_parent_exits() {
    let finished = play("leave children");
    assert_eq!(finished.status.code(), Some(3), "{}\n{}", finished.out, finished.err);
    for name in ["dropped", "detached", "kept"] {
        assert_eq!(finished.count(&format!("{name} is done")), 1, "{}", finished.out);
    }
}

#[test]
fn daemons_are_killed_when_their_parent_exits() {
    let finished = play("leave daemons").succeed();
    assert_eq!(finished.count("child is done"), 1);
    let daemon = finished.answer("daemon ").parse().unwrap();
    assert!(!runs(daemon), "it was reaped before its parent left");
    // It may not have got as far as to start one.
    if let Some(line) = finished.out.lines().find_map(|line| line.strip_prefix("grandchild ")) {
        let grandchild = line.parse().unwrap();
        eventually("the daemon's child is gone", || !runs(grandchild));
    }
}

#[test]
fn grandchildren_are_waited_for_by_their_parent() {
    assert_eq!(play("leave grandchildren").succeed().count("grandchild is done"), 1);
}

#[test]
fn children_are_waited_for_when_their_parent_panics() {
    let finished = play("panic");
    assert_eq!(finished.status.code(), Some(101));
    assert_eq!(finished.count("child is done"), 1);
}

#[test]
fn all_die_when_their_parent_does_not_exit_by_itself() {
    for role in ["abort", "_exit"] {
        let finished = play(role);
        for pid in pids(finished.answer("pids ")) {
            eventually("children are gone", || !runs(pid));
        }
    }
}

#[test]
fn a_fork_that_exits_leaves_the_children_of_its_parent_alone() {
    play("exit in a fork").succeed();
}

#[test]
fn an_exit_handler_may_still_start_a_process_and_join_it() {
    let finished = play("spawn at exit").succeed();
    assert_eq!(finished.answer("late Ok"), "(())");
}

/// What a terminal does: SIGINT to all processes of the group in the foreground.
#[test]
fn one_ctrl_c_ends_parent_and_children() {
    role::heed_interrupts();
    let mut command = command("sleep");
    let mut parent = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(parent.stdout.take().unwrap());
    let line = out.lines().find_map(|line| Some(line.unwrap().strip_prefix("pids ")?.to_owned()));
    let children = pids(&line.unwrap());
    let group = rustix::process::Pid::from_child(&parent);
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(libc::SIGINT));
    for pid in children {
        eventually("children are gone", || !runs(pid));
    }
}

#[test]
fn ctrl_c_ends_a_child_as_it_ends_any_program() {
    role::heed_interrupts();
    let process = spawn!(sleeps()).unwrap();
    process.interrupt().unwrap();
    match process.join() {
        Err(ProcessError::Died { exit, .. }) => assert_eq!(exit, Exit::Signal(libc::SIGINT)),
        other => panic!("{other:?}"),
    }
}
