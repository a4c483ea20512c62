//! Proofs that take long, each as a test that is short by default. `PROCESSION_LONG` in the environment makes them long, which
//! is what `cargo xtask long` sets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use backstage::holdings;
use procession_process::{Process, spawn};

use super::role::{self, command, eventually, finish, runs, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("flat", flat),
    ("tree of three", || {
        let children = [spawn!(branch()).unwrap(), spawn!(branch()).unwrap()];
        say(&format!("root {} {}", children[0].pid(), children[1].pid()));
        std::thread::sleep(role::GUARD);
    }),
    ("large parent", || {
        let bytes = if is_long() { 4 << 30 } else { 256 << 20 };
        // Pages are there once something else than zero was written.
        let memory = vec![1_u8; bytes];
        let resident = value_in_status("VmRSS");
        assert!(resident * 1024 >= bytes, "{resident} KiB");
        for n in 0..20 {
            assert_eq!(Process::spawn(|n: u32| n + 1, n).unwrap().join().unwrap(), n + 1);
        }
        let small = Process::spawn(|()| value_in_status("VmRSS"), ()).unwrap().join().unwrap();
        assert!(small < 64 << 10, "a child of a large process has {small} KiB");
        say(&format!("parent {resident} KiB, child {small} KiB"));
        drop(std::hint::black_box(memory));
    }),
];

fn is_long() -> bool {
    std::env::var_os("PROCESSION_LONG").is_some()
}

/// How often something is done.
fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// A number in `/proc/self/status`.
fn value_in_status(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What must not grow: descriptors and threads not at all, memory but for some noise of the allocator.
fn counts() -> (usize, usize) {
    (holdings::descriptors(), holdings::threads())
}

fn flat() {
    const NOISE_KIB: usize = 4 << 10;
    let start = |count: usize| {
        for n in 0..count {
            let n = u32::try_from(n).unwrap();
            assert_eq!(Process::spawn(|n: u32| n ^ 1, n).unwrap().join().unwrap(), n ^ 1);
        }
        eventually("no children, no zombies", || role::children().is_empty());
    };
    start(50);
    let (before, memory) = (counts(), value_in_status("VmRSS"));
    let spawns = times(200, 10_000);
    start(spawns);
    // They may be fewer: what belonged to the last child is closed a moment after it is gone.
    eventually("no descriptor, no thread more", || {
        let (descriptors, threads) = counts();
        descriptors <= before.0 && threads <= before.1
    });
    let after = value_in_status("VmRSS");
    assert!(after <= memory + NOISE_KIB, "{memory} KiB before, {after} KiB after");
    say(&format!(
        "flat {spawns} spawns: {before:?} descriptors and threads, {memory} to {after} KiB"
    ));
}

fn branch() {
    let leaves = [spawn!(leaf()).unwrap(), spawn!(leaf()).unwrap()];
    say(&format!("branch {} {}", leaves[0].pid(), leaves[1].pid()));
    std::thread::sleep(role::GUARD);
}

fn leaf() {
    std::thread::sleep(role::GUARD);
}

#[test]
fn spawns_leave_nothing_behind() {
    say(finish(&mut command("flat")).succeed().answer("flat "));
}

#[test]
fn a_large_parent_has_small_children() {
    say(finish(&mut command("large parent")).succeed().answer("parent "));
}

/// SIGKILL of the root, at a moment that differs from time to time: with the whole tree there, or while it grows.
#[test]
fn a_killed_root_takes_its_tree_along() {
    let rounds = times(10, 1_000);
    let mut killed = 0;
    for round in 0..rounds {
        let lines_awaited = 1 + round % 3;
        killed += kill_tree(lines_awaited);
    }
    say(&format!("{rounds} roots were killed, and {killed} processes that they had named"));
}

/// Starts a tree, kills its root after so many lines, and waits for all that were named to be gone; how many.
fn kill_tree(lines_awaited: usize) -> usize {
    let mut root = command("tree of three").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(root.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let named = |line: String| {
        let (kind, pids) = line.split_once(' ')?;
        let pids: Option<Vec<u32>> = pids.split(' ').map(|pid| pid.parse().ok()).collect();
        matches!(kind, "root" | "branch").then_some(pids).flatten()
    };
    let pids: Vec<u32> = lines.by_ref().filter_map(named).take(lines_awaited).flatten().collect();
    root.kill().unwrap();
    root.wait().unwrap();
    // The pipe is at its end when the last of the tree is gone, also of those that were not named.
    let last_words: Vec<String> = lines.collect();
    for pid in &pids {
        eventually("the tree is gone", || !runs(*pid));
    }
    pids.len() + last_words.into_iter().filter_map(named).flatten().count()
}
