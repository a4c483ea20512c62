//! A program whose `/proc` is that of another pid namespace: the numbers in it are those of other processes.

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use procession_process::{Exit, Launcher};
use seccompiler::SeccompAction;

use super::role::{self, Finished, eventually, finish};
use super::status::forbid;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("asks what a child uses", || {
        let child = hoarder();
        let usage = || child.usage_so_far().expect("a pidfd tells the number there");
        eventually("what it has used is told", || usage().peak_memory_bytes > HOARD);
        assert!(child.memory_bytes().unwrap() > HOARD);
        child.kill().unwrap();
        assert_eq!(child.wait(), Exit::Signal(libc::SIGKILL));
        assert_eq!(child.memory_bytes(), None);
    }),
    ("asks what a child uses without pidfds", || {
        forbid(&[libc::SYS_pidfd_open], SeccompAction::Errno(libc::EPERM.cast_unsigned()));
        let child = hoarder();
        assert_eq!((child.usage_so_far(), child.memory_bytes()), (None, None), "it is not known");
        child.kill().unwrap();
        assert_eq!(child.wait(), Exit::Signal(libc::SIGKILL));
    }),
    ("forks and awaits a stranger", || {
        forbid(&[libc::SYS_pidfd_open], SeccompAction::Errno(libc::EPERM.cast_unsigned()));
        let child = Launcher::new(|_| std::thread::sleep(role::GUARD)).launch().unwrap();
        let (mut looked, mut has_looked) = std::io::pipe().unwrap();
        // SAFETY: as in the module on forks.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            assert!(child.is_alive());
            assert_eq!(child.wait_timeout(Duration::from_millis(20)), None);
            has_looked.write_all(b"x").unwrap();
            assert_eq!(child.wait(), Exit::Unknown, "it ended, whoever bears its number there");
            std::process::exit(0);
        }
        drop(has_looked);
        looked.read_exact(&mut [0]).unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait(), Exit::Signal(libc::SIGKILL));
        let forked = rustix::process::Pid::from_raw(forked);
        let options = rustix::process::WaitOptions::empty();
        let (_, status) = rustix::process::waitpid(forked, options).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
    }),
];

const HOARD: u64 = 65 << 20;

/// A child that uses so much memory.
fn hoarder() -> procession_process::Child {
    let hoard = |_| {
        let bytes = std::hint::black_box(vec![1_u8; 66 << 20]);
        std::thread::sleep(role::GUARD);
        drop(bytes);
    };
    Launcher::new(hoard).launch().unwrap()
}

/// The role as the first process of a pid namespace, for which nobody has mounted a `/proc`; `None` where there can be none.
fn play_in_a_namespace(role: &str) -> Option<Finished> {
    let namespace = |program: &Command| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).arg(program.get_program());
        command.args(program.get_args()).env(role::VARIABLE, role);
        command
    };
    let probe = namespace(&Command::new("true")).output();
    let is_possible = probe.is_ok_and(|output| output.status.success());
    is_possible.then(|| finish(&mut namespace(&role::command(role))))
}

#[test]
fn a_child_is_known_by_its_number_in_proc_and_by_no_other() {
    for (role, _) in ROLES {
        let Some(finished) = play_in_a_namespace(role) else {
            let test = "a_child_is_known_by_its_number_in_proc_and_by_no_other";
            return skips::skipped(test, "no pid namespace can be made, or there is no unshare(1)");
        };
        finished.succeed();
    }
}
