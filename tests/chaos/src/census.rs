//! Who is there, from /proc.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, getpid};

/// A process as its `stat` says.
struct Member {
    pid: Pid,
    parent: Pid,
    what: String,
}

impl Member {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (what, tail) = stat.rsplit_once(") ")?;
        let mut fields = tail.split(' ');
        let what = format!("process {what}) {}", fields.next()?);
        let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
        Some(Self { pid: Pid::from_raw(pid)?, parent, what })
    }
}

/// All processes below this one, also those whose parents have gone: they are this one's then, as it is a subreaper.
fn members() -> Vec<Member> {
    let members: Vec<Member> = numbers("/proc").into_iter().filter_map(Member::read).collect();
    let parents: HashMap<Pid, Pid> = members.iter().map(|it| (it.pid, it.parent)).collect();
    let above = |pid: &Pid| parents.get(pid).copied();
    let is_ours = |member: &Member| {
        std::iter::successors(Some(member.parent), above).any(|pid| pid == getpid())
    };
    let is_ours: Vec<bool> = members.iter().map(is_ours).collect();
    members.into_iter().zip(is_ours).filter_map(|(it, is_ours)| is_ours.then_some(it)).collect()
}

fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub(crate) fn descendants() -> Vec<Pid> {
    members().into_iter().map(|member| member.pid).collect()
}

/// Of each thread of them: its name, which is what it has begun last, its state, and what it waits in.
pub(crate) fn report() -> String {
    let process = |member: &Member| {
        let folder = format!("/proc/{}/task", member.pid);
        let thread = |id: i32| {
            let read = |file: &str| fs::read_to_string(format!("{folder}/{id}/{file}"));
            let line = |file: &str| read(file).unwrap_or_default().trim().to_owned();
            let stat = line("stat");
            let state = stat.rsplit_once(") ").map_or("gone", |(_, tail)| &tail[..1]).to_owned();
            let (name, wchan, call) = (line("comm"), line("wchan"), line("syscall"));
            let call = call.split(' ').next().unwrap_or_default();
            format!("    {id} {name}: {state}, in {wchan}, system call {call}\n")
        };
        let threads: String = numbers(&folder).into_iter().map(thread).collect();
        format!("{}, of {}\n{threads}", member.what, member.parent)
    };
    // A zombie waits for nothing.
    members().iter().filter(|member| !member.what.ends_with('Z')).map(process).collect()
}
