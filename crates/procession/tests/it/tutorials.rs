//! The programs of the tutorials print what the tutorials say: in order where the order is fixed, as a set where it is not.
//!
//! What they sleep is short here, and no test looks at a time.

use std::collections::BTreeSet;
use std::fs;

use procession::Sandbox;

use crate::odd_tree::OddTree;
use skips::skipped;

use crate::programs::example;

/// What an example printed; it must have succeeded, and must not have complained.
#[track_caller]
fn printed(name: &str, args: &[&str]) -> String {
    let ran = example(name).args(args).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert!(ran.status.success(), "{}", ran.status);
    String::from_utf8(ran.stdout).unwrap()
}

/// Where a line is that must be there once.
#[track_caller]
fn place(text: &str, line: &str) -> usize {
    let places: Vec<_> = text.lines().enumerate().filter(|(_, found)| *found == line).collect();
    assert_eq!(places.len(), 1, "{line:?} in {text}");
    places[0].0
}

/// That the lines are there once each, in this order, whatever is between them.
#[track_caller]
fn assert_in_order(text: &str, lines: &[&str]) {
    let places: Vec<_> = lines.iter().map(|line| place(text, line)).collect();
    assert!(places.is_sorted(), "{lines:?} in {text}");
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[track_caller]
fn assert_counted_in_parts(text: &str) {
    assert_eq!(text.lines().count(), 101);
    let numbers = numbers(text);
    assert!(BTreeSet::from_iter(numbers.iter().copied()).into_iter().eq(1..=100), "{text}");
    for first in [1, 26, 51, 76] {
        let part = first..first + 25;
        let in_part = numbers.iter().copied().filter(|n| part.contains(n));
        assert!(in_part.is_sorted(), "each process counts upwards: {text}");
    }
}

#[test]
fn four_processes_count_to_100_and_are_joined() {
    let text = printed("count_in_parts", &[]);
    assert_counted_in_parts(&text);
    assert!(text.ends_with("\nmain is done\n"), "{text}");
}

#[test]
fn four_processes_count_to_100_and_are_not_joined() {
    let text = printed("count_in_parts", &["--no-join"]);
    assert_counted_in_parts(&text);
    place(&text, "main is done");
}

#[test]
fn each_model_has_a_process() {
    assert_eq!(printed("process_per_model", &[]), "y = 10.0\ny = 2.2 x\ny = 2.0 x + 1.0\n");
}

#[test]
fn bob_is_greeted() {
    assert_eq!(printed("hello_bob", &[]), "hello bob\n");
}

#[test]
fn main_waits_for_whom_it_joins() {
    let text = printed("join", &["1"]);
    assert_in_order(&text, &["first is done", "main has waited for the first"]);
    assert_in_order(&text, &["main has waited for the first", "main does not wait for the second"]);
    place(&text, "second is done");
}

#[test]
fn processes_have_names_and_pids() {
    let text = printed("names", &[]);
    let lines: Vec<_> = text.lines().collect();
    let main = lines[0].strip_prefix("main ").unwrap();
    let child = |line: &str, name: &str| -> String {
        let pid = line.strip_prefix(name).and_then(|rest| rest.strip_suffix(main)).unwrap();
        pid.strip_suffix(" child of ").unwrap().trim().to_owned()
    };
    let (first, second) = (child(lines[1], "Process-1 "), child(lines[2], "Process-2 "));
    assert_ne!(first, second);
    let named = lines[3..].iter().find(|line| line.starts_with("worker bee ")).unwrap();
    place(&text, &format!("main calls it worker bee {}", child(named, "worker bee ")));
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_daemon_ends_with_main() {
    let text = printed("daemon", &["60"]);
    assert!(text.ends_with("main is done\n"), "nobody prints after main: {text}");
    assert!(text.lines().rev().skip(1).all(|line| line == "tick"), "{text}");
}

#[test]
fn a_child_outlives_main() {
    let text = printed("outlives_main", &["60"]);
    assert_in_order(&text, &["child begins", "child is done"]);
    place(&text, "main is done");
}

#[test]
fn four_processes_sleep() {
    let text = printed("sleeps", &["30"]);
    for n in 1..=4 {
        assert_in_order(&text, &[&format!("{n} sleeps for 30ms"), &format!("{n} is awake")]);
    }
    assert_eq!(text.lines().count(), 9);
    assert!(text.lines().last().unwrap().starts_with("all in "), "{text}");
}

#[test]
fn four_tasks_are_submitted_and_their_results_asked_for() {
    let text = printed("executor", &["30"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "four tasks are submitted");
    assert_eq!(lines[1..5], ["slept for 30ms"; 4]);
    assert!(lines[5].starts_with("all in "), "{text}");
}

#[test]
fn a_pool_squares() {
    let text = printed("pool_map", &[]);
    let (squares, time) = text.split_once('\n').unwrap();
    assert_eq!(squares, "[0, 1, 4, 9, 16] ... [9999600004, 9999800001]");
    assert!(time.starts_with("100000 squares in "), "{text}");
}

#[test]
fn two_tasks_tell_how_far_they_are() {
    let text = printed("two_tasks", &["10"]);
    for (task, steps) in [("download", 5), ("unpack", 3)] {
        let lines: Vec<_> = (1..=steps).map(|n| format!("{task}: {n} of {steps}")).collect();
        assert_in_order(&text, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert!(text.ends_with("\nboth are done\n"), "{text}");
}

#[test]
fn a_heart_beats_beside_a_computation() {
    let text = printed("heartbeat", &["1", "10000"]);
    assert!(text.ends_with("1229 primes below 10000\n"), "{text}");
    assert!(text.lines().rev().skip(1).all(|line| line == "still computing"), "{text}");
}

#[test]
fn a_queue_tells_how_full_it_is() {
    let text = printed("queue_basics", &[]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["empty: true", "3 items, full: true"]);
    assert!(lines[2].starts_with("white was not put: "), "{text}");
    assert_eq!(lines[3..], ["red", "green", "blue", "0 items, empty: true"]);
}

#[test]
fn each_number_is_consumed_once() {
    skips::needs_pidfds!();
    let text = printed("producer_consumers", &[]);
    let mut consumed = Vec::new();
    for consumer in ["A: ", "B: "] {
        let numbers = text.lines().filter_map(|line| line.strip_prefix(consumer));
        let numbers: Vec<u32> = numbers.map(|n| n.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "each consumer gets them in order: {text}");
        consumed.extend(numbers);
    }
    consumed.sort_unstable();
    assert!(consumed.into_iter().eq(1..=10), "{text}");
    assert!(text.ends_with("\nthe sum is 55\n"), "{text}");
}

#[test]
fn one_process_sends_and_another_receives() {
    let expected: String = (1..=5).map(|n| format!("received message {n}\n")).collect();
    assert_eq!(printed("simplex_pipe", &[]), expected + "end of the stream\n");
}

#[test]
fn two_workers_talk_with_each_other() {
    let expected: String = (1..=5).map(|n| format!("the square of {n} is {}\n", n * n)).collect();
    assert_eq!(printed("duplex_pipe", &[]), expected);
}

#[test]
fn with_a_lock_nothing_is_lost() {
    skips::needs_pidfds!();
    assert_eq!(printed("counter_with_lock", &[]), "400000\n");
}

#[test]
fn without_a_lock_much_is_lost() {
    skips::needs_pidfds!();
    let count: u32 = printed("counter_without_lock", &[]).trim().parse().unwrap();
    assert!((1..400_000).contains(&count), "{count}");
}

#[test]
fn a_semaphore_lets_two_in_at_a_time() {
    skips::needs_pidfds!();
    let text = printed("semaphore", &["10"]);
    let mut inside = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let changed = match words[..] {
            ["worker", worker, "is", "in"] => inside.insert(worker),
            ["worker", worker, "leaves"] => inside.remove(worker),
            _ => false,
        };
        assert!(changed && inside.len() <= 2, "{text}");
    }
    assert_eq!(text.lines().count(), 12);
    assert!(inside.is_empty(), "{text}");
}

#[test]
fn factorials_are_the_same_on_a_pool() {
    let text = printed("factorials", &[]);
    assert!(text.ends_with("\nsame results: true\n"), "{text}");
}

#[test]
fn workers_print_each_number_once() {
    let text = printed("pool_prints", &[]);
    assert!(BTreeSet::from_iter(numbers(&text)).into_iter().eq(1..=100), "{text}");
    assert_eq!(text.lines().count(), 101);
    assert!(text.ends_with("\nall are printed\n"), "{text}");
}

#[test]
fn a_function_of_two_arguments_is_mapped() {
    assert_eq!(printed("starmap", &[]), "[8, 9, 1, 1024]\n");
}

#[test]
fn a_tree_is_uploaded() {
    let tree = OddTree::empty("upload");
    tree.add(b"from/top", b"top");
    tree.add(b"from/folder/one", b"first");
    tree.add(b"from/folder/deeper/two", b"second");
    let [from, to] = ["from", "to"].map(|name| tree.root().join(name));
    let ran = example("upload_tree").args([&from, &to]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "3 files, 14 bytes\n");
    assert_eq!(fs::read(to.join("top")).unwrap(), b"top");
    assert_eq!(fs::read(to.join("folder/one")).unwrap(), b"first");
    assert_eq!(fs::read(to.join("folder/deeper/two")).unwrap(), b"second");
}

#[test]
fn close_lets_tasks_finish_and_terminate_does_not() {
    let expected = "a closed pool refuses another task: true\n\
                    close: 4 done, 0 not\n\
                    terminate: 0 done, 4 not\n"
        .to_owned();
    assert_eq!(
        printed("terminate_or_close", &["20"]),
        expected + &"item 0 was cancelled\n".repeat(4)
    );
}

#[test]
fn tasks_of_a_pool_use_pools() {
    let tree = OddTree::empty("nested-pools");
    tree.add(b"one/a", b"1\n2\n");
    tree.add(b"one/b", b"3\n");
    tree.add(b"two/c", b"no line ends here");
    let text = printed("nested_pools", &[tree.root().to_str().unwrap()]);
    let root = tree.root().display();
    assert_eq!(text, format!("      3 {root}/one\n      0 {root}/two\n"));
}

#[test]
fn a_page_of_counters_is_read_while_others_write() {
    skips::needs_pidfds!();
    let text = printed("counter_page", &["1", "10000"]);
    assert!(text.ends_with("1229 primes below 10000, the largest is 9973\n"), "{text}");
    let progress = text.lines().rev().skip(1).map(|line| line.split_once(' ').unwrap());
    let tried: Vec<u64> = progress
        .map(|(tried, rest)| {
            assert_eq!(rest, "of 10000 numbers tried");
            tried.parse().unwrap()
        })
        .collect();
    assert!(tried.iter().rev().is_sorted() && tried.iter().all(|tried| *tried <= 10_000), "{text}");
}

#[test]
fn a_limit_stops_who_needs_too_much_memory() {
    let ran = example("memory_limit").output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{stderr}");
    assert!(stderr.contains("memory allocation of 1048576000 bytes failed"), "{stderr}");
    let expected = "1 MiB: decoded\n100 MiB: decoded\n1000 MiB: SIGABRT (aborted)\n";
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
}

#[test]
fn an_image_is_blurred_along_its_edges() {
    // 15 edges of 2 pixels by 1024 in each direction; where they cross, 4 pixels are on both.
    let greys = 2 * 15 * 2 * 1024 - 15 * 15 * 4;
    assert_eq!(printed("image_filter", &[]), format!("{greys} pixels lie on an edge\n"));
}

#[test]
fn a_decoder_that_is_taken_over_reaches_nothing() {
    if !Sandbox::new().compute_only().is_available() {
        let reason = "this kernel has no Landlock, or no seccomp filters";
        return skipped("a_decoder_that_is_taken_over_reaches_nothing", reason);
    }
    let expected = "P1 3 2 101 010: 3 black pixels\n\
                    exploit read write call run kill: it took its decoder over, and then could do 0 things\n\
                    P1 9 9 1: it has 1 pixels and says 81\n\
                    P1 2 2 1111: 4 black pixels\n";
    assert_eq!(printed("sandboxed_decoder", &[]), expected);
}
