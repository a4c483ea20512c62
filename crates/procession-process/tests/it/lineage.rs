//! The death of a parent is the death of all below it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use procession_process::{Launcher, Start};

use super::role::{self, command, eventually, runs, say};

/// Marks the processes of one test in their environment.
const MARK: &str = "PROCESSION_TEST_MARK";

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("family", family),
    ("launch for ever", || {
        loop {
            let sleeps = |_| std::thread::sleep(role::GUARD);
            Launcher::new(sleeps).payload(vec![0; 20 << 10]).launch().unwrap();
        }
    }),
];

fn family() {
    let (mut reports, report) = std::io::pipe().unwrap();
    for _ in 0..3 {
        let fds = vec![report.try_clone().unwrap().into()];
        Launcher::new(member).payload(vec![2]).fds(fds).launch().unwrap();
    }
    drop(report);
    let mut pids = String::new();
    for line in BufReader::new(&mut reports).lines().take(9) {
        pids.push_str(&format!(" {}", line.unwrap()));
    }
    say(&format!("pids{pids}"));
    std::thread::sleep(role::GUARD);
}

/// Starts as many generations below itself as its payload says.
fn member(start: Start) {
    let own = start.fds.into_iter().next().unwrap();
    let generations = start.payload[0];
    let fds = vec![own.as_fd().try_clone_to_owned().unwrap()];
    let launcher = Launcher::new(member).payload(vec![generations.saturating_sub(1)]).fds(fds);
    let below = (generations > 0).then(|| launcher.launch().unwrap());
    // One write, so that lines of several processes do not mix.
    let line = format!("{}\n", std::process::id());
    File::from(own).write_all(line.as_bytes()).unwrap();
    std::thread::sleep(role::GUARD);
    drop(below);
}

#[test]
fn nobody_survives_a_parent_that_is_killed() {
    let mut parent = command("family").stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(parent.stdout.take().unwrap());
    let pids = out.lines().find_map(|line| Some(line.unwrap().strip_prefix("pids ")?.to_owned()));
    let pids: Vec<u32> = pids.unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 9);
    assert!(pids.iter().all(|pid| runs(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("three generations are gone", || !pids.iter().any(|pid| runs(*pid)));
}

/// Kills a parent while it launches: some children have not yet asked to die with it, and some
/// have not even been exec'ed.
#[test]
fn a_parent_that_is_killed_while_it_launches_leaves_nobody() {
    for round in 0..40 {
        let mark = format!("{}-{round}", std::process::id());
        let mut command = command("launch for ever");
        // Those that find their parent gone say so on standard error.
        command.env(MARK, &mark).stdout(Stdio::null()).stderr(Stdio::null());
        let mut parent = command.spawn().unwrap();
        eventually("the first child", || marked(&mark).len() > 1);
        std::thread::sleep(Duration::from_micros(137 * round));
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually("nobody is left", || marked(&mark).is_empty());
    }
}

/// Processes that run with this mark.
fn marked(mark: &str) -> Vec<u32> {
    let entry = format!("{MARK}={mark}\0");
    let holds = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(entry.len()).any(|part| part == entry.as_bytes()) && runs(*pid)
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(holds).collect()
}
