//! Processes in cgroups of their own. They need a directory that was delegated, which `PROCESSION_CGROUP` names.

mod janitors;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use procession_channel::pipe::{Receiver, simplex};
use procession_process::{
    Exit, Limits, Process, ProcessBuilder, ProcessError, SpawnError, StartMethod,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skips::delegated_cgroup;

use super::role::{GUARD, eventually};

pub(crate) use janitors::ROLES;

fn sleeps((): ()) {
    std::thread::sleep(GUARD);
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

/// Runs this in a process that has groups of its own, and no other test's.
fn below(test: &str, f: fn(PathBuf)) {
    let Some(delegated) = delegated_cgroup(test) else { return };
    Process::spawn(f, delegated.as_path()).unwrap().join().unwrap();
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

#[test]
fn a_name_that_is_taken_is_passed_over() {
    below("a_name_that_is_taken_is_passed_over", |delegated| {
        let own = std::process::id();
        let taken: Vec<OwnedFd> = (0..3).map(|number| take(&delegated, own, number)).collect();
        let process = builder(&delegated, 64 << 20).spawn(sleeps, ()).unwrap();
        // Its number is that of the fourth, or a later one if another process has swept that one away before it was locked.
        assert_eq!(groups_of(&delegated, own).len(), taken.len() + 1);
        process.kill().unwrap();
        process.wait();
        drop(taken);
    });
}

/// Makes a group that is locked, so that it is not swept; again if another process sweeps it away before that.
fn take(delegated: &Path, pid: u32, number: u32) -> OwnedFd {
    let path = delegated.join(format!("procession-{pid}-{number}"));
    loop {
        fs::create_dir(&path).unwrap();
        let Ok(group) = fs::File::open(&path) else { continue };
        let is_locked = flock(&group, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_locked && path.exists() {
            return group.into();
        }
        while path.exists() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_group_has_the_limits_that_were_asked_for() {
    below("a_group_has_the_limits_that_were_asked_for", |delegated| {
        let process = builder(&delegated, 64 << 20).spawn(sleeps, ()).unwrap();
        let [group] = groups_of(&delegated, std::process::id()).try_into().unwrap();
        let says = |file: &str| fs::read_to_string(delegated.join(&group).join(file));
        assert_eq!(says("memory.max").unwrap().trim(), (64 << 20).to_string());
        assert_eq!(says("memory.oom.group").unwrap().trim(), "1");
        // A kernel that does not count swap has no such file.
        assert_eq!(
            says("memory.swap.max").map_or("0".to_owned(), |text| text.trim().to_owned()),
            "0"
        );
        process.kill().unwrap();
        process.wait();
    });
}

#[test]
fn a_directory_without_the_controller_is_refused() {
    below("a_directory_without_the_controller_is_refused", |delegated| {
        let above = delegated.join("without-memory");
        let directory = above.join("below");
        fs::create_dir_all(&directory).unwrap();
        let error = builder(&directory, 64 << 20).spawn(sleeps, ()).unwrap_err().to_string();
        assert!(error.contains("the group above does not hand it down; write +memory"), "{error}");
        fs::remove_dir(&directory).unwrap();
        fs::remove_dir(&above).unwrap();
    });
}

#[test]
fn only_who_was_killed_was_killed_for_memory() {
    below("only_who_was_killed_was_killed_for_memory", |delegated| {
        let aside = delegated.join("aside");
        fs::create_dir(&aside).unwrap();
        let process = builder(&delegated, 64 << 20).spawn(lets_another_hoard, aside.as_path());
        assert_eq!(process.unwrap().wait(), Exit::Code(7));
        eventually("the process has left", || fs::remove_dir(&aside).is_ok());
    });
}

/// Leaves its group to a process that is killed there for memory, and ends by itself.
fn lets_another_hoard(aside: PathBuf) {
    let (ours, theirs) = simplex::<()>().unwrap();
    let hoarder = Process::spawn(hoard_when_told, theirs).unwrap();
    fs::write(aside.join("cgroup.procs"), "0").unwrap();
    ours.send(()).unwrap();
    assert_eq!(hoarder.wait(), Exit::Signal(libc::SIGKILL));
    leaves_with_7(());
}

fn hoard_when_told(line: Receiver<()>) {
    line.recv().unwrap();
    hoard(256 << 20);
}

/// An argument that is large on its way and small when it has come.
struct Freight;

impl Serialize for Freight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&vec![1; 64 << 20])
    }
}

impl<'de> Deserialize<'de> for Freight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        assert_eq!(bytes.len(), 64 << 20);
        Ok(Self)
    }
}

#[test]
fn the_way_of_an_argument_is_its_own_memory() {
    below("the_way_of_an_argument_is_its_own_memory", |delegated| {
        let length = |_: Freight| ();
        let roomy = builder(&delegated, 256 << 20).spawn(length, Freight).unwrap();
        roomy.join().unwrap();
        let process = builder(&delegated, 32 << 20).spawn(length, Freight).unwrap();
        assert_eq!(process.wait(), Exit::OutOfMemory);
    });
}
