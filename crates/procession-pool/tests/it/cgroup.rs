//! Workers in cgroups of their own. They need a directory that was delegated, which `PROCESSION_CGROUP` names.

use std::fs;
use std::path::{Path, PathBuf};

use procession_pool::{Pool, TaskError};
use procession_process::{Exit, Limits, StartMethod};
use skips::delegated_cgroup;

use super::guard::{eventually, guarded};
use super::trap::assert_sound;

fn hoard(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

fn leaves((): ()) -> u8 {
    std::process::exit(3)
}

fn pool(delegated: &Path, method: StartMethod) -> Pool {
    let builder = Pool::builder().workers(2).cgroup(delegated).start_method(method);
    builder.limits(Limits::new().memory_bytes(64 << 20)).build().unwrap()
}

/// The groups of this process.
fn groups(delegated: &Path) -> usize {
    let ours = format!("procession-{}-", std::process::id());
    let names = fs::read_dir(delegated).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with(&ours)).count()
}

#[test]
fn an_item_that_needs_too_much_memory_costs_itself_and_is_told_so() {
    let test = "an_item_that_needs_too_much_memory_costs_itself_and_is_told_so";
    let Some(delegated) = delegated_cgroup(test) else { return };
    guarded(move || {
        for method in [StartMethod::Spawn, StartMethod::Zygote] {
            let pool = pool(&delegated, method);
            let items = [1 << 20, 256 << 20, 2 << 20, 256 << 20, 3 << 20];
            for (bytes, outcome) in items.into_iter().zip(pool.imap(hoard, items)) {
                match outcome {
                    Err(TaskError::Died { exit, .. }) => {
                        assert_eq!((bytes, exit), (256 << 20, Exit::OutOfMemory));
                    }
                    other => assert_eq!((other.unwrap(), bytes < 64 << 20), (bytes, true)),
                }
            }
            assert_sound(&pool);
        }
    });
}

#[test]
fn groups_come_and_go_with_workers() {
    let Some(delegated) = delegated_cgroup("groups_come_and_go_with_workers") else { return };
    // In a process of its own, whose groups are no other test's.
    let count = |delegated: PathBuf| {
        let pool = pool(&delegated, StartMethod::Spawn);
        let before = groups(&delegated);
        let died = pool.apply(leaves, ()).unwrap_err();
        assert!(matches!(died, TaskError::Died { exit: Exit::Code(3), .. }), "{died}");
        assert_eq!(pool.apply(hoard, 1).unwrap(), 1);
        pool.join();
        eventually("the groups are gone", || groups(&delegated) == 0);
        before
    };
    let process = procession_process::Process::spawn(count, delegated.as_path()).unwrap();
    assert_eq!(process.join().unwrap(), 2);
}

#[test]
fn a_cgroup_that_cannot_be_had_is_an_error_of_the_pool() {
    guarded(|| {
        let error = Pool::builder().workers(1).cgroup("/proc/self").build().unwrap_err();
        assert!(error.to_string().contains("no directory of cgroup version 2"), "{error}");
    });
}
