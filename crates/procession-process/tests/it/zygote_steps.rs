//! Each step of a fork by a zygote fails in turn, and the zygote is killed at each.
//!
//! As in `nth_call`, the program is traced, and the n-th system call of a request is answered by the tracer; here those of the
//! zygote and of what it forks count too. Whatever comes of it, the function runs at most once, once if there is a value, nobody
//! hangs, and no process and no descriptor is left.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use backstage::holdings::descriptors;
use procession_channel::Fd;
use procession_process::{Process, ProcessBuilder, ProcessError, StartMethod};

use super::nth_call::{BEGIN, END, GO, tell};
use super::role;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("first fork", || {
        // What stays: epoll, two pidfds (of this process and of the zygote), and the socket to the zygote.
        fork_under_test(4);
    }),
    ("later forks", || {
        assert_eq!(zygote().spawn(|()| 1, ()).unwrap().join().unwrap(), 1);
        while fork_under_test(0) {}
    }),
];

fn zygote() -> ProcessBuilder {
    Process::builder().start_method(StartMethod::Zygote)
}

fn note(pipe: Fd<fs::File>) -> u32 {
    pipe.into_inner().unwrap().write_all(b"!").unwrap();
    7
}

/// Asks for one process while something goes wrong, and looks what is left, but for so many descriptors; whether there is more
/// to do.
fn fork_under_test(kept: usize) -> bool {
    let before = descriptors();
    let (mut from, to) = std::io::pipe().unwrap();
    let to = Fd::new(fs::File::from(OwnedFd::from(to)));
    if tell(BEGIN, 0) != GO {
        return false;
    }
    let outcome = zygote().spawn(note, to).and_then(Process::join);
    tell(END, outcome.is_ok().into());
    let mut noted = Vec::new();
    from.read_to_end(&mut noted).unwrap();
    match (&outcome, noted.len()) {
        (Ok(7), 1) => {}
        (Err(ProcessError::Spawn(_) | ProcessError::NotServed { .. }), 0 | 1) => {}
        (Err(ProcessError::Died { .. }), 0 | 1) => {}
        (Err(ProcessError::Decode { .. } | ProcessError::Encode { .. }), 0 | 1) => {}
        other => panic!("{other:?}"),
    }
    drop(from);
    role::eventually("one zygote without children", || {
        let children = role::children();
        children.len() <= 1 && children.iter().all(|child| role::children_of(*child).is_empty())
    });
    assert_eq!(zygote().spawn(|()| 8, ()).unwrap().join().unwrap(), 8, "the next one");
    role::eventually("no descriptor is left", || descriptors() <= before + kept);
    true
}

#[cfg(target_arch = "x86_64")]
mod tests {
    use skips::skipped;

    use super::super::nth_call::tracer::{Blow, REFUSABLE, Round, Tracee, Who};
    use super::super::role::{command, say};

    /// What else can fail where a zygote is involved.
    const ALSO: &[libc::c_long] = &[
        libc::SYS_execve,
        libc::SYS_fchdir,
        libc::SYS_ioctl,
        libc::SYS_prctl,
        libc::SYS_recvmsg,
        libc::SYS_signalfd4,
        libc::SYS_unshare,
    ];

    fn is_refusable(_: Who, call: libc::c_long) -> bool {
        REFUSABLE.contains(&call) || ALSO.contains(&call)
    }

    /// The rounds of one program until nothing happens any more: how many failed, and how many succeeded all the same.
    fn all_rounds(
        tracee: &mut Tracee,
        blow: Blow,
        counts: fn(Who, libc::c_long) -> bool,
    ) -> (usize, usize) {
        let (mut failed, mut started) = (0, 0);
        for nth in 1.. {
            match tracee.strike(nth, blow, counts) {
                Round::Failed { has_started: true } => started += 1,
                Round::Failed { has_started: false } => failed += 1,
                Round::OverBefore => break,
            }
        }
        (failed, started)
    }

    #[test]
    fn each_call_of_a_fork_fails_in_turn() {
        needs_pidfds!();
        let Some(mut tracee) = Tracee::run_with_children(&mut command("later forks")) else {
            return skipped("each_call_of_a_fork_fails_in_turn", "ptrace is not allowed here");
        };
        for (errno, name) in [(libc::EMFILE, "EMFILE"), (libc::ENOMEM, "ENOMEM")] {
            let (failed, started) = all_rounds(&mut tracee, Blow::Fails(errno), is_refusable);
            say(&format!("{name}: {failed} forks failed, {started} did without the call"));
            assert!(failed >= 10 && started >= 1, "{name}: {failed} failed, {started} started");
        }
        tracee.finish();
    }

    #[test]
    fn each_call_of_the_first_fork_fails_in_turn() {
        needs_pidfds!();
        let (mut failed, mut started) = (0, 0);
        for nth in 1.. {
            let Some(mut tracee) = Tracee::run_with_children(&mut command("first fork")) else {
                let test = "each_call_of_the_first_fork_fails_in_turn";
                return skipped(test, "ptrace is not allowed here");
            };
            let round = tracee.strike(nth, Blow::Fails(libc::EMFILE), is_refusable);
            tracee.finish();
            match round {
                Round::Failed { has_started: true } => started += 1,
                Round::Failed { has_started: false } => failed += 1,
                Round::OverBefore => break,
            }
        }
        say(&format!("first fork: {failed} failed, {started} did without the call"));
        assert!(failed >= 20 && started >= 1, "{failed} failed, {started} started");
    }

    #[test]
    fn a_zygote_is_killed_at_each_step_of_a_fork() {
        needs_pidfds!();
        let Some(mut tracee) = Tracee::run_with_children(&mut command("later forks")) else {
            let test = "a_zygote_is_killed_at_each_step_of_a_fork";
            return skipped(test, "ptrace is not allowed here");
        };
        let below = |who, _| who != Who::Program;
        let (failed, started) = all_rounds(&mut tracee, Blow::KillsZygote, below);
        say(&format!("{failed} deaths of the zygote cost the process, {started} did not"));
        // Before the report the request is made again; after it the process dies with the zygote, unless it was done.
        assert!(failed >= 10 && started >= 10, "{failed} {started}");
        tracee.finish();
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn each_call_of_a_fork_fails_in_turn() {
    skips::skipped("each_call_of_a_fork_fails_in_turn", "the tracer knows x86_64 only");
}
