//! Each system call by which a process is started fails in turn, with each error that it may have.
//!
//! The test traces a program that starts processes, lets all calls through but the n-th, which it answers itself, and asks the
//! program what came of it; then with n + 1, until the start is over before the n-th call. A start may fail or succeed (some
//! calls have a substitute); it must not hang, leave a process or a descriptor, or spoil the next start.

#[cfg(target_arch = "x86_64")]
#[path = "nth_call/tracer.rs"]
pub(crate) mod tracer;

use backstage::holdings::descriptors;
use procession_process::{Process, ProcessError, SpawnError};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::role;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("first start", || {
        // What a first start makes for all that follow stays: an epoll instance and a pidfd of this process.
        start_under_test(2);
    }),
    ("later starts", || {
        assert_eq!(add_one().unwrap(), 2);
        while start_under_test(0) {}
    }),
];

/// Numbers of system calls that no kernel has: by them the program tells its tracer where it is.
pub(crate) const BEGIN: libc::c_long = 5000;
pub(crate) const END: libc::c_long = 5001;

/// The tracer's answer to [`BEGIN`]: another round is wanted.
pub(crate) const GO: libc::c_long = 1;

pub(crate) fn tell(mark: libc::c_long, value: libc::c_long) -> libc::c_long {
    // SAFETY: the kernel has no such call and does nothing.
    unsafe { libc::syscall(mark, value) }
}

fn add_one() -> Result<u32, ProcessError> {
    Process::spawn(|n: u32| n + 1, 1)?.join()
}

/// One call, because each is a stop for the tracer.
fn has_no_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, look), Err(Errno::CHILD))
}

/// Starts one process while a call of it fails, and looks what is left, but for so many descriptors; whether there is more to do.
fn start_under_test(kept: usize) -> bool {
    let before = descriptors();
    if tell(BEGIN, 0) != GO {
        return false;
    }
    let started = Process::spawn(|n: u32| n + 1, 1);
    tell(END, started.is_ok().into());
    match started {
        Ok(process) => assert_eq!(process.join().unwrap(), 2),
        Err(ProcessError::Spawn(SpawnError::System { .. })) => {}
        Err(other) => panic!("{other}"),
    }
    role::eventually("no children, no zombies", has_no_children);
    role::eventually("no descriptor is left", || descriptors() <= before + kept);
    assert_eq!(add_one().unwrap(), 2, "the next start works");
    role::eventually("no descriptor is left", || descriptors() <= before + kept);
    true
}

#[cfg(target_arch = "x86_64")]
mod tests {
    use skips::skipped;

    use super::super::role::{command, say};
    use super::tracer::{Round, Tracee};

    const ERRORS: [(i32, &str); 4] = [
        (libc::EMFILE, "EMFILE"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EPERM, "EPERM"),
    ];

    /// How rounds went.
    #[derive(Default)]
    struct Count {
        failed: usize,
        started: usize,
    }

    impl Count {
        fn add(&mut self, has_started: bool) {
            *(if has_started { &mut self.started } else { &mut self.failed }) += 1;
        }

        /// There is something to fail, and each error must have made some start fail.
        fn check(&self, error: &str) {
            let Self { failed, started } = self;
            say(&format!("{error}: {failed} starts failed, {started} did without the call"));
            assert!(*failed >= 3, "{error}: {failed} failed, {started} started");
        }
    }

    #[test]
    fn each_call_of_a_start_fails_in_turn() {
        let Some(mut tracee) = Tracee::run(&mut command("later starts")) else {
            return skipped("each_call_of_a_start_fails_in_turn", "ptrace is not allowed here");
        };
        for (errno, name) in ERRORS {
            let mut count = Count::default();
            for nth in 1.. {
                match tracee.round(nth, errno) {
                    Round::Failed { has_started } => count.add(has_started),
                    Round::OverBefore => break,
                }
            }
            count.check(name);
        }
        tracee.finish();
    }

    #[test]
    fn each_call_of_the_first_start_fails_in_turn() {
        for (errno, name) in [ERRORS[0], ERRORS[2]] {
            let mut count = Count::default();
            for nth in 1.. {
                let Some(mut tracee) = Tracee::run(&mut command("first start")) else {
                    let test = "each_call_of_the_first_start_fails_in_turn";
                    return skipped(test, "ptrace is not allowed here");
                };
                let round = tracee.round(nth, errno);
                tracee.finish();
                match round {
                    Round::Failed { has_started } => count.add(has_started),
                    Round::OverBefore => break,
                }
            }
            count.check(name);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn each_call_of_a_start_fails_in_turn() {
    skips::skipped("each_call_of_a_start_fails_in_turn", "the tracer knows x86_64 only");
}
