//! What this process may use at most.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use super::{Check, Status};
use crate::limit;

/// What the root of a family needs for each member, and about what a process has open anyway.
const DESCRIPTORS_PER_MEMBER: u64 = 2;
const DESCRIPTORS_ELSEWHERE: u64 = 64;

pub(super) fn descriptors() -> Check {
    const NAME: &str = "RLIMIT_NOFILE";
    let Rlimit { current: soft, maximum: hard } = match limit::of(Resource::Nofile) {
        Ok(limit) => limit,
        Err(error) => return unknown(NAME, error),
    };
    let found = format!("{} (hard limit {})", amount(soft), amount(hard));
    let members = |soft: u64| soft.saturating_sub(DESCRIPTORS_ELSEWHERE) / DESCRIPTORS_PER_MEMBER;
    let mut check = Check::full(NAME, found);
    if let Some(members) = soft.map(members).filter(|&members| members < 1024) {
        check.effect =
            format!("room for about {members} members in a family: raise `ulimit -n` for more");
    }
    check
}

pub(super) fn file_size() -> Check {
    const NAME: &str = "RLIMIT_FSIZE";
    match limit::of(Resource::Fsize) {
        Ok(Rlimit { current: None, .. }) => Check::full(NAME, "unlimited"),
        Ok(Rlimit { current: Some(limit), .. }) => {
            let effect = "no segment can be larger than this";
            Check::new(NAME, Status::Full, format!("{limit} bytes"), effect)
        }
        Err(error) => unknown(NAME, error),
    }
}

fn unknown(name: &'static str, error: Errno) -> Check {
    Check::new(name, Status::Unknown, format!("prlimit64: {error}"), "")
}

fn amount(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string())
}

pub(super) fn cgroup_memory() -> Check {
    const NAME: &str = "cgroup memory.max";
    let Some(group) = own_cgroup() else { return no_cgroup(NAME) };
    let limits = settings(&group, "memory.max").filter_map(|limit| limit.parse::<u64>().ok());
    match limits.min() {
        Some(limit) => {
            let effect = "shared memory counts; over it the kernel kills";
            Check::new(NAME, Status::Full, format!("{limit} bytes"), effect)
        }
        None => Check::full(NAME, "no limit"),
    }
}

pub(super) fn cgroup_cpu() -> Check {
    const NAME: &str = "cgroup cpu.max";
    let Some(group) = own_cgroup() else { return no_cgroup(NAME) };
    match settings(&group, "cpu.max").filter_map(|quota| cores_of_quota(&quota)).reduce(f64::min) {
        Some(cores) => {
            let effect = "spinning is held back when more parties want to run";
            Check::new(NAME, Status::Full, format!("{cores:.2} cores"), effect)
        }
        None => Check::full(NAME, "no limit"),
    }
}

/// Whether processes can have cgroups of their own below a directory that is this process's, too.
pub(super) fn cgroup_delegation() -> Check {
    const NAME: &str = "cgroup delegation";
    let Some(group) = own_cgroup() else { return no_cgroup(NAME) };
    let mut groups = group.ancestors().take_while(|group| group.starts_with(MOUNT));
    match groups.find(|group| can_have_limited_groups(group)) {
        Some(group) => Check::full(NAME, group.display().to_string()),
        None => Check::new(
            NAME,
            Status::Fallback,
            "none",
            "limits of memory count what is reserved, and a kill for memory is like any other",
        ),
    }
}

/// Whether this user may make groups below this one that have limits of memory, and move processes to them.
fn can_have_limited_groups(group: &Path) -> bool {
    let may_write = |file| rustix::fs::access(group.join(file), Access::WRITE_OK).is_ok();
    let read = |file| fs::read_to_string(group.join(file)).unwrap_or_default();
    let has_memory = |file| read(file).split_ascii_whitespace().any(|name| name == "memory");
    // A group with processes in it hands nothing down, the topmost one excepted, which is nobody's to give away.
    let can_hand_down = || {
        let is_free =
            fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty());
        is_free && has_memory("cgroup.controllers") && may_write("cgroup.subtree_control")
    };
    may_write("")
        && may_write("cgroup.procs")
        && (has_memory("cgroup.subtree_control") || can_hand_down())
}

fn no_cgroup(name: &'static str) -> Check {
    Check::new(name, Status::Unknown, "no cgroup v2 in /sys/fs/cgroup", "")
}

/// `cpu.max` is "max" or microseconds of run time, and the period in which they may be used.
fn cores_of_quota(quota: &str) -> Option<f64> {
    let (quota, period) = quota.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then_some(quota / period)
}

const MOUNT: &str = "/sys/fs/cgroup";

/// The directory of this process' group in the unified hierarchy.
fn own_cgroup() -> Option<PathBuf> {
    if !Path::new(MOUNT).join("cgroup.controllers").exists() {
        return None;
    }
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(MOUNT).join(path.trim_start_matches('/')))
}

/// A setting in a group and in all groups above it, each of which binds it.
fn settings<'a>(group: &'a Path, file: &'a str) -> impl Iterator<Item = String> + 'a {
    let groups = group.ancestors().take_while(|group| group.starts_with(MOUNT));
    groups
        .filter_map(move |group| fs::read_to_string(group.join(file)).ok())
        .map(|text| text.trim().into())
}

pub(super) fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() > 1 => Check::full("cores", cores.to_string()),
        Ok(_) => Check::new(
            "cores",
            Status::Full,
            "1",
            "nothing spins, unless a parent with more cores has started this",
        ),
        Err(error) => Check::new("cores", Status::Unknown, error.to_string(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_of_cores() {
        assert_eq!(cores_of_quota("150000 100000"), Some(1.5));
        assert_eq!(cores_of_quota("max 100000"), None);
        assert_eq!(cores_of_quota("1 0"), None);
        assert_eq!(cores_of_quota(""), None);
    }

    #[test]
    fn settings_are_read_up_to_the_mount_and_no_further() {
        let asked: Vec<_> = Path::new("/sys/fs/cgroup/a/b")
            .ancestors()
            .take_while(|group| group.starts_with(MOUNT))
            .collect();
        assert_eq!(
            asked,
            ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"].map(Path::new)
        );
    }
}
