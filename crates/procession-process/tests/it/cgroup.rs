//! Processes in cgroups of their own. They need a directory that was delegated, which `PROCESSION_CGROUP` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use procession_process::{
    Exit, Limits, Process, ProcessBuilder, ProcessError, SpawnError, StartMethod,
};
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};
use skips::delegated_cgroup;

use super::role::{GUARD, command, eventually, finish, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("killed with groups", || {
        let limited = builder(&std::env::var_os("PROCESSION_CGROUP").unwrap().into(), 64 << 20);
        let sleeper = limited.spawn(leaves_a_sleeper, ()).unwrap();
        let quiet = limited.daemon(true).spawn(sleeps, ()).unwrap();
        let left = sleeper.join().unwrap();
        say(&format!("left {left}"));
        say(&format!("pid {}", std::process::id()));
        say(&format!("quiet {}", quiet.pid()));
        kill_process(getpid(), Signal::KILL).unwrap();
    }),
    ("exits with groups", || {
        let limited = builder(&std::env::var_os("PROCESSION_CGROUP").unwrap().into(), 64 << 20);
        let daemon = limited.daemon(true).spawn(sleeps, ()).unwrap();
        say(&format!("daemon {}", daemon.pid()));
        say(&format!("pid {}", std::process::id()));
        // Not even what runs at exit.
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(0) };
    }),
];

fn sleeps((): ()) {
    std::thread::sleep(GUARD);
}

fn leaves_a_sleeper((): ()) -> u32 {
    Command::new("sleep").arg("1000").spawn().unwrap().id()
}

fn leaves_with_7((): ()) {
    std::process::exit(7);
}

fn hoard(bytes: usize) -> usize {
    let memory = vec![1_u8; bytes];
    std::hint::black_box(&memory).len()
}

fn builder(delegated: &PathBuf, bytes: u64) -> ProcessBuilder {
    Process::builder().cgroup(delegated).limits(Limits::new().memory_bytes(bytes))
}

/// The groups that are there, of a process.
fn groups_of(delegated: &Path, pid: u32) -> Vec<String> {
    let names = fs::read_dir(delegated).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("procession-{pid}-"))).collect()
}

fn is_gone(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_err()
}

/// The janitors of this process that have not ended.
fn janitors() -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, fields) = stat.split_once(" (")?.1.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let runs = fields.next()? != "Z" && name == "cgroup-janitor";
        let is_ours = fields.next()? == std::process::id().to_string();
        (runs && is_ours).then(|| Pid::from_raw(pid))?
    });
    processes.collect()
}

#[test]
fn a_kill_for_memory_is_told_from_all_others() {
    let Some(delegated) = delegated_cgroup("a_kill_for_memory_is_told_from_all_others") else {
        return;
    };
    for method in [StartMethod::Spawn, StartMethod::Zygote] {
        let limited = builder(&delegated, 64 << 20).start_method(method);
        assert_eq!(limited.spawn(hoard, 16 << 20).unwrap().join().unwrap(), 16 << 20);
        let process = limited.spawn(hoard, 256 << 20).unwrap();
        let pid = process.pid();
        assert_eq!(process.wait(), Exit::OutOfMemory);
        let error = process.join().unwrap_err();
        assert!(matches!(error, ProcessError::Died { exit: Exit::OutOfMemory, .. }), "{error}");
        let said = format!("process {pid} died: SIGKILL (killed by the kernel, out of memory)");
        assert_eq!(error.to_string(), said);

        let process = limited.spawn(sleeps, ()).unwrap();
        process.kill().unwrap();
        assert_eq!(process.wait(), Exit::Signal(libc::SIGKILL));
        let leaves = limited.spawn(leaves_with_7, ()).unwrap();
        assert_eq!(leaves.wait(), Exit::Code(7));
    }
}

#[test]
fn memory_of_all_below_counts_and_what_is_only_reserved_does_not() {
    let test = "memory_of_all_below_counts_and_what_is_only_reserved_does_not";
    let Some(delegated) = delegated_cgroup(test) else { return };
    let limited = builder(&delegated, 96 << 20);
    let reserve = |bytes: usize| Vec::<u8>::with_capacity(bytes).capacity();
    assert_eq!(limited.spawn(reserve, 256 << 20).unwrap().join().unwrap(), 256 << 20);
    let three = |bytes: usize| {
        let below = [(); 3].map(|()| Process::spawn(hoard_and_sleep, bytes).unwrap());
        below.map(|process| process.join().is_ok())
    };
    assert_eq!(limited.spawn(three, 50 << 20).unwrap().wait(), Exit::OutOfMemory);
}

fn hoard_and_sleep(bytes: usize) {
    let memory = vec![1_u8; bytes];
    std::hint::black_box(&memory);
    sleeps(());
}

#[test]
fn groups_are_there_for_as_long_as_their_processes() {
    let test = "groups_are_there_for_as_long_as_their_processes";
    let Some(delegated) = delegated_cgroup(test) else { return };
    let below = Process::spawn(holds_and_counts, delegated.as_path()).unwrap();
    assert_eq!(below.join().unwrap(), (3, 0));
}

/// How many groups this process has with three processes, and when they have ended.
fn holds_and_counts(delegated: PathBuf) -> (usize, usize) {
    let limited = builder(&delegated, 64 << 20);
    let processes = [(); 3].map(|()| limited.spawn(sleeps, ()).unwrap());
    let held = groups_of(&delegated, std::process::id()).len();
    for process in processes {
        process.kill().unwrap();
        process.wait();
    }
    let refused = limited.program("/nonexistent").spawn(sleeps, ());
    assert!(matches!(refused, Err(ProcessError::Spawn(_))));
    (held, groups_of(&delegated, std::process::id()).len())
}

#[test]
fn what_a_process_leaves_behind_ends_with_it() {
    let Some(delegated) = delegated_cgroup("what_a_process_leaves_behind_ends_with_it") else {
        return;
    };
    let left = builder(&delegated, 64 << 20).spawn(leaves_a_sleeper, ()).unwrap();
    let left = left.join().unwrap();
    eventually("what was left behind is gone", || is_gone(left));
}

#[test]
fn groups_outlive_their_maker_by_a_moment() {
    let Some(delegated) = delegated_cgroup("groups_outlive_their_maker_by_a_moment") else {
        return;
    };
    for (role, key) in [("killed with groups", "quiet"), ("exits with groups", "daemon")] {
        let finished = finish(&mut command(role));
        let child: u32 = finished.answer(key).parse().unwrap();
        eventually("the child is gone", || is_gone(child));
        let maker = finished.answer("pid").parse().unwrap();
        eventually("the groups are gone", || groups_of(&delegated, maker).is_empty());
    }
}

#[test]
fn what_others_left_is_swept() {
    let Some(delegated) = delegated_cgroup("what_others_left_is_swept") else { return };
    let left = delegated.join("procession-1-987654");
    fs::create_dir(&left).unwrap();
    let below = |delegated: PathBuf| {
        builder(&delegated, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
    };
    Process::spawn(below, delegated.as_path()).unwrap().join().unwrap();
    eventually("the group is gone", || !left.exists());
}

#[test]
fn a_janitor_that_dies_is_replaced() {
    let Some(delegated) = delegated_cgroup("a_janitor_that_dies_is_replaced") else { return };
    let below = |delegated: PathBuf| {
        let limited = builder(&delegated, 64 << 20);
        limited.spawn(|()| (), ()).unwrap().join().unwrap();
        let first = janitors();
        assert_eq!(first.len(), 1);
        kill_process(first[0], Signal::KILL).unwrap();
        eventually("the janitor is gone", || janitors().is_empty());
        limited.spawn(|()| (), ()).unwrap().join().unwrap();
        assert_eq!(janitors().len(), 1);
    };
    Process::spawn(below, delegated.as_path()).unwrap().join().unwrap();
}

#[test]
fn a_directory_in_which_processes_live_is_refused() {
    let test = "a_directory_in_which_processes_live_is_refused";
    let Some(delegated) = delegated_cgroup(test) else { return };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let own = Path::new("/sys/fs/cgroup").join(own);
    assert!(own.starts_with(&delegated), "the tests must run below the directory");
    // From the first one on, the group of the tests has the controller, too.
    builder(&delegated, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
    let error = builder(&own, 64 << 20).spawn(sleeps, ()).unwrap_err().to_string();
    assert!(error.contains("; processes live in it: move them"), "{error}");
}

#[test]
fn doctor_names_the_directory() {
    let Some(delegated) = delegated_cgroup("doctor_names_the_directory") else { return };
    let report = procession_shm::doctor();
    let check = report.get("cgroup delegation").unwrap();
    assert_eq!(Path::new(&check.found), delegated, "{check:?}");
}

#[test]
fn what_is_no_cgroup_is_an_error() {
    let limited = builder(&"/proc/self".into(), 64 << 20);
    let error = limited.spawn(sleeps, ()).unwrap_err();
    assert!(matches!(error, ProcessError::Spawn(SpawnError::Cgroup { .. })), "{error:?}");
    let said = "cannot give the process a cgroup below /proc/self: open it: it is no directory of cgroup version 2";
    assert_eq!(error.to_string(), said);
    let error = builder(&"/nonexistent".into(), 1).spawn(sleeps, ()).unwrap_err().to_string();
    assert!(error.contains("below /nonexistent: open it: No such file"), "{error}");
}
