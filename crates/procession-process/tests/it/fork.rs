//! Host programs that fork by themselves.

use std::io::{Read, Write};
use std::time::Duration;

use procession_process::{Exit, Launcher};
use procession_shm::wait_any;
use seccompiler::SeccompAction;

use super::role::{self, play, say};
use super::status::forbid;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("forks", forks),
    ("forks without pidfds", || {
        forbid(&[libc::SYS_pidfd_open], SeccompAction::Errno(libc::EPERM.cast_unsigned()));
        forks();
    }),
];

fn forks() {
    let before = Launcher::new(|_| std::thread::sleep(role::GUARD)).launch().unwrap();
    let (mut looked, mut has_looked) = std::io::pipe().unwrap();
    // SAFETY: glibc makes its allocator usable in the child, which std and this crate rely on; no
    // other thread of this program holds a lock of std.
    match unsafe { libc::fork() } {
        0 => {
            let inert = before.kill().unwrap_err();
            assert_eq!(inert.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(before.is_alive());
            assert_eq!(before.wait_timeout(Duration::from_millis(1)), None);
            assert!(wait_any(&[&before], Duration::from_millis(1)).unwrap().is_empty());
            has_looked.write_all(b"x").unwrap();
            launch_some("forked");
            say("forked done");
            // The parent kills it meanwhile or after: the end is seen, the status is not.
            assert_eq!(before.wait(), Exit::Unknown);
            assert!(!before.is_alive());
            drop(before);
            std::process::exit(0);
        }
        forked => {
            drop(has_looked);
            launch_some("original");
            assert!(before.is_alive(), "the forked process could not kill it");
            looked.read_exact(&mut [0]).unwrap();
            before.kill().unwrap();
            assert_eq!(before.wait(), Exit::Signal(libc::SIGKILL));
            let forked = rustix::process::Pid::from_raw(forked);
            let options = rustix::process::WaitOptions::empty();
            let (_, status) = rustix::process::waitpid(forked, options).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0));
        }
    }
    role::eventually("no children, no zombies", || role::children().is_empty());
}

fn launch_some(who: &str) {
    for code in 1..=3 {
        let launcher = Launcher::new(|start| std::process::exit(i32::from(start.payload[0])));
        let child = launcher.payload(vec![code]).launch().unwrap();
        assert_eq!(child.wait(), Exit::Code(i32::from(code)), "{who}");
    }
}

#[test]
fn both_sides_of_a_fork_launch_and_only_the_parent_has_a_say() {
    for role in ["forks", "forks without pidfds"] {
        let finished = play(role).succeed();
        assert_eq!(finished.count("forked done"), 1, "{role}");
    }
}
