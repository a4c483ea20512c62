//! Descriptors: a child has those it was given, and a parent keeps none.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use procession_process::{Exit, Launcher, Start};

use super::role::{self, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[("descriptors", descriptors)];

/// Descriptors of this process and what they refer to, but for the one that lists them.
fn open() -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((path.file_name()?.to_str()?.into(), fs::read_link(&path).ok()?)))
        .collect();
    all.retain(|(_, target)| !target.starts_with(format!("/proc/{}/fd", std::process::id())));
    all.sort();
    all
}

fn list(start: Start) {
    let open = open();
    let targets: Vec<PathBuf> = start.fds.iter().map(role::target).collect();
    let others = open.iter().filter(|(number, target)| {
        !targets.contains(target) && !matches!(number.as_str(), "0" | "1" | "2")
    });
    let given = start.fds.len();
    let others: Vec<_> = others.collect();
    let mut report = File::from(start.fds.into_iter().next().unwrap());
    writeln!(report, "{} open, {given} given, others {others:?}", open.len()).unwrap();
}

fn report_of_child() -> String {
    let (reports, report) = std::io::pipe().unwrap();
    let fds = vec![OwnedFd::from(report), File::open("/proc/self/status").unwrap().into()];
    let child = Launcher::new(list).fds(fds).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(0));
    std::io::read_to_string(reports).unwrap()
}

fn descriptors() {
    // One that any other program this process runs would inherit, under a number that nothing
    // in the child takes.
    let zero = File::open("/dev/zero").unwrap();
    // SAFETY: duplicates a descriptor that is open; the result belongs to nobody else.
    let leaky = unsafe { libc::fcntl(zero.as_raw_fd(), libc::F_DUPFD, 100) };
    assert!(leaky >= 100);
    let first = report_of_child();
    let before = open();
    say(&format!("first {first}"));
    for _ in 0..300 {
        assert_eq!(report_of_child(), first);
    }
    // The reaper lets go of a child's pidfd a moment after it has woken whoever waits, so that
    // `before` may have counted one.
    role::eventually("no descriptor is left", || open().len() <= before.len());
}

#[test]
fn a_child_has_the_descriptors_it_was_given_and_its_parent_keeps_none() {
    let finished = play("descriptors").succeed();
    assert_eq!(finished.answer("first "), "5 open, 2 given, others []");
}
