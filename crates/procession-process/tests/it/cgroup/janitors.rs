//! Janitors, and groups that nobody else removes.

use std::fs;
use std::io::{PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use procession_process::Process;
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};
use skips::delegated_cgroup;

use super::super::role::{command, eventually, finish, say};
use super::{below, builder, groups_of, sleeps};

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
    ("killed beside a copy of itself", || {
        let limited = builder(&std::env::var_os("PROCESSION_CGROUP").unwrap().into(), 64 << 20);
        let daemon = limited.daemon(true).spawn(sleeps, ()).unwrap();
        say(&format!("daemon {}", daemon.pid()));
        say(&format!("pid {}", std::process::id()));
        let (ours, theirs) = std::io::pipe().unwrap();
        // SAFETY: the copy makes system calls, and no other thread of it is needed for them.
        if unsafe { libc::fork() } == 0 {
            outlive_the_janitors_line(theirs);
        }
        drop(theirs);
        (&ours).read_to_end(&mut Vec::new()).unwrap();
        kill_process(getpid(), Signal::KILL).unwrap();
    }),
];

/// Keeps the lock of the group for longer than the janitor needs to look at it, and no socket.
fn outlive_the_janitors_line(ready: PipeWriter) -> ! {
    let open = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let is_socket = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    for socket in open.filter(is_socket).collect::<Vec<_>>() {
        let number = socket.file_name().unwrap().to_str().unwrap().parse().unwrap();
        // SAFETY: this process does nothing any more but sleep, so that nobody uses the number.
        unsafe { libc::close(number) };
    }
    drop(ready);
    std::thread::sleep(Duration::from_secs(2));
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) };
}

fn leaves_a_sleeper((): ()) -> u32 {
    Command::new("sleep").arg("1000").spawn().unwrap().id()
}

fn is_gone(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_err()
}

/// The janitors of this process that have not ended.
fn janitors() -> Vec<Pid> {
    let own = std::process::id().to_string();
    janitors_of(|parent| parent == own)
}

fn janitors_of(is_wanted: impl Fn(&str) -> bool) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, fields) = stat.split_once(" (")?.1.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let runs = fields.next()? != "Z" && name == "cgroup-janitor";
        let is_wanted = is_wanted(fields.next()?);
        (runs && is_wanted).then(|| Pid::from_raw(pid))?
    });
    processes.collect()
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
        assert_swept_behind(role, key, &delegated);
    }
}

/// The groups of a process that plays this role go when it and the child that it names have gone.
fn assert_swept_behind(role: &str, key: &str, delegated: &Path) {
    let finished = finish(&mut command(role));
    let child: u32 = finished.answer(key).parse().unwrap();
    eventually("the child is gone", || is_gone(child));
    let maker = finished.answer("pid").parse().unwrap();
    eventually("the groups are gone", || groups_of(delegated, maker).is_empty());
}

#[test]
fn what_others_left_is_swept_at_the_start() {
    below("what_others_left_is_swept_at_the_start", |delegated| {
        let left = delegated.join("procession-1-987654");
        fs::create_dir(&left).unwrap();
        builder(&delegated, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
        eventually("the group is gone", || !left.exists());
    });
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
fn what_lives_is_not_swept() {
    below("what_lives_is_not_swept", |delegated| {
        let sleeper = builder(&delegated, 64 << 20).spawn(sleeps, ()).unwrap();
        let ours = groups_of(&delegated, std::process::id());
        let all = || janitors_of(|_any| true);
        let before = all();
        Process::spawn(works_and_sweeps, delegated.as_path()).unwrap().join().unwrap();
        eventually("all others have swept", || all().iter().all(|it| before.contains(it)));
        assert!(sleeper.is_alive());
        assert_eq!((groups_of(&delegated, std::process::id()), ours.len()), (ours, 1));
    });
}

fn works_and_sweeps(delegated: PathBuf) {
    builder(&delegated, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
}

#[test]
fn a_copy_of_the_maker_delays_the_sweep_and_does_not_prevent_it() {
    let test = "a_copy_of_the_maker_delays_the_sweep_and_does_not_prevent_it";
    let Some(delegated) = delegated_cgroup(test) else { return };
    assert_swept_behind("killed beside a copy of itself", "daemon", &delegated);
}

#[test]
fn each_directory_has_one_janitor() {
    below("each_directory_has_one_janitor", |delegated| {
        let second = delegated.join("second");
        fs::create_dir(&second).unwrap();
        let janitors_with = |directory: &PathBuf| {
            builder(directory, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
            let mut janitors = janitors();
            janitors.sort_by_key(|janitor| janitor.as_raw_nonzero());
            janitors
        };
        let (first, again) = (janitors_with(&delegated), janitors_with(&delegated));
        assert_eq!((first.len(), &first), (1, &again));
        let (both, again) = (janitors_with(&second), janitors_with(&second));
        assert_eq!((both.len(), &both), (2, &again));
        assert!(both.contains(&first[0]));
        eventually("the second directory is free", || fs::remove_dir(&second).is_ok());
    });
}

#[test]
fn a_janitor_is_in_nobodys_way() {
    below("a_janitor_is_in_nobodys_way", |delegated| {
        builder(&delegated, 64 << 20).spawn(|()| (), ()).unwrap().join().unwrap();
        let pid = janitors()[0];
        let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid, "signals of a terminal");
        assert_eq!(fs::read_link(proc.join("cwd")).unwrap(), Path::new("/"));
        for number in ["0", "1", "2"] {
            let open = fs::read_link(proc.join("fd").join(number)).unwrap();
            assert_eq!(open, Path::new("/dev/null"), "{number}");
        }
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        assert_ne!(caught & 1 << (libc::SIGINT - 1), 0, "an interrupt before it has its session");
    });
}

#[test]
fn a_janitor_that_does_not_come_is_an_error() {
    below("a_janitor_that_does_not_come_is_an_error", |delegated| {
        let other = builder(&delegated, 64 << 20).program("/bin/true");
        let error = other.spawn(sleeps, ()).unwrap_err().to_string();
        assert!(error.contains("start its janitor: it ended: "), "{error}");
    });
}
