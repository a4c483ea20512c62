//! The example `tree_hash` does what `sha256sum` does, on worker processes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::odd_tree::{LINES, OddTree};
use skips::skipped;

use crate::programs::example;

/// `tree_hash` on `.` in this folder.
fn tree_hash(folder: &Path, args: &[&str]) -> Command {
    let mut command = example("tree_hash");
    command.current_dir(folder).arg(".").args(args).stdin(Stdio::null());
    command
}

/// What it printed; it must not have failed.
#[track_caller]
fn lines(mut command: Command) -> Vec<u8> {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}: {}", ran.status, stderr(&ran));
    ran.stdout
}

fn stderr(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn assert_same(printed: &[u8], expected: &[u8]) {
    let [printed, expected] = [printed, expected].map(String::from_utf8_lossy);
    assert_eq!(printed, expected);
}

#[test]
fn odd_names_are_written_as_sha256sum_writes_them() {
    let tree = OddTree::build("odd-names");
    assert_same(&lines(tree_hash(tree.root(), &["--sorted"])), LINES);
}

#[test]
fn any_number_of_workers_prints_the_same_lines() {
    let tree = OddTree::build("workers");
    for workers in ["1", "5"] {
        let printed = lines(tree_hash(tree.root(), &["--workers", workers]));
        assert_eq!(sorted(&printed), sorted(LINES));
    }
}

#[test]
fn sha256sum_prints_the_same_and_accepts_it() {
    let version = Command::new("sha256sum").arg("--version").output();
    let version = version.map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned());
    if !version.is_ok_and(|text| escapes_returns(&text)) {
        let reason = "needs sha256sum of GNU coreutils 9 or later";
        return skipped("tree_hash::sha256sum_prints_the_same_and_accepts_it", reason);
    }
    let tree = OddTree::build("sha256sum");
    let found = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum --";
    let theirs = Command::new("sh").args(["-c", found]).current_dir(tree.root()).output().unwrap();
    let ours = lines(tree_hash(tree.root(), &["--sorted"]));
    assert_same(&ours, &theirs.stdout);
    assert!(is_accepted(tree.root(), &ours));
}

/// Those before 9 leave carriage returns as they are.
fn escapes_returns(version: &str) -> bool {
    let number = version.lines().next().and_then(|line| line.split_once("(GNU coreutils) "));
    let major = number.and_then(|(_, number)| number.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 9)
}

fn is_accepted(folder: &Path, lines: &[u8]) -> bool {
    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(lines).unwrap();
    check.wait().unwrap().success()
}

#[test]
fn a_file_may_stand_for_the_tree() {
    let tree = OddTree::build("one-file");
    let mut command = example("tree_hash");
    let printed = lines({
        command.current_dir(tree.root()).arg("folder/in folder/nested");
        command
    });
    let expected = b"370a8c04b8a65bb4494275eec227f1b694db04c76da6b0b8ae88ed1ab19790a3  folder/in folder/nested\n";
    assert_same(&printed, expected);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_done() {
    let tree = OddTree::build("unreadable");
    let (file, folder) = tree.add_unreadable();
    let ran = tree_hash(tree.root(), &["--sorted", "--chaos"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", stderr(&ran));
    for name in [file, folder] {
        let named = format!("{name}\": File name too long (os error 36)");
        assert_eq!(stderr(&ran).matches(&named).count(), 1, "{}", stderr(&ran));
    }
    assert!(stderr(&ran).contains("\n2 complaints above\n"), "{}", stderr(&ran));
    let (readable, rest): (Vec<_>, Vec<_>) =
        sorted(&ran.stdout).into_iter().partition(|line| line.ends_with(b"/readable\n"));
    assert_eq!(readable.len(), 1);
    assert_eq!(rest, sorted(LINES));
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let ran = example("tree_hash").arg("no/such/folder").output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(stderr(&ran).contains("\"no/such/folder\": No such file or directory"));
}

#[test]
fn an_empty_folder_is_no_failure() {
    let tree = OddTree::empty("empty");
    assert_same(&lines(tree_hash(tree.root(), &[])), b"");
}

#[test]
fn bad_arguments_are_explained() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "which DIR?"),
        (&["one", "two"], "one DIR at a time"),
        (&["one", "--sort"], "there is no option --sort"),
        (&["one", "--workers"], "--workers takes a number from 1"),
        (&["one", "--workers", "0"], "--workers takes a number from 1"),
        (&["one", "--workers", "many"], "--workers takes a number from 1"),
    ];
    for (args, complaint) in cases {
        let ran = example("tree_hash").args(args).output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{args:?}");
        assert!(stderr(&ran).starts_with(&format!("tree_hash: {complaint}\nusage: ")), "{args:?}");
        assert_same(&ran.stdout, b"");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let tree = OddTree::build("closed-pipe");
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let ran = tree_hash(tree.root(), &[]).stdout(writer).output().unwrap();
    assert!(ran.status.success(), "{}", ran.status);
    assert_eq!(stderr(&ran), "");
}

#[test]
fn a_full_disk_is_a_failure() {
    let tree = OddTree::build("full-disk");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = tree_hash(tree.root(), &[]).stdout(full).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(stderr(&ran).contains("cannot write the output: No space left on device"));
}

#[test]
fn chaos_changes_nothing_but_the_number_of_workers_that_were_killed() {
    let tree = OddTree::empty("chaos");
    // Enough that it takes at least some tens of milliseconds on any machine, with optimisation and without.
    let len = if cfg!(debug_assertions) { 64 << 10 } else { 1 << 20 };
    for n in 0_u8..200 {
        tree.add(format!("{}/{n}", n % 7).as_bytes(), &vec![n; len]);
    }
    let calm = lines(tree_hash(tree.root(), &["--sorted", "--workers", "4"]));
    assert_eq!(sorted(&calm).len(), 200);
    let chaotic =
        tree_hash(tree.root(), &["--sorted", "--workers", "4", "--chaos"]).output().unwrap();
    assert!(chaotic.status.success(), "{}: {}", chaotic.status, stderr(&chaotic));
    assert_same(&chaotic.stdout, &calm);
    assert!(kills(&stderr(&chaotic)) >= 1, "{}", stderr(&chaotic));
}

/// The number in `3 workers killed meanwhile`.
fn kills(summary: &str) -> u32 {
    let line = summary.lines().find(|line| line.ends_with(" killed meanwhile")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}
