//! Host programs that collect the exit status of every child, and systems without pidfds.

use std::time::Duration;

use procession_process::{Exit, Launcher};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::role::{self, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("ignores SIGCHLD", || {
        // SAFETY: no handler is installed, a disposition is set.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        report_ends();
    }),
    ("waits for any child", || {
        std::thread::spawn(|| {
            loop {
                let none_yet = rustix::process::wait(rustix::process::WaitOptions::empty());
                if none_yet.is_err() {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        report_ends();
    }),
    ("no pidfds", || {
        let refuse = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap());
        forbid(&[libc::SYS_pidfd_open], refuse);
        report_ends();
        let alive = Launcher::new(|_| std::thread::sleep(role::GUARD)).launch().unwrap();
        assert!(alive.is_alive());
        alive.kill().unwrap();
        assert_eq!(alive.wait(), Exit::Signal(libc::SIGKILL));
        assert!(!alive.is_alive());
        alive.kill().unwrap();
        role::eventually("no children, no zombies", || role::children().is_empty());
    }),
];

/// Answers these system calls so, in all threads of this process and its children.
pub(crate) fn forbid(calls: &[libc::c_long], answer: SeccompAction) {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
    seccompiler::apply_filter_all_threads(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn report_ends() {
    for _ in 0..20 {
        let coded = Launcher::new(|_| std::process::exit(5)).launch().unwrap();
        say(&format!("end {}", coded.wait()));
        let killed = Launcher::new(|_| std::process::abort()).launch().unwrap();
        say(&format!("end {}", killed.wait()));
    }
}

fn check_ends(role: &str, unknown_allowed: bool) {
    let finished = play(role).succeed();
    let ends: Vec<&str> =
        finished.out.lines().filter_map(|line| line.strip_prefix("end ")).collect();
    assert_eq!(ends.len(), 40);
    for pair in ends.chunks(2) {
        for (end, expected) in pair.iter().zip(["exit code 5", "SIGABRT (aborted)"]) {
            let known = *end == expected;
            assert!(known || unknown_allowed && *end == "unknown exit status", "{end}");
        }
    }
}

#[test]
fn a_host_that_ignores_sigchld_never_waits_for_ever() {
    check_ends("ignores SIGCHLD", true);
}

#[test]
fn a_host_that_waits_for_any_child_never_waits_for_ever() {
    check_ends("waits for any child", true);
}

#[test]
fn without_pidfds_everything_still_works() {
    check_ends("no pidfds", false);
}
